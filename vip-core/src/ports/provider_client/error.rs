//! What can go wrong at a provider, by what may have happened there.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::ports::retryability::Retryability;

/// Says what may have happened; a closed list, matched without a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderErrorKind {
    /// The request never left: not applied.
    NotSent,
    /// The provider limits requests: not applied.
    Throttled {
        /// When the next request has a chance.
        retry_after: Duration,
    },
    /// Locked by other work, or in maintenance: not applied.
    Busy,
    /// Out of stock here and now: not applied.
    Exhausted,
    /// The name is taken, possibly by an earlier request of ours: not applied by this one.
    AlreadyExists,
    /// The request is wrong: not applied.
    InvalidInput,
    /// It cannot be placed as asked: not applied.
    Placement,
    /// The resource is protected: not applied.
    Protected,
    /// A limit of the account is reached: not applied.
    AccountLimit,
    /// The token is missing, wrong or not allowed to: not applied.
    Unauthorized,
    /// The token may only read: not applied.
    ReadOnly,
    /// The provider does not understand us (400, 404 of a route, 405, 410): not applied, and our mistake.
    Bug,
    /// May have been applied, or may yet be.
    Unknown,
}

impl ProviderErrorKind {
    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Throttled { .. } => "throttled",
            Self::Busy => "busy",
            Self::Exhausted => "exhausted",
            Self::AlreadyExists => "already_exists",
            Self::InvalidInput => "invalid_input",
            Self::Placement => "placement",
            Self::Protected => "protected",
            Self::AccountLimit => "account_limit",
            Self::Unauthorized => "unauthorized",
            Self::ReadOnly => "read_only",
            Self::Bug => "bug",
            Self::Unknown => "unknown",
        }
    }
}

/// Says why a provider did not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProviderError {
    /// What may have happened.
    pub kind: ProviderErrorKind,
    /// The provider's own code, or ours where it gave none.
    pub code: String,
    /// The provider's id of the request, for its support.
    pub correlation_id: Option<String>,
    /// What happened beneath, without secrets.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProviderError {
    /// Makes an error.
    #[must_use]
    pub fn new(kind: ProviderErrorKind, code: impl Into<String>) -> Self {
        Self { kind, code: code.into(), correlation_id: None, source: None }
    }

    /// Returns this error with what happened beneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns this error with the provider's id of the request.
    #[must_use]
    pub fn with_correlation_id(mut self, id: Option<String>) -> Self {
        self.correlation_id = id;
        self
    }

    /// Says what may be done after this error.
    #[must_use]
    pub const fn retryability(&self) -> Retryability {
        match self.kind {
            ProviderErrorKind::NotSent
            | ProviderErrorKind::Throttled { .. }
            | ProviderErrorKind::Busy
            | ProviderErrorKind::Exhausted => Retryability::Temporary,
            ProviderErrorKind::AlreadyExists | ProviderErrorKind::Unknown => Retryability::OutcomeUnknown,
            ProviderErrorKind::InvalidInput
            | ProviderErrorKind::Placement
            | ProviderErrorKind::Protected
            | ProviderErrorKind::AccountLimit
            | ProviderErrorKind::Unauthorized
            | ProviderErrorKind::ReadOnly
            | ProviderErrorKind::Bug => Retryability::Permanent,
        }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "provider answered {} ({})", self.kind.as_str(), self.code)
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
