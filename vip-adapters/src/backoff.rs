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

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const FIRST: Duration = Duration::from_millis(8);
    const MOST: Duration = Duration::from_millis(20);

    /// Draws the same number each time.
    #[derive(Debug)]
    struct Same(u64);

    impl Randomness for Same {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    fn backoff(draw: u64) -> Backoff {
        Backoff::new(Arc::new(Same(draw)), FIRST, MOST)
    }

    /// Returns the first four waits, in milliseconds.
    async fn waits(draw: u64) -> Vec<u128> {
        let (mut backoff, deadline) = (backoff(draw), Instant::now() + 1_000 * MILLI);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let begun = Instant::now();
            assert!(backoff.pause(deadline).await);
            waits.push(begun.elapsed().as_millis());
        }
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest_and_each_is_between_half_and_all_of_it() {
        assert_eq!(waits(0).await, [4, 8, 10, 10]);
        assert_eq!(waits(1 << 63).await, [6, 12, 15, 15], "who draws another number waits for another time");
        assert_eq!(waits(u64::MAX).await, [8, 16, 20, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_would_reach_the_deadline_is_not_begun() {
        let begun = Instant::now();
        assert!(!backoff(0).pause(begun + FIRST / 2).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(backoff(0).pause(begun + FIRST / 2 + MILLI).await, "there is time for another try");
    }
}
