//! What can become of a command; few cases, each says what to do.

use std::error::Error;

use crate::model::Invalid;
use crate::ports::{Retryability, StoreError};

/// Says why a command was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Fields are wrong; all of them are named. Nothing was changed, and the key was not used up.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The key was used for another command. Use a new key for a new command.
    #[error("the idempotency key was used for another command")]
    IdempotencyConflict,
    /// The tenant has as many servers as it may. Delete one, or have the quota raised. If an earlier try with the same key
    /// had an unknown outcome, that one may still be applied for as long as a statement can be on its way to the store.
    #[error("the quota of {limit} servers is used up")]
    QuotaExceeded {
        /// How many it may have.
        limit: u32,
    },
    /// There is no such server or operation in this tenant.
    #[error("not found")]
    NotFound,
    /// The operation is no create, or has ended: nothing is left to cancel. A server that runs takes a deletion.
    #[error("the operation cannot be cancelled")]
    NotCancellable,
    /// The store cannot be used now; nothing was changed. Try again later.
    #[error("the store is unavailable")]
    Unavailable {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It may have been accepted or not. Repeat it with the same key; without a key, look for it first.
    #[error("whether the command was accepted is unknown")]
    OutcomeUnknown {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// This process is shutting down. Repeat it elsewhere.
    #[error("shutting down")]
    ShuttingDown,
    /// Stored bytes cannot be understood; an operator has to look.
    #[error("the store answered nonsense")]
    Internal {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CommandError {
    /// Says what may be done after this error.
    #[must_use]
    pub const fn retryability(&self) -> Retryability {
        match self {
            Self::Invalid(_)
            | Self::IdempotencyConflict
            | Self::QuotaExceeded { .. }
            | Self::NotFound
            | Self::NotCancellable
            | Self::Internal { .. } => Retryability::Permanent,
            Self::Unavailable { .. } | Self::ShuttingDown => Retryability::Temporary,
            Self::OutcomeUnknown { .. } => Retryability::OutcomeUnknown,
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::QuotaExceeded { limit } => Self::QuotaExceeded { limit },
            StoreError::OutcomeUnknown { source } => Self::OutcomeUnknown { source },
            StoreError::Corrupt { source } => Self::Internal { source },
            StoreError::Unavailable { source } => Self::Unavailable { source },
            // Guards that keep refusing: others are faster each time. Nothing was changed.
            StoreError::Conflict | StoreError::KeyTaken => Self::Unavailable { source: Box::new(error) },
        }
    }
}
