//! How long to wait before a busy database is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vip_core::ports::Randomness;

/// Waits longer each time, with jitter so that processes do not keep meeting, until a deadline.
#[derive(Debug)]
pub(crate) struct Backoff {
    randomness: Arc<dyn Randomness>,
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Starts with the shortest wait; doubles it up to the longest.
    pub(crate) const fn new(randomness: Arc<dyn Randomness>, first: Duration, most: Duration) -> Self {
        Self { randomness, next: first, most }
    }

    /// Waits, and says whether there is time for another try.
    pub(crate) async fn pause(&mut self, deadline: Instant) -> bool {
        let wait = self.next.mul_f64(0.5 + self.randomness.share() / 2.0);
        self.next = self.next.saturating_mul(2).min(self.most);
        let until = Instant::now() + wait;
        if until >= deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}
