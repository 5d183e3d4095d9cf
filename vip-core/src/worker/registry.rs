//! The handlers of a worker by kind, with the types of their payloads erased.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::attempt::Attempt;
use super::handler::{HandlerError, JobHandler, JobOutcome};
use crate::model::JobKind;
use crate::telemetry;

/// Runs jobs of one kind, whatever their payload is.
#[async_trait]
pub(super) trait AnyHandler: std::fmt::Debug + Send + Sync {
    /// Reads the payload and makes an attempt.
    async fn run(&self, attempt: &Attempt) -> Result<JobOutcome, Undecodable>;

    /// Reads the payload, if it can be read, and writes the job's end.
    async fn died(&self, attempt: &Attempt, code: &str) -> Result<(), HandlerError>;
}

/// Says that a payload is not what its kind's handler reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undecodable;

#[derive(Debug)]
struct Erased<H>(H);

#[async_trait]
impl<H: JobHandler> AnyHandler for Erased<H> {
    async fn run(&self, attempt: &Attempt) -> Result<JobOutcome, Undecodable> {
        match attempt.job().payload.decode() {
            Ok(payload) => Ok(self.0.run(payload, attempt).await),
            Err(error) => {
                // The decoder's message may quote the payload: only where it stopped may be said.
                tracing::error!({ telemetry::COLUMN } = error.column(), "a payload cannot be read");
                Err(Undecodable)
            }
        }
    }

    async fn died(&self, attempt: &Attempt, code: &str) -> Result<(), HandlerError> {
        self.0.died(attempt.job().payload.decode().ok(), attempt, code).await
    }
}

#[derive(Debug)]
struct Registered {
    label: Arc<str>,
    handler: Arc<dyn AnyHandler>,
}

/// Holds one handler for each kind.
#[derive(Debug, Default)]
pub(super) struct Registry {
    handlers: BTreeMap<JobKind, Registered>,
    /// The first kind that was registered twice.
    twice: Option<JobKind>,
}

impl Registry {
    pub(super) fn add(&mut self, handler: impl JobHandler) {
        let kind = handler.kind();
        let registered = Registered { label: Arc::from(kind.as_str()), handler: Arc::new(Erased(handler)) };
        if self.handlers.insert(kind.clone(), registered).is_some() {
            self.twice.get_or_insert(kind);
        }
    }

    pub(super) const fn twice(&self) -> Option<&JobKind> {
        self.twice.as_ref()
    }

    pub(super) fn kinds(&self) -> Vec<JobKind> {
        self.handlers.keys().cloned().collect()
    }

    pub(super) fn get(&self, kind: &JobKind) -> Option<Arc<dyn AnyHandler>> {
        self.handlers.get(kind).map(|registered| Arc::clone(&registered.handler))
    }

    /// Returns how metrics name the kind.
    pub(super) fn label(&self, kind: &JobKind) -> Arc<str> {
        self.handlers.get(kind).map_or_else(|| Arc::from(kind.as_str()), |registered| Arc::clone(&registered.label))
    }
}
