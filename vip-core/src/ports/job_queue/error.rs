//! What can go wrong at a queue, by what a caller can do about it.

use std::error::Error;

use crate::ports::retryability::Retryability;

/// Says why a queue did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The queue could not be reached in time; nothing was changed.
    #[error("queue is unavailable")]
    Unavailable {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer was lost; repeat the call as it was.
    #[error("outcome of the queue call is unknown")]
    OutcomeUnknown {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Stored bytes cannot be understood, or the statement is wrong; an operator has to look.
    #[error("queue answered nonsense")]
    Corrupt {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl QueueError {
    /// Says what may be done after this error.
    #[must_use]
    pub const fn retryability(&self) -> Retryability {
        match self {
            Self::Unavailable { .. } => Retryability::Temporary,
            Self::OutcomeUnknown { .. } => Retryability::OutcomeUnknown,
            Self::Corrupt { .. } => Retryability::Permanent,
        }
    }
}
