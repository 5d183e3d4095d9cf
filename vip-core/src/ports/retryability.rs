//! What an error says about trying again; every port's error answers it.

/// Says what may be done after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retryability {
    /// Trying again gives the same answer.
    Permanent,
    /// Nothing was changed; trying again may succeed.
    Temporary,
    /// It may have happened, or may yet happen: find out before trying again.
    OutcomeUnknown,
}
