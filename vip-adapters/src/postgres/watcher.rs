//! How a waiting worker learns of jobs: at once from its own process and by the bell, by looking now and then in any case.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row;
use tokio::sync::watch;
use tokio::time::Instant;
use vip_core::model::JobKind;
use vip_core::telemetry;

use super::error::Failure;
use super::session::Sessions;

/// Longest wait for a hint, whatever is asked for.
const WAIT_MOST: Duration = Duration::from_secs(24 * 3600);

/// How long nothing is looked at after a claim.
const GRACE: Duration = Duration::from_millis(5);

/// Says what a look found.
enum Look {
    /// A job may be claimed.
    Due,
    /// The next job becomes due after this time, or none is known.
    Later(Option<Duration>),
}

/// Waits for jobs.
#[derive(Debug)]
pub(super) struct Watcher {
    sessions: Arc<Sessions>,
    poll_interval: Duration,
    arrivals: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    /// How many arrivals the last claim has seen: if there were more since, there is nothing to wait for.
    seen: AtomicU64,
    /// Kinds that were claimed here: jobs of others end no waiting.
    kinds: Mutex<BTreeSet<JobKind>>,
    /// Whether anybody waits here, so that it is worth listening.
    wanted: watch::Sender<bool>,
}

impl Watcher {
    pub(super) fn new(sessions: Arc<Sessions>, poll_interval: Duration, closing: watch::Receiver<bool>) -> Self {
        let arrivals = sessions.arrivals.subscribe();
        Self {
            sessions,
            poll_interval,
            arrivals,
            closing,
            seen: AtomicU64::new(0),
            kinds: Mutex::default(),
            wanted: watch::Sender::new(false),
        }
    }

    /// Changes as soon as somebody waits.
    pub(super) fn wanted(&self) -> watch::Receiver<bool> {
        self.wanted.subscribe()
    }

    /// Notes that somebody claims now: what arrived before is no news any more.
    pub(super) fn note_claim(&self, kinds: &[JobKind]) {
        self.seen.store(*self.arrivals.borrow(), Ordering::SeqCst);
        let mut known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        for kind in kinds {
            if !known.contains(kind) {
                known.insert(kind.clone());
            }
        }
    }

    /// Returns when a job may have become due, or after `timeout`.
    pub(super) async fn wait(&self, timeout: Duration) {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        // Beyond that a time-out has no end that a clock could show.
        let deadline = Instant::now() + timeout.min(WAIT_MOST);
        let mut arrivals = self.arrivals.clone();
        let mut closing = self.closing.clone();
        let arrived = *arrivals.borrow_and_update();
        if arrived != self.seen.load(Ordering::SeqCst) || *closing.borrow_and_update() {
            return;
        }
        // Who has just claimed has jobs to begin, and what is new most likely announces itself.
        tokio::select! {
            _ = arrivals.changed() => return,
            _ = closing.changed() => return,
            () = tokio::time::sleep_until(deadline.min(Instant::now() + GRACE)) => {}
        }
        loop {
            let pause = match self.look().await {
                Ok(Look::Due) => return,
                Ok(Look::Later(next)) => next.map_or(self.poll_interval, |next| next.min(self.poll_interval)),
                Err(error) => {
                    // A hint is missed; whoever waits finds out by claiming.
                    telemetry::tell(|| tracing::debug!(?error, "could not look for jobs"));
                    self.poll_interval
                }
            };
            let until = deadline.min(Instant::now() + self.jittered(pause));
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

    /// Shortens a pause a little, so that many processes do not all look at one moment.
    fn jittered(&self, pause: Duration) -> Duration {
        pause.mul_f64(0.9 + self.sessions.randomness.share() / 10.0)
    }

    async fn look(&self) -> Result<Look, Failure> {
        let kinds: Vec<String> = {
            let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter().map(ToString::to_string).collect()
        };
        let now = self.sessions.bound_now();
        let row = self.sessions.row(|queries| queries.job_watch.query().bind(now).bind(kinds.clone())).await?;
        let Some(row) = row else { return Ok(Look::Later(None)) };
        if row.try_get("due")? {
            return Ok(Look::Due);
        }
        let micros = row.try_get::<Option<i64>, _>("wait_micros")?.and_then(|micros| u64::try_from(micros).ok());
        Ok(Look::Later(micros.map(Duration::from_micros)))
    }
}
