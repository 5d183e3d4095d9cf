//! How long to wait before a busy database is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vip_core::ports::Randomness;

/// Shortest wait: about as long as a small commit takes.
const FIRST: Duration = Duration::from_millis(1);
/// Longest wait: with several processes on a file each still gets many tries within its deadline.
const MOST: Duration = Duration::from_millis(25);

/// Waits longer each time, with jitter so that processes do not keep meeting, until a deadline.
#[derive(Debug)]
pub(super) struct Backoff {
    randomness: Arc<dyn Randomness>,
    next: Duration,
}

impl Backoff {
    pub(super) const fn new(randomness: Arc<dyn Randomness>) -> Self {
        Self { randomness, next: FIRST }
    }

    /// Waits, and says whether there is time for another try.
    pub(super) async fn pause(&mut self, deadline: Instant) -> bool {
        let wait = self.next.mul_f64(0.5 + self.randomness.share() / 2.0);
        self.next = self.next.saturating_mul(2).min(MOST);
        let until = Instant::now() + wait;
        if until >= deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}
