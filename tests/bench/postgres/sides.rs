//! What both sides of a comparison do: enqueue, work, and say when nothing is left.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use vip_core::ports::{Clock, SystemClock};

/// What a job carries: some text, its number, and when it was made, in microseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    text: String,
    pub(crate) number: usize,
    made: i64,
}

fn now() -> i64 {
    SystemClock.now().as_micros()
}

impl Body {
    pub(crate) fn new(number: usize) -> Self {
        Self { text: "0123456789abcdef".repeat(4), number, made: now() }
    }
}

/// Counts what the handlers of a run have seen.
#[derive(Debug)]
pub(crate) struct Seen {
    target: usize,
    runs: AtomicUsize,
    each: Vec<AtomicBool>,
    waits: Mutex<Vec<Duration>>,
    done: Notify,
}

impl Seen {
    /// Waits for `target` runs of jobs with numbers below `jobs`.
    pub(crate) fn new(jobs: usize, target: usize) -> Arc<Self> {
        let each = (0..jobs).map(|_| AtomicBool::new(false)).collect();
        let seen = Self { target, runs: AtomicUsize::new(0), each, waits: Mutex::default(), done: Notify::new() };
        Arc::new(seen)
    }

    /// Is the work of a handler.
    pub(crate) fn note(&self, body: &Body) {
        assert!(!self.each.get(body.number).unwrap().swap(true, Ordering::Relaxed), "a job ran twice");
        if self.runs.fetch_add(1, Ordering::SeqCst) + 1 == self.target {
            self.done.notify_one();
        }
    }

    /// The same, and how long the job has waited.
    pub(crate) fn note_wait(&self, body: &Body) {
        let waited = Duration::from_micros(u64::try_from(now() - body.made).unwrap_or(0));
        self.waits.lock().unwrap().push(waited);
        self.note(body);
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }

    pub(crate) async fn done(&self) {
        self.done.notified().await;
    }
}

/// Says what a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// As much as it can.
    Much,
    /// Now and then one job, at once.
    Soon,
}

/// Is a queue under measurement.
#[async_trait]
pub(crate) trait Side: Send + Sync {
    async fn enqueue(&self, numbers: std::ops::Range<usize>);
    async fn start(&self, seen: Arc<Seen>, work: Work) -> Box<dyn Running>;
    /// Whether the store has no job any more.
    async fn is_empty(&self) -> bool;
    /// Closes all connections.
    async fn close(self: Box<Self>);
}

/// Is a worker that runs.
#[async_trait]
pub(crate) trait Running: Send {
    async fn end(self: Box<Self>);
}
