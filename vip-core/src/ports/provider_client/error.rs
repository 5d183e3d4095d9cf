//! What can go wrong at a provider, by what may have happened there.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::model::safe_code;
use crate::ports::retryability::Retryability;

/// Says what may have happened; a closed list, matched without a wildcard.
///
/// Each says, too, what follows for an order; `docs/protocol.md` §4 has all of it. A look that fails is made again after a growing pause,
/// unless something else is said. *Growing* is up to a minute, of a delete that an answer refuses up to ten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderErrorKind {
    /// The request never left, or was turned back before it came to the provider: not applied. Sent again after a growing pause.
    NotSent,
    /// The provider limits requests: not applied. Waits that long, an hour at most.
    Throttled {
        /// When the next request has a chance.
        retry_after: Duration,
    },
    /// Locked by other work, or in maintenance: not applied. Sent again after a growing pause.
    Busy,
    /// Out of stock here and now: not applied. The next candidate is asked, after the last one all again after 30 s to 10 min; the order
    /// fails (`no_stock`) after `stock_patience`. A delete is sent again after a growing pause.
    Exhausted,
    /// The name is taken, possibly by an earlier request of ours: not applied by this one. It is looked for by name: ours is taken over, a
    /// stranger's parks the order (`foreign_name`). A delete is sent again after a growing pause.
    AlreadyExists,
    /// The request is wrong: not applied. The next candidate is asked, and **the order fails for good** (`rejected`) after the last one,
    /// unless another one was out of stock. A delete is sent again after a growing pause.
    InvalidInput,
    /// It cannot be placed as asked: not applied. The same as [`InvalidInput`](ProviderErrorKind::InvalidInput); where there is no room, say
    /// [`Exhausted`](ProviderErrorKind::Exhausted).
    Placement,
    /// The resource is protected: not applied. A delete is parked (`protected`); a create is as for
    /// [`InvalidInput`](ProviderErrorKind::InvalidInput).
    Protected,
    /// A limit of the account is reached: not applied. The next candidate in another account is asked; without one the order is parked
    /// (`provider_limit`). A delete is sent again after a growing pause.
    AccountLimit,
    /// The token is missing, wrong or not allowed to: not applied. **Closes the account for this token in every process**, until the
    /// provider takes it again: asked after a minute, later after up to an hour. What is recorded waits.
    Unauthorized,
    /// The token may only read: not applied. Closes the account in the same way, until a person vouches for the token.
    ReadOnly,
    /// The provider does not understand us (400, 404 of a route, 405, 410): not applied, and our mistake. **Burns an attempt**, also of a
    /// look; after 20 the order is parked (`handler_failed`).
    Bug,
    /// May have been applied, or may yet be. A create is looked for by name, and sent again under that name if it is not found; until it
    /// can no longer land no other account is asked, and no order ends. A delete is sent again after a growing pause.
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

    /// Says what an error of this kind usually tells about the service.
    #[must_use]
    pub const fn service(self) -> Service {
        match self {
            Self::NotSent | Self::Unknown => Service::Failing,
            Self::Throttled { .. } => Service::Unasked,
            Self::Busy
            | Self::Exhausted
            | Self::AlreadyExists
            | Self::InvalidInput
            | Self::Placement
            | Self::Protected
            | Self::AccountLimit
            | Self::Unauthorized
            | Self::ReadOnly
            | Self::Bug => Service::Answering,
        }
    }
}

/// Says what a failed call tells about the provider's service; only `Failing` counts as a sign of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// It answered in time, whatever it said.
    Answering,
    /// It refused the connection, gave no answer, or said that it cannot work (5xx).
    Failing,
    /// It was not asked, or limits requests: nothing is known.
    Unasked,
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
    /// What it tells about the service.
    pub service: Service,
    /// When to try again, if that is known.
    pub retry_after: Option<Duration>,
    /// What happened beneath, without secrets.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProviderError {
    /// Makes an error; what it tells about the service follows from its kind until it is said otherwise.
    #[must_use]
    pub fn new(kind: ProviderErrorKind, code: impl Into<String>) -> Self {
        let retry_after =
            if let ProviderErrorKind::Throttled { retry_after } = kind { Some(retry_after) } else { None };
        Self { kind, code: safe_code(code), correlation_id: None, service: kind.service(), retry_after, source: None }
    }

    /// Code of a request that has no turn yet, so as to stay within what the provider lets through.
    pub const NO_TURN: &str = "budget";
    /// Code of the same while the provider has only just recovered, or has refused all since it was asked too much.
    pub const EASING: &str = "budget_easing";
    /// Code of a request that was not even queued, because too many wait for their turn.
    pub const CROWDED: &str = "budget_crowded";
    /// Code of a create that has to wait for the answers to others.
    pub const CREATES_UNANSWERED: &str = "creates_unanswered";

    /// Makes the error of a request that was held back in this process.
    #[must_use]
    pub fn held_back(code: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(ProviderErrorKind::NotSent, code).with_service(Service::Unasked);
        error.retry_after = Some(retry_after);
        error
    }

    /// Returns this error with what it tells about the service.
    #[must_use]
    pub const fn with_service(mut self, service: Service) -> Self {
        self.service = service;
        self
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
