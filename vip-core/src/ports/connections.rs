//! How busy the connections of a backend are: shown, never decided upon.

use std::fmt;
use std::time::Duration;

/// Shows how busy connections of one purpose are; counts since the backend was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolFigures {
    /// What the connections are for, such as `commits and reads`.
    pub purpose: &'static str,
    /// Most connections that may be in use.
    pub most: u32,
    /// Open connections; more than `most` where the server has not ended some that were cut.
    pub open: u32,
    /// Open connections that nobody uses.
    pub idle: u32,
    /// Callers that wait for one now.
    pub waiting: u64,
    /// Callers that got none in time.
    pub timed_out: u64,
    /// Longest wait of a caller, successful or not.
    pub longest_wait: Duration,
}

impl PoolFigures {
    /// Says whether callers wait because every connection is busy.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.waiting > 0 && self.idle == 0 && self.open >= self.most
    }
}

/// Counts connections; asks nobody and takes no time.
pub trait Connections: fmt::Debug + Send + Sync + 'static {
    /// Shows how busy the connections are: one entry for each purpose.
    fn figures(&self) -> Vec<PoolFigures>;
}
