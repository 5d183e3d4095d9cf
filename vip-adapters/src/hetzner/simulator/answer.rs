//! What the API answers: a JSON body, or an error with its code.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// A positive answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    pub(super) link: Option<String>,
}

impl Answer {
    /// Makes a `200 OK`.
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body, link: None }
    }

    /// Makes a `204 No Content`.
    pub(super) fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Value::Null, link: None }
    }

    /// Makes a `201 Created`.
    pub(super) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, body, link: None }
    }
}

/// An error answer; the request had no effect.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    details: Value,
}

/// One refused field of a request.
#[derive(Debug)]
pub(super) struct FieldError {
    pub(super) name: &'static str,
    pub(super) message: String,
}

impl FieldError {
    pub(super) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into(), details: Value::Null }
    }

    fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    pub(super) fn unknown_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "api route not found")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed")
    }

    pub(super) fn not_found(what: &str, id: u64) -> Self {
        let message = format!("{what} with ID '{id}' not found");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn token_required() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "token is required")
    }

    pub(super) fn token_invalid() -> Self {
        let message = "the token you have provided is invalid";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn token_readonly() -> Self {
        let message = "token is only allowed to perform GET requests";
        Self::new(StatusCode::UNAUTHORIZED, "token_readonly", message)
    }

    pub(super) fn json_error(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "json_error", message)
    }

    pub(super) fn invalid_input(fields: &[FieldError]) -> Self {
        let names: Vec<_> = fields.iter().map(|field| format!("'{}'", field.name)).collect();
        let fields: Vec<_> =
            fields.iter().map(|field| json!({"name": field.name, "messages": [field.message]})).collect();
        let message = format!("invalid input in field(s) {}", names.join(", "));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_input", message).with_details(json!({ "fields": fields }))
    }

    pub(super) fn invalid_field(name: &'static str, message: impl Into<String>) -> Self {
        Self::invalid_input(&[FieldError::new(name, message)])
    }

    /// The API names no field here, so a client must not need one.
    pub(super) fn server_name_taken() -> Self {
        Self::new(StatusCode::CONFLICT, "uniqueness_error", "server name is already used").with_details(json!({}))
    }

    pub(super) fn not_unique(field: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, "uniqueness_error", "the name or the key is not unique")
            .with_details(json!({"fields": [{"name": field}]}))
    }

    pub(super) fn locked() -> Self {
        let message = "cannot perform operation because server is locked";
        Self::new(StatusCode::LOCKED, "locked", message)
    }

    pub(super) fn protected() -> Self {
        Self::new(StatusCode::LOCKED, "protected", "server is protected")
    }

    pub(super) fn must_be_unassigned() -> Self {
        let message = "primary IP must be unassigned";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "must_be_unassigned", message)
    }

    pub(super) fn placement_error() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "placement_error", "error during placement")
    }

    pub(super) fn out_of_stock() -> Self {
        let message = "error during placement";
        Self::new(StatusCode::PRECONDITION_FAILED, "resource_unavailable", message).with_details(json!({}))
    }

    pub(super) fn listing_all_actions_removed() -> Self {
        let announcement = "https://docs.hetzner.cloud/changelog#2025-01-30-listing-arbitrary-actions-removed";
        Self::new(StatusCode::GONE, "deprecated_api_endpoint", "listing actions without the 'id' filter was removed")
            .with_details(json!({ "announcement": announcement }))
    }

    /// The text carries a prefix of the token, as seen in the wild: a client has to redact it.
    pub(super) fn too_many_requests(limit_per_hour: u32, token: &str) -> Self {
        let prefix: String = token.chars().take(TOKEN_PREFIX_CHARS).collect();
        let message = format!("Limit of '{limit_per_hour}' requests per hour for token '{prefix}...' reached.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message)
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let error = json!({
            "code": self.code,
            "message": self.message,
            "details": self.details,
        });
        json_response(self.status, &json!({ "error": error }))
    }
}

/// How much of a token the text of a 429 shows.
const TOKEN_PREFIX_CHARS: usize = 16;

/// Makes a response with a JSON body.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    if status == StatusCode::NO_CONTENT {
        let mut empty = Response::new(Bytes::new());
        *empty.status_mut() = status;
        return empty;
    }
    response(status, HeaderValue::from_static("application/json"), Bytes::from(body.to_string()))
}

/// Makes a response with an HTML body, as a gateway does that knows nothing of the API.
pub(super) fn html_response(status: StatusCode, body: &'static str) -> Response<Bytes> {
    response(status, HeaderValue::from_static("text/html"), Bytes::from_static(body.as_bytes()))
}

fn response(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
