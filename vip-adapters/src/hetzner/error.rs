//! What goes wrong: settings that are refused, and calls that were not answered with what was asked for.

use std::time::Duration;

use http::StatusCode;
use vip_core::model::NameError;
use vip_core::ports::{ProviderError, ProviderErrorKind, Service};

use super::transport::TransportError;

/// Says why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HetznerConfigError {
    /// A variable of the environment is missing or empty.
    #[error("{name} is not set")]
    MissingVariable {
        /// The variable.
        name: &'static str,
    },
    /// A field breaks a rule. Its value is not shown: it can be secret.
    #[error("{field} {rule}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The rule, in words that a caller can act on.
        rule: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HetznerConfigError {
    pub(super) fn client(error: reqwest::Error) -> Self {
        Self::Client(error.without_url().into())
    }
}

/// Says why a body cannot be used. Shows where, never what: a body can hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is no text.
    #[error("no UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// It is not the JSON that was expected.
    #[error("unexpected JSON ({category:?}) at line {line}, column {column}")]
    Json { category: serde_json::error::Category, line: usize, column: usize },
    /// A server in it is not as the API shows servers; what is around it is as it should be.
    #[error("a server in it has unexpected JSON ({category:?} at its line {line}, column {column})")]
    Server { category: serde_json::error::Category, line: usize, column: usize },
    /// A value in it cannot be one of the provider's.
    #[error("a value is out of its range")]
    Value(#[from] NameError),
    /// It answers another question than the one that was asked.
    #[error("another {what} than asked for")]
    Other { what: &'static str },
}

impl BodyError {
    /// Says that a server cannot be read, and where in it.
    pub(crate) fn server(error: &serde_json::Error) -> Self {
        Self::Server { category: error.classify(), line: error.line(), column: error.column() }
    }
}

impl From<serde_json::Error> for BodyError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { category: error.classify(), line: error.line(), column: error.column() }
    }
}

/// Says why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The call had no time left before it began.
    #[error("no time was left")]
    OutOfTime,
    /// The deadline passed during the call.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// An id is none of this provider: not sent.
    #[error("an id is no number")]
    ForeignId,
    /// The request cannot be made: not sent.
    #[error("the request cannot be made")]
    Unsendable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The API refused.
    #[error("answered {status} ({code})")]
    Refused { kind: ProviderErrorKind, status: StatusCode, code: String, correlation_id: Option<String> },
    /// The answer cannot be understood.
    #[error("answered {status} with a body that cannot be used")]
    Unreadable { status: StatusCode, correlation_id: Option<String>, source: BodyError },
    /// A list goes on for ever.
    #[error("the list has more than {most} pages")]
    TooManyPages { most: u32 },
}

impl From<CallError> for ProviderError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { kind, status, code, correlation_id } => {
                let error = Self::new(kind, code).with_correlation_id(correlation_id);
                // The API's own word about this request, whatever it means for its outcome.
                let answered = status.is_client_error() && kind == ProviderErrorKind::Unknown;
                if answered { error.with_service(Service::Answering) } else { error }
            }
            CallError::OutOfTime => Self::new(ProviderErrorKind::NotSent, "deadline").with_service(Service::Unasked),
            CallError::DeadlinePassed => Self::new(ProviderErrorKind::Unknown, "deadline"),
            CallError::ForeignId => {
                Self::new(ProviderErrorKind::InvalidInput, "foreign_id").with_service(Service::Unasked)
            }
            CallError::Unsendable(source) => {
                Self::new(ProviderErrorKind::Bug, "unsendable").with_service(Service::Unasked).with_source(source)
            }
            CallError::Transport(source) => {
                let (kind, code, service) = match &source {
                    TransportError::NotSent(_) => (ProviderErrorKind::NotSent, "not_sent", Service::Failing),
                    // What this process is short of is no outage of the provider.
                    TransportError::NoDescriptor(_) => (ProviderErrorKind::NotSent, "no_descriptor", Service::Unasked),
                    TransportError::Lost(_) => (ProviderErrorKind::Unknown, "lost", Service::Failing),
                    TransportError::TooLarge { .. } => (ProviderErrorKind::Unknown, "too_large", Service::Failing),
                };
                Self::new(kind, code).with_service(service).with_source(source)
            }
            CallError::Unreadable { correlation_id, source: source @ BodyError::Server { .. }, .. } => {
                // The API has answered: one odd server is no outage, and must not stop the calls that are about others.
                Self::new(ProviderErrorKind::Unknown, "unreadable_server")
                    .with_correlation_id(correlation_id)
                    .with_service(Service::Answering)
                    .with_source(source)
            }
            CallError::Unreadable { status, correlation_id, source } => {
                let code = if status.is_success() { "unreadable".to_owned() } else { status_code(status) };
                Self::new(ProviderErrorKind::Unknown, code).with_correlation_id(correlation_id).with_source(source)
            }
            CallError::TooManyPages { .. } => {
                Self::new(ProviderErrorKind::Unknown, "too_many_pages").with_service(Service::Answering)
            }
        }
    }
}

/// Longest code of the provider that is kept, in bytes; the longest of today has 31.
pub(crate) const CODE_BYTES: usize = 64;

/// Returns the provider's code, or `other` for what cannot be one: an error never shows free text.
pub(crate) fn safe_code(code: &str) -> &str {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !code.is_empty() && code.len() <= CODE_BYTES && code.bytes().all(is_word) { code } else { "other" }
}

/// Returns our code for a status that came without one.
pub(crate) fn status_code(status: StatusCode) -> String {
    format!("http_{}", status.as_u16())
}

/// Shortest wait after a 429: the default limit gives a token back each second.
pub(crate) const THROTTLE_LEAST: Duration = Duration::from_secs(1);
/// Longest wait after a 429: no limit that we know of gives less than one request a minute.
pub(crate) const THROTTLE_MOST: Duration = Duration::from_secs(60);
const DEFAULT_LIMIT_PER_HOUR: u64 = 3600;

/// Says when the next request has a chance: the bucket gains one every `3600 / limit` seconds. `RateLimit-Reset` is
/// when it is full again, up to an hour later, and is not read.
pub(crate) fn throttled(limit_per_hour: Option<u64>) -> ProviderErrorKind {
    let limit = limit_per_hour.unwrap_or(DEFAULT_LIMIT_PER_HOUR).max(1);
    let retry_after = Duration::from_millis(3_600_000 / limit).clamp(THROTTLE_LEAST, THROTTLE_MOST);
    ProviderErrorKind::Throttled { retry_after }
}
