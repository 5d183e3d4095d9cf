//! Counts calls over a sliding time in exact buckets. Pure; the time is an argument.

use std::time::Duration;

/// Buckets of a window.
const BUCKETS: u32 = 10;

/// Is how many calls there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// All of them.
    pub(crate) calls: u64,
    /// Those that failed by an outage.
    pub(crate) failed: u64,
    /// Those that were slow, failed or not.
    pub(crate) slow: u64,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.failed = self.failed.saturating_add(more.failed);
        self.slow = self.slow.saturating_add(more.slow);
    }
}

/// Returns whether `part` of `whole` is at least `percent`.
pub(super) fn reaches(part: u64, whole: u64, percent: u8) -> bool {
    part.saturating_mul(100) >= whole.saturating_mul(u64::from(percent)) && part > 0
}

/// Returns the time that one bucket of a window of this length counts.
pub(super) fn width(length: Duration) -> Duration {
    (length / BUCKETS).max(Duration::from_nanos(1))
}

/// Returns the number of the bucket that a time falls into; from 1, as 0 is an empty bucket.
pub(super) fn number(width: Duration, now: Duration) -> u64 {
    u64::try_from(now.as_nanos() / width.as_nanos().max(1)).unwrap_or(u64::MAX - 1).saturating_add(1)
}

/// Is a ring of buckets; each knows which stretch of time it counts.
#[derive(Debug, Clone)]
pub(super) struct Window {
    width: Duration,
    buckets: [(u64, Counts); BUCKETS as usize],
}

impl Window {
    /// Makes an empty window of this length.
    pub(super) fn new(length: Duration) -> Self {
        Self { width: width(length), buckets: [(0, Counts::default()); 10] }
    }

    /// Returns the number of the bucket that a time falls into.
    pub(super) fn number(&self, now: Duration) -> u64 {
        number(self.width, now)
    }

    /// Counts calls in a bucket; one that has left the window is not counted.
    pub(super) fn add(&mut self, number: u64, counts: Counts) {
        let place = usize::try_from(number % u64::from(BUCKETS)).unwrap_or(0);
        let Some(bucket) = self.buckets.get_mut(place) else {
            return;
        };
        if bucket.0 < number {
            *bucket = (number, Counts::default());
        }
        if bucket.0 == number {
            bucket.1.add(counts);
        }
    }

    /// Sums the buckets that the window covers now.
    pub(super) fn sum(&self, now: Duration) -> Counts {
        let newest = self.number(now);
        let covered = |number: u64| number > 0 && number <= newest && newest - number < u64::from(BUCKETS);
        let mut sum = Counts::default();
        for (_, counts) in self.buckets.iter().filter(|(number, _)| covered(*number)) {
            sum.add(*counts);
        }
        sum
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.buckets = [(0, Counts::default()); 10];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one() -> Counts {
        Counts { calls: 1, failed: 0, slow: 0 }
    }

    #[test]
    fn a_call_counts_for_the_length_of_the_window_and_not_longer() {
        let mut window = Window::new(Duration::from_secs(60));
        window.add(window.number(Duration::ZERO), one());
        assert_eq!(window.sum(Duration::from_secs(60) - Duration::from_nanos(1)).calls, 1);
        assert_eq!(window.sum(Duration::from_secs(60)).calls, 0);
    }

    #[test]
    fn a_share_is_reached_at_its_bound_and_not_below() {
        assert!(reaches(5, 10, 50) && !reaches(4, 9, 50) && !reaches(0, 0, 50));
    }

    proptest! {
        /// The ring agrees with a list of all calls.
        #[test]
        fn the_window_counts_exactly_what_fell_into_its_buckets(steps in prop::collection::vec(0_u64..20_000, 1..200)) {
            let mut window = Window::new(Duration::from_secs(60));
            let mut all = Vec::new();
            let mut now = Duration::ZERO;
            for step in steps {
                now += Duration::from_millis(step);
                let number = window.number(now);
                window.add(number, one());
                all.push(number);
                let covered = all.iter().filter(|it| number - **it < u64::from(BUCKETS)).count();
                prop_assert_eq!(window.sum(now).calls, covered as u64);
            }
        }
    }
}
