//! Owns every background loop: catches panics, restarts, gives up loudly, ends them all.

mod policy;
mod watched;

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use policy::{LoopError, LoopFailed, LoopPolicy, LoopStatus, LoopsStopped};
pub use watched::{LoopHandle, Tick};

use super::health::{HealthSource, HealthStatus, PartHealth};
use super::panics::panic_message;
use crate::ports::Randomness;
use crate::telemetry;
use policy::{FAILURES, WINDOW, restarts};
use watched::{Failure, Failures, Watched};

/// Owns background loops by name.
///
/// # Guarantees
///
/// * A panic in a loop is caught, counted, shown, and the loop is started anew with a growing, jittered wait.
/// * A critical loop that fails five times within a minute is given up, and [`failed`](Self::failed) resolves.
/// * A log that cannot be written ends no loop, and keeps none from being aborted.
/// * No task outlives the supervisor: [`shutdown`](Self::shutdown) joins them, dropping aborts them.
#[derive(Debug)]
pub struct Supervisor {
    tasks: Mutex<JoinSet<()>>,
    loops: Mutex<Vec<Arc<Watched>>>,
    stop: CancellationToken,
    verdict: Arc<Verdict>,
    randomness: Arc<dyn Randomness>,
}

/// Is the first critical loop that was given up.
#[derive(Debug, Default)]
struct Verdict {
    failed: OnceLock<LoopFailed>,
    spoken: CancellationToken,
}

/// How long aborted tasks may take to end: they end at their next `await`, unless they block their thread.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Makes a supervisor without loops; the randomness spreads restarts.
    #[must_use]
    pub fn new(randomness: Arc<dyn Randomness>) -> Self {
        Self {
            tasks: Mutex::default(),
            loops: Mutex::default(),
            stop: CancellationToken::new(),
            verdict: Arc::default(),
            randomness,
        }
    }

    /// Starts a loop; `make` builds each of its runs, so that a restart begins with fresh state.
    ///
    /// A run ends with `Ok` when its tick says that it should; any other end is a failure. After `shutdown` nothing
    /// starts any more. A name that is taken gets a number.
    pub fn spawn<F, R>(&self, name: &str, policy: LoopPolicy, make: F) -> LoopHandle
    where
        F: FnMut(Tick) -> R + Send + 'static,
        R: Future<Output = Result<(), LoopError>> + Send + 'static,
    {
        let watched = Arc::new(Watched::new(self.free_name(name), self.stop.child_token()));
        self.loops().push(Arc::clone(&watched));
        let keeper = Keeper {
            watched: Arc::clone(&watched),
            policy,
            verdict: Arc::clone(&self.verdict),
            randomness: Arc::clone(&self.randomness),
        };
        let span = tracing::info_span!(telemetry::SPAN_LOOP, { telemetry::LOOP_NAME } = %watched.name);
        self.join_set().spawn(keeper.keep(make).instrument(span));
        LoopHandle(watched)
    }

    /// Lists the names of all loops, in the order of their start.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.loops().iter().map(|watched| watched.name.clone()).collect()
    }

    /// Shows how each loop fares, in the order of their start.
    #[must_use]
    pub fn statuses(&self) -> Vec<LoopStatus> {
        self.loops().iter().map(|watched| watched.status()).collect()
    }

    /// Shows each loop as a part of the process's health.
    #[must_use]
    pub fn health(&self) -> Vec<PartHealth> {
        self.statuses().iter().map(part_of).collect()
    }

    /// Resolves when a critical loop cannot be kept up: the process should then end with this error.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn failed(&self) -> LoopFailed {
        loop {
            self.verdict.spoken.cancelled().await;
            if let Some(failed) = self.verdict.failed.get() {
                return failed.clone();
            }
        }
    }

    /// Counts tasks that have not ended.
    #[must_use]
    pub fn tasks(&self) -> usize {
        let mut tasks = self.join_set();
        while tasks.try_join_next().is_some() {}
        tasks.len()
    }

    /// Panics a loop at its next turn; says whether there is one of that name. For tests.
    #[doc(hidden)]
    pub fn provoke_panic(&self, name: &str) -> bool {
        let loops = self.loops();
        let found = loops.iter().find(|watched| watched.name == name);
        found.inspect(|watched| watched.provoke()).is_some()
    }

    /// Tells all loops to end, waits up to `limit`, aborts the rest.
    ///
    /// # Cancel safety
    ///
    /// When dropped, tasks that have not ended are aborted.
    pub async fn shutdown(&self, limit: Duration) -> LoopsStopped {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.join_set());
        let all_ended = tokio::time::timeout(limit, join(&mut tasks)).await;
        if all_ended.is_err() {
            let left = tasks.len();
            telemetry::tell(|| tracing::warn!({ telemetry::COUNT } = left, "background loops are aborted"));
            tasks.abort_all();
            if tokio::time::timeout(ABORT_LIMIT, join(&mut tasks)).await.is_err() {
                let left = tasks.len();
                telemetry::tell(|| {
                    tracing::error!({ telemetry::COUNT } = left, "background loops block their threads")
                });
            }
        }
        LoopsStopped { loops: self.statuses(), tasks_left: tasks.len() }
    }

    fn free_name(&self, name: &str) -> String {
        let loops = self.loops();
        let is_taken = |candidate: &str| loops.iter().any(|watched| watched.name == candidate);
        if !is_taken(name) {
            return name.to_owned();
        }
        // As many candidates as there are loops and one more: one of them is free.
        let mut candidates = (2..=loops.len() + 2).map(|number| format!("{name}-{number}"));
        candidates.find(|candidate| !is_taken(candidate)).unwrap_or_else(|| name.to_owned())
    }

    fn loops(&self) -> MutexGuard<'_, Vec<Arc<Watched>>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join_set(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && !error.is_cancelled()
        {
            telemetry::tell(|| {
                tracing::error!({ telemetry::ERROR } = %telemetry::causes(&error), "a keeper of a loop panicked");
            });
        }
    }
}

/// Runs one loop again and again.
struct Keeper {
    watched: Arc<Watched>,
    policy: LoopPolicy,
    verdict: Arc<Verdict>,
    randomness: Arc<dyn Randomness>,
}

impl Keeper {
    async fn keep<F, R>(self, mut make: F)
    where
        F: FnMut(Tick) -> R + Send,
        R: Future<Output = Result<(), LoopError>> + Send,
    {
        let _ended = self.watched.ended.clone().drop_guard();
        let mut is_restart = false;
        while !self.watched.stop.is_cancelled() {
            self.watched.started(is_restart);
            is_restart = true;
            // Whatever a panic leaves behind is dropped with the run; what outlives it is behind locks that guard
            // whole values.
            let run = AssertUnwindSafe(async { make(Tick(Arc::clone(&self.watched))).await }).catch_unwind().await;
            let failure = match run {
                Ok(Ok(())) if self.watched.stop.is_cancelled() => return self.watched.ended_well(),
                Ok(Ok(())) => Failure::Ended("ended though nobody told it to".to_owned()),
                Ok(Err(error)) => Failure::Ended(with_causes(&error)),
                Err(payload) => Failure::Panicked(panic_message(&*payload)),
            };
            let Some(pause) = self.failed(&failure) else { return };
            tokio::select! {
                biased;
                () = self.watched.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Notes a failure; returns the wait before the next start, or none if there will be none.
    fn failed(&self, failure: &Failure) -> Option<Duration> {
        let Failures { recent: failures, streak } = self.watched.failed(failure);
        let status = self.watched.status();
        let last = status.last_failure.unwrap_or_default();
        if self.policy == LoopPolicy::Critical && failures >= FAILURES {
            self.watched.give_up();
            let name = self.watched.name.clone();
            let failed = LoopFailed { name, failures, within: WINDOW, last };
            let shown = telemetry::causes(&failed).to_string();
            self.verdict.failed.get_or_init(|| failed);
            self.verdict.spoken.cancel();
            telemetry::tell(|| tracing::error!({ telemetry::ERROR } = shown, "a critical loop is given up"));
            return None;
        }
        let pause = restarts().half_jitter(streak.saturating_sub(1), &*self.randomness);
        telemetry::tell(|| {
            tracing::error!(
                { telemetry::CODE } = %last,
                { telemetry::LOOP_RESTARTS } = status.restarts,
                "a background loop failed and is started again"
            );
        });
        Some(pause)
    }
}

#[async_trait]
impl HealthSource for Supervisor {
    fn name(&self) -> &'static str {
        "loops"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        self.health()
    }
}

fn with_causes(error: &LoopError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        if write!(text, ": {error}").is_err() {
            break;
        }
        cause = error.source();
    }
    text
}

fn part_of(status: &LoopStatus) -> PartHealth {
    let verdict = match (status.given_up, status.troubled) {
        (true, _) => HealthStatus::Down,
        (false, true) => HealthStatus::Degraded,
        (false, false) => HealthStatus::Ok,
    };
    let last = status.last_failure.as_ref();
    let detail = last.map(|last| format!("restarted {} times, at last: {last}", status.restarts));
    PartHealth::new(format!("loop {}", status.name), verdict, detail)
}

#[cfg(test)]
mod tests;
