//! How a waiting worker learns of jobs: at once from its own process, by looking now and then from others.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Row, SqlitePool};
use tokio::sync::watch;
use tokio::time::Instant;
use vip_core::model::Timestamp;
use vip_core::ports::Clock;
use vip_core::telemetry;

use super::queries::Queries;

/// Longest wait for a hint, whatever is asked for.
const WAIT_MOST: Duration = Duration::from_secs(24 * 3600);

/// Says what a look found.
enum Look {
    /// A job may have become due.
    Due,
    /// The next job becomes due after this time, or none is known.
    Later(Option<Duration>),
}

/// Waits for jobs.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Of one connection, always the same: `data_version` is told per connection.
    pool: SqlitePool,
    queries: Arc<Queries>,
    clock: Arc<dyn Clock>,
    poll_interval: Duration,
    /// Counts the jobs that this process put among the waiting ones.
    arrivals: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    /// How many arrivals the last claim has seen: if there were more since, there is nothing to wait for.
    seen: AtomicU64,
    /// The time of the last claim, in microseconds.
    claimed_at: AtomicI64,
    /// The `data_version` of the last look.
    version: AtomicI64,
}

/// Is what a watcher works with.
pub(super) struct WatcherParts {
    pub(super) pool: SqlitePool,
    pub(super) queries: Arc<Queries>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) poll_interval: Duration,
    pub(super) arrivals: watch::Receiver<u64>,
    pub(super) closing: watch::Receiver<bool>,
}

impl Watcher {
    pub(super) fn new(parts: WatcherParts) -> Self {
        let WatcherParts { pool, queries, clock, poll_interval, arrivals, closing } = parts;
        let (seen, claimed_at, version) = (AtomicU64::new(0), AtomicI64::new(0), AtomicI64::new(0));
        Self { pool, queries, clock, poll_interval, arrivals, closing, seen, claimed_at, version }
    }

    /// Remembers that a claim begins: what arrives or becomes due from now on is news.
    pub(super) fn note_claim(&self, now: Timestamp) {
        self.seen.store(*self.arrivals.borrow(), Ordering::SeqCst);
        self.claimed_at.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Returns when a job may have become due, or after `timeout`.
    pub(super) async fn wait(&self, timeout: Duration) {
        // Beyond that a time-out has no end that a clock could show.
        let deadline = Instant::now() + timeout.min(WAIT_MOST);
        let mut arrivals = self.arrivals.clone();
        let mut closing = self.closing.clone();
        let arrived = *arrivals.borrow_and_update();
        if arrived != self.seen.load(Ordering::SeqCst) {
            return;
        }
        loop {
            let pause = match self.look().await {
                Ok(Look::Due) => return,
                Ok(Look::Later(next)) => next.map_or(self.poll_interval, |next| next.min(self.poll_interval)),
                Err(error) => {
                    // A hint is missed; whoever waits finds out by claiming.
                    telemetry::tell(|| tracing::debug!(%error, "could not look for jobs"));
                    self.poll_interval
                }
            };
            let until = deadline.min(Instant::now() + pause);
            tokio::select! {
                _ = arrivals.changed() => return,
                _ = closing.changed() => return,
                () = tokio::time::sleep_until(until) => {
                    if Instant::now() >= deadline {
                        return;
                    }
                }
            }
        }
    }

    async fn look(&self) -> Result<Look, sqlx::Error> {
        let now = self.clock.now();
        let query = self.queries.job_watch.query().bind(now.as_micros());
        let row = query.bind(self.claimed_at.load(Ordering::SeqCst)).fetch_one(&self.pool).await?;
        let version: i64 = row.try_get("version")?;
        let changed = self.version.swap(version, Ordering::SeqCst) != version;
        // Not "due" alone: a due job of a kind that nobody here knows must not turn the waiting into a busy loop.
        if row.try_get("ripened")? || (changed && row.try_get("due")?) {
            return Ok(Look::Due);
        }
        let next = row.try_get::<Option<i64>, _>("next_due")?;
        Ok(Look::Later(next.map(|due| Timestamp::from_micros(due).since(now))))
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
