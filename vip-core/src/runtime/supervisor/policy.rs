//! What a failing loop means to its process, how often it may fail, and what is said about it.

use std::error::Error;
use std::time::Duration;

use crate::runtime::Backoff;

/// Says what happens when a loop panics or ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoopPolicy {
    /// It is restarted; when it keeps failing, the process cannot do its work and should end with an error.
    Critical,
    /// It is restarted for as long as the process lives; health shows that it fails.
    Restartable,
}

/// Failures of a critical loop within [`WINDOW`] after which it is given up.
pub(super) const FAILURES: usize = 5;
/// How long a failure counts.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Waits before a restart: short, because the first panic of a loop should cost no lease; never none, because a loop
/// that panics at once must not eat a core.
pub(super) fn restarts() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(30))
}

/// Says that a loop has ended though nobody told it to.
#[derive(Debug, thiserror::Error)]
#[error("background loop ended with an error")]
pub struct LoopError {
    source: Box<dyn Error + Send + Sync>,
}

impl LoopError {
    /// Wraps what happened beneath.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}

/// Says that a critical loop could not be kept up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("background loop {name} failed {failures} times within {within:?}, at last: {last}")]
#[non_exhaustive]
pub struct LoopFailed {
    /// Its name.
    pub name: String,
    /// How often it failed.
    pub failures: usize,
    /// Within which time.
    pub within: Duration,
    /// What happened at last, without data.
    pub last: String,
}

/// Shows how a loop fares.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopStatus {
    /// Its name; unique within its supervisor.
    pub name: String,
    /// Whether it runs now, and is not waiting for a restart, stopped or given up.
    pub running: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// How often it panicked.
    pub panics: u32,
    /// What happened at last when it failed, without data.
    pub last_failure: Option<String>,
    /// Whether it failed within the last minute.
    pub troubled: bool,
    /// Whether it was given up.
    pub given_up: bool,
    /// How many turns it has made.
    pub turns: u64,
}

/// Says what was left when all loops were told to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct LoopsStopped {
    /// How each loop fared.
    pub loops: Vec<LoopStatus>,
    /// Tasks that did not end, not even when they were aborted: they block their thread.
    pub tasks_left: usize,
}
