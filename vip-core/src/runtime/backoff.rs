//! How long to wait after the n-th failure: doubling, capped, jittered.

use std::time::Duration;

use crate::ports::Randomness;

/// Doubles from a first wait up to a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Makes a back-off; the longest wait is never below the first.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most: most.max(first) }
    }

    /// Returns the longest wait after `failures` failures before this one.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures).and_then(|factor| self.first.checked_mul(factor));
        doubled.map_or(self.most, |wait| wait.min(self.most))
    }

    /// Returns a wait from zero to the ceiling: spreads many that failed together.
    #[must_use]
    pub fn full_jitter(&self, failures: u32, randomness: &dyn Randomness) -> Duration {
        self.ceiling(failures).mul_f64(randomness.share())
    }

    /// Returns a wait from half the ceiling to the ceiling: never at once again.
    #[must_use]
    pub fn half_jitter(&self, failures: u32, randomness: &dyn Randomness) -> Duration {
        self.ceiling(failures).mul_f64(randomness.share().mul_add(0.5, 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SeededRandomness;

    #[test]
    fn the_ceiling_doubles_up_to_its_cap_and_does_not_overflow() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(900));
        let seconds = [0, 1, 2, 9, 10, 31, 32, u32::MAX].map(|failures| backoff.ceiling(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 512, 900, 900, 900, 900]);
        assert_eq!(Backoff::new(Duration::MAX, Duration::ZERO).ceiling(5), Duration::MAX);
    }

    #[test]
    fn jitter_stays_in_its_range_and_uses_all_of_it() {
        let (randomness, backoff) = (SeededRandomness::new(1), Backoff::new(Duration::from_secs(8), Duration::MAX));
        let full: Vec<f64> = (0..200).map(|_| backoff.full_jitter(0, &randomness).as_secs_f64()).collect();
        let half: Vec<f64> = (0..200).map(|_| backoff.half_jitter(0, &randomness).as_secs_f64()).collect();
        assert!(full.iter().all(|wait| (0.0..8.0).contains(wait)) && full.iter().any(|wait| *wait < 1.0));
        assert!(half.iter().all(|wait| (4.0..8.0).contains(wait)) && half.iter().any(|wait| *wait > 7.0));
    }
}
