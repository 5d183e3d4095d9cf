//! Operations and why they are not done.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vip_core::model::Operation;
use vip_core::provisioner::Progress;

use crate::limits;
use crate::problem::{Problem, ProblemCode};

/// Asks for an operation.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Seconds to wait until it is done or parked; the answer comes then, or as soon as it is.
    #[param(minimum = 0, maximum = 30)]
    wait: Option<u32>,
}

impl WaitQuery {
    pub(crate) fn seconds(&self) -> Result<u32, Problem> {
        let seconds = self.wait.unwrap_or(0);
        if seconds <= limits::WAIT_SECONDS {
            return Ok(seconds);
        }
        let detail = format!("`wait` must be from 0 to {}, is {seconds}.", limits::WAIT_SECONDS);
        Err(Problem::new(ProblemCode::InvalidQuery).with_detail(detail))
    }
}

/// Is an accepted command and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperationBody {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// The server that it is about.
    #[schema(format = Uuid)]
    server_id: String,
    /// What it does: `create` or `delete`.
    verb: &'static str,
    /// How far it is: `pending`, `parked`, `succeeded`, `failed` or `superseded`.
    status: &'static str,
    /// Why it failed or is parked.
    code: Option<String>,
    /// Why it waits; null in lists, in the first answer to a command, and when it is done.
    wait_reason: Option<&'static str>,
    /// When it goes on; null in lists, in the first answer to a command, and when it is done.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    /// The request that ordered it.
    request_id: Option<String>,
    /// When it was accepted.
    #[schema(format = DateTime)]
    created_at: String,
    /// When its status last changed.
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<Operation> for OperationBody {
    fn from(operation: Operation) -> Self {
        Self {
            id: operation.id.to_string(),
            server_id: operation.server.to_string(),
            verb: operation.verb.as_str(),
            status: operation.status.as_str(),
            code: operation.code,
            wait_reason: None,
            next_at: None,
            request_id: operation.request_id.map(Into::into),
            created_at: operation.created_at.to_string(),
            updated_at: operation.updated_at.to_string(),
        }
    }
}

impl From<Progress> for OperationBody {
    fn from(progress: Progress) -> Self {
        Self {
            wait_reason: progress.wait_reason.map(|reason| reason.as_str()),
            next_at: progress.next_at.map(|at| at.to_string()),
            ..Self::from(progress.operation)
        }
    }
}

/// Says in one sentence why an operation is not done and what happens next.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhyBody {
    /// The operation.
    #[schema(format = Uuid)]
    operation_id: String,
    /// How far it is.
    status: &'static str,
    /// The sentence.
    why: String,
    /// When it goes on.
    #[schema(format = DateTime)]
    next_at: Option<String>,
}

impl From<Progress> for WhyBody {
    fn from(progress: Progress) -> Self {
        Self {
            operation_id: progress.operation.id.to_string(),
            status: progress.operation.status.as_str(),
            why: progress.why(),
            next_at: progress.next_at.map(|at| at.to_string()),
        }
    }
}
