//! One life of a process: it can die without a word, stand still, or be told to stop.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Says how a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Not yet.
    Alive,
    /// At once; none of its destructors may act.
    Crashed,
    /// By a shutdown without time: calls are dropped, destructors act.
    Cancelled,
    /// By a shutdown with time: the run is over.
    Stopped,
}

/// Is one life of a process.
#[derive(Debug)]
pub struct Incarnation {
    /// Counts lives over all processes.
    pub number: u32,
    end: watch::Sender<End>,
    frozen_until: Mutex<Instant>,
}

impl Incarnation {
    /// Begins a life.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self { number, end: watch::Sender::new(End::Alive), frozen_until: Mutex::new(Instant::now()) }
    }

    /// Ends it; a crash is final, and the first end counts.
    pub fn end(&self, how: End) {
        self.end.send_if_modified(|end| {
            let changes = *end != End::Crashed && (*end == End::Alive || how == End::Crashed);
            if changes {
                *end = how;
            }
            changes
        });
    }

    /// Lets it stand still from now on.
    pub fn freeze(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut frozen = self.frozen_until.lock().unwrap();
        *frozen = until.max(*frozen);
    }

    /// Waits while it stands still, and for ever once it is dead.
    pub async fn living(&self) {
        loop {
            if *self.end.borrow() == End::Crashed {
                std::future::pending::<()>().await;
            }
            let until = *self.frozen_until.lock().unwrap();
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Waits until it moves again, or is dead.
    pub async fn moving(&self) {
        loop {
            let until = *self.frozen_until.lock().unwrap();
            if until <= Instant::now() || *self.end.borrow() == End::Crashed {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Waits until it ends, and says how.
    pub async fn ended(&self) -> End {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(|end| *end != End::Alive).await;
        ended.map_or(End::Crashed, |end| *end)
    }

    /// Waits until it crashes.
    pub async fn crashed(&self) {
        let mut end = self.end.subscribe();
        if end.wait_for(|end| *end == End::Crashed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
