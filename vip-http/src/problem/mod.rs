//! The one place that errors of the API come from: RFC 9457 problem documents.

mod code;
mod from_core;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vip_core::model::RequestId;

pub use code::ProblemCode;

/// How long a caller should wait before it repeats what could not be done now.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Is what a request that was not done is answered with.
#[derive(Debug, Clone)]
pub struct Problem {
    code: ProblemCode,
    detail: Option<String>,
    errors: Vec<FieldProblem>,
    retry_after: Option<Duration>,
}

/// Says what is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[non_exhaustive]
pub struct FieldProblem {
    /// The field, such as `ssh_keys[2]`.
    pub field: String,
    /// What was sent, shortened; empty for a secret field.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
}

/// Is a problem as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// A URN that names the code.
    r#type: String,
    /// A short summary that is the same for every occurrence.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// The stable name of the problem; see the page of problems.
    code: &'static str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Every field that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// The id of the request, to find it in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Problem {
    /// Makes a problem; those that pass by themselves say when to repeat.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        let passes = code.status() == StatusCode::SERVICE_UNAVAILABLE;
        Self { code, detail: None, errors: Vec::new(), retry_after: passes.then_some(RETRY_AFTER) }
    }

    /// Says what is wrong this time; never a secret, never what another layer said.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says when to repeat it.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.errors = errors;
        self
    }

    /// Returns its code.
    #[must_use]
    pub const fn code(&self) -> ProblemCode {
        self.code
    }

    /// Writes the document; the only place that does.
    pub(crate) fn render(self, request_id: Option<&RequestId>) -> Response {
        let body = ProblemBody {
            r#type: format!("urn:vip:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            retryable: self.code.is_retryable(),
            detail: self.detail,
            errors: self.errors,
            request_id: request_id.map(|id| id.as_str().to_owned()),
        };
        // A struct of strings and numbers is always JSON; an empty document still has its status.
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.code == ProblemCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == ProblemCode::ShuttingDown {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Writes the document, and leaves the problem to the edge of the router, which knows the request's id and writes it anew.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.clone().render(None);
        response.extensions_mut().insert(self);
        response
    }
}
