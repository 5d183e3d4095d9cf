//! What can go wrong at a store, by what a caller can do about it.

use std::error::Error;

use crate::ports::retryability::Retryability;

/// Says why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The guard refused the write: the record moved on, or somebody else holds it. Load it again.
    #[error("the record has moved on")]
    Conflict,
    /// The idempotency key stands for another commit. Read it.
    #[error("the idempotency key is taken")]
    KeyTaken,
    /// The tenant has as many servers as it may.
    #[error("the quota of {limit} servers is used up")]
    QuotaExceeded {
        /// How many it may have.
        limit: u32,
    },
    /// The store could not be reached in time; nothing was changed.
    #[error("store is unavailable")]
    Unavailable {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer was lost; repeat the call as it was.
    #[error("outcome of the store call is unknown")]
    OutcomeUnknown {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Stored bytes cannot be understood, or the statement is wrong; an operator has to look.
    #[error("store answered nonsense")]
    Corrupt {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// Says what may be done after this error.
    #[must_use]
    pub const fn retryability(&self) -> Retryability {
        match self {
            Self::Conflict | Self::KeyTaken | Self::QuotaExceeded { .. } | Self::Corrupt { .. } => {
                Retryability::Permanent
            }
            Self::Unavailable { .. } => Retryability::Temporary,
            Self::OutcomeUnknown { .. } => Retryability::OutcomeUnknown,
        }
    }
}
