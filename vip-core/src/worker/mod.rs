//! Runs jobs: claims them, makes one attempt under one lease, settles. Knows no job kind.

mod attempt;
mod claim;
pub mod codes;
mod config;
mod core;
mod counters;
mod handler;
mod observed;
mod registry;
mod rest;
mod run;
mod running;
mod settle;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub use attempt::{Attempt, LeaseLost};
pub use config::{WorkerConfig, WorkerConfigError};
pub use counters::WorkerCounts;
pub use handler::{HandlerError, JobHandler, JobOutcome};
pub use running::RunningWorker;

use self::core::Core;
use registry::Registry;

use crate::model::{JobKind, Timing, TimingError};
use crate::ports::{JobQueue, Randomness, SystemRandomness};
use crate::runtime::{LoopPolicy, Supervisor};

/// Claims jobs of the kinds it has handlers for, runs them, and settles them.
///
/// # Guarantees
///
/// * Every claimed job is settled, or its lease expires and it is claimed again: nothing is lost, and anything may
///   run twice.
/// * It claims no more than it has room for, and no kind that it has no handler for.
/// * A panic of a handler, a payload that cannot be read and an attempt without end are failed attempts, not crashes.
/// * A lost lease is seen by [`Attempt::guard`]; the run is not dropped for it, because a call already sent is better
///   awaited than left unknown.
/// * Before a job is settled dead, its handler has written its end. Deaths by too many rescues are the queue's alone.
#[derive(Debug)]
#[must_use]
pub struct Worker(Core);

/// Collects what a worker needs.
#[derive(Debug, Default)]
#[must_use]
pub struct WorkerBuilder {
    queue: Option<Arc<dyn JobQueue>>,
    registry: Registry,
    randomness: Option<Arc<dyn Randomness>>,
    config: WorkerConfig,
    timing: Timing,
}

/// Says why a worker cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No queue was given.
    #[error("worker has no queue")]
    NoQueue,
    /// No handler was given, so it would claim nothing.
    #[error("worker has no handler")]
    NoHandler,
    /// Two handlers are for one kind.
    #[error("job kind {0} has two handlers")]
    KindTwice(JobKind),
    /// A number is out of its bounds.
    #[error(transparent)]
    Config(#[from] WorkerConfigError),
    /// The durations do not fit together.
    #[error(transparent)]
    Timing(#[from] TimingError),
}

impl Worker {
    /// Begins to build a worker.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }

    /// Returns the kinds that it has handlers for.
    pub(crate) fn kinds(&self) -> Vec<JobKind> {
        self.0.kinds.clone()
    }

    /// Starts its loops: `claim`, `heartbeat`, `settle` and `reap`.
    pub fn start(self, supervisor: &Supervisor) -> RunningWorker {
        let core = Arc::new(self.0);
        let [claim, heartbeat, settle, reap] = [(); 4].map(|()| Arc::clone(&core));
        RunningWorker {
            // Without the first three nothing is done, or done and lost.
            claim: supervisor.spawn("claim", LoopPolicy::Critical, move |tick| claim::claim_loop(claim.clone(), tick)),
            heartbeat: supervisor
                .spawn("heartbeat", LoopPolicy::Critical, move |tick| upkeep::heartbeat_loop(heartbeat.clone(), tick)),
            settle: supervisor
                .spawn("settle", LoopPolicy::Critical, move |tick| settle::settle_loop(settle.clone(), tick)),
            // Any other worker reaps as well.
            reap: supervisor.spawn("reap", LoopPolicy::Restartable, move |tick| upkeep::reap_loop(reap.clone(), tick)),
            _cut: core.signals.cut_on_drop(),
            core,
        }
    }
}

impl WorkerBuilder {
    /// Sets where jobs come from; has to be set.
    pub fn queue(mut self, queue: Arc<dyn JobQueue>) -> Self {
        self.queue = Some(queue);
        self
    }

    /// Adds the handler of one kind; at least one is needed.
    pub fn handler(mut self, handler: impl JobHandler) -> Self {
        self.registry.add(handler);
        self
    }

    /// Says whether it has the handler of any kind.
    pub(crate) fn has_handler(&self) -> bool {
        !self.registry.kinds().is_empty()
    }

    /// Sets where claim ids and jitter come from; default is the operating system.
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = Some(randomness);
        self
    }

    /// Sets the worker's own numbers.
    pub fn config(mut self, config: WorkerConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the durations of the protocol.
    pub fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] with the first thing that is missing or does not fit.
    pub fn build(self) -> Result<Worker, WorkerError> {
        let queue = self.queue.ok_or(WorkerError::NoQueue)?;
        if let Some(kind) = self.registry.twice() {
            return Err(WorkerError::KindTwice(kind.clone()));
        }
        let kinds = self.registry.kinds();
        if kinds.is_empty() {
            return Err(WorkerError::NoHandler);
        }
        self.timing.check()?;
        self.config.check(&self.timing)?;
        Ok(Worker(Core {
            queue,
            registry: self.registry,
            kinds,
            config: self.config,
            timing: self.timing,
            randomness: self.randomness.unwrap_or_else(|| Arc::new(SystemRandomness)),
            signals: Arc::default(),
            attempts: TaskTracker::new(),
            holds: core::Holds::default(),
            outbox: core::Outbox::default(),
            counters: counters::Counters::default(),
            room: Notify::new(),
            silence: AtomicU32::new(0),
        }))
    }
}

#[cfg(test)]
mod tests;
