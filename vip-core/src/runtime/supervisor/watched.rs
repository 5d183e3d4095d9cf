//! One supervised loop from both sides: what the supervisor notes about it, and what the loop may ask.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::policy::{LoopStatus, WINDOW};

/// Is what is known about a loop.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: String,
    /// Tells the loop to end.
    pub(super) stop: CancellationToken,
    /// Is set when the loop has ended and is not started again.
    pub(super) ended: CancellationToken,
    provoked: AtomicBool,
    nudge: Notify,
    turns: AtomicU64,
    history: Mutex<History>,
}

#[derive(Debug, Default)]
struct History {
    running: bool,
    restarts: u32,
    panics: u32,
    given_up: bool,
    last_failure: Option<String>,
    recent: VecDeque<Instant>,
    started_at: Option<Instant>,
    /// Failures since a run last held for as long as a failure counts.
    streak: u32,
}

/// Counts the failures of a loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures {
    /// Within the last minute.
    pub(super) recent: usize,
    /// One soon after the other.
    pub(super) streak: u32,
}

/// Says how a run of a loop failed.
#[derive(Debug)]
pub(super) enum Failure {
    Panicked(&'static str),
    Ended(String),
}

impl Watched {
    pub(super) fn new(name: String, stop: CancellationToken) -> Self {
        Self {
            name,
            stop,
            ended: CancellationToken::new(),
            provoked: AtomicBool::new(false),
            nudge: Notify::new(),
            turns: AtomicU64::new(0),
            history: Mutex::default(),
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a start; all but the first are restarts.
    pub(super) fn started(&self, is_restart: bool) {
        let mut history = self.history();
        history.running = true;
        history.started_at = Some(Instant::now());
        history.restarts = history.restarts.saturating_add(u32::from(is_restart));
    }

    pub(super) fn ended_well(&self) {
        self.history().running = false;
    }

    /// Notes a failure; returns how many there were, this one included.
    pub(super) fn failed(&self, failure: &Failure) -> Failures {
        let now = Instant::now();
        let mut history = self.history();
        history.running = false;
        history.last_failure = Some(match failure {
            Failure::Panicked(message) => {
                history.panics = history.panics.saturating_add(1);
                format!("panicked: {message}")
            }
            Failure::Ended(message) => message.clone(),
        });
        history.recent.push_back(now);
        history.recent.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        let held = history.started_at.is_some_and(|at| now.saturating_duration_since(at) >= WINDOW);
        history.streak = if held { 1 } else { history.streak.saturating_add(1) };
        Failures { recent: history.recent.len(), streak: history.streak }
    }

    pub(super) fn give_up(&self) {
        self.history().given_up = true;
    }

    pub(super) fn status(&self) -> LoopStatus {
        let now = Instant::now();
        let history = self.history();
        LoopStatus {
            name: self.name.clone(),
            running: history.running,
            restarts: history.restarts,
            panics: history.panics,
            last_failure: history.last_failure.clone(),
            troubled: history.recent.iter().any(|at| now.saturating_duration_since(*at) < WINDOW),
            given_up: history.given_up,
            turns: self.turns.load(Ordering::Relaxed),
        }
    }

    pub(super) fn provoke(&self) {
        self.provoked.store(true, Ordering::SeqCst);
        self.nudge.notify_one();
    }
}

/// Is what a loop holds of its supervisor: it calls [`beat`](Self::beat) once a turn and ends when told to.
#[derive(Debug, Clone)]
pub struct Tick(pub(super) Arc<Watched>);

impl Tick {
    /// Counts a turn of the loop.
    ///
    /// # Panics
    ///
    /// When a test has provoked it to.
    #[expect(clippy::panic, reason = "a test must be able to panic every loop by name; nothing else sets the mark")]
    pub fn beat(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
        if self.0.provoked.swap(false, Ordering::SeqCst) {
            panic!("provoked");
        }
    }

    /// Says whether the loop should end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Resolves when the loop should end or make a turn at once.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn interrupted(&self) {
        tokio::select! {
            // In a fixed order: under the paused clock one seed is then one run.
            biased;
            () = self.0.stop.cancelled() => {}
            () = self.0.nudge.notified() => {}
        }
    }

    /// Waits, until the time is over or the loop should end or make a turn at once.
    pub async fn pause(&self, time: Duration) {
        tokio::select! {
            biased;
            () = self.interrupted() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}

/// Ends one loop before the others.
#[derive(Debug, Clone)]
#[must_use = "a loop that is to end before the others is ended by its handle"]
pub struct LoopHandle(pub(super) Arc<Watched>);

impl LoopHandle {
    /// Tells the loop to end after its present turn.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Resolves when the loop has ended for good.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.ended.clone().cancelled_owned()
    }

    /// Shows how the loop fares.
    #[must_use]
    pub fn status(&self) -> LoopStatus {
        self.0.status()
    }
}
