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
    use proptest::prelude::*;

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

    fn any_duration() -> impl Strategy<Value = Duration> {
        let nanos = (0..1_000_000_000_u32).prop_map(|nanos| Duration::new(0, nanos));
        let all = (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
        prop_oneof![
            Just(Duration::ZERO),
            nanos,
            (0..100_000_u64).prop_map(Duration::from_millis),
            all,
            Just(Duration::MAX)
        ]
    }

    proptest! {
        #[test]
        fn any_back_off_grows_within_its_bounds_and_its_jitter_stays_in_range(
            first in any_duration(), most in any_duration(), failures in prop_oneof![0..70_u32, any::<u32>()], seed in any::<u64>(),
        ) {
            let (backoff, randomness) = (Backoff::new(first, most), SeededRandomness::new(seed));
            let ceiling = backoff.ceiling(failures);
            prop_assert!((first..=most.max(first)).contains(&ceiling));
            let next = backoff.ceiling(failures.saturating_add(1));
            prop_assert!(next >= ceiling && (next == most.max(first) || next == ceiling * 2 || failures == u32::MAX));
            // A double holds 53 bits: a share of a long wait is exact to a few parts in 2^52 only.
            let blur = Duration::from_nanos(u64::try_from(ceiling.as_nanos() >> 50).unwrap()) + Duration::from_nanos(1);
            let full = backoff.full_jitter(failures, &randomness);
            prop_assert!(full <= ceiling.saturating_add(blur));
            let half = backoff.half_jitter(failures, &randomness);
            prop_assert!(half <= ceiling.saturating_add(blur) && half >= (ceiling / 2).saturating_sub(blur));
        }
    }
}
