//! The token bucket of a project: bursts up to the limit, refilled evenly over an hour.

use std::time::Duration;

use super::time::SimInstant;

const HOUR: Duration = Duration::from_secs(3600);

/// What the `RateLimit-*` headers of an answer say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RateLimit {
    pub(super) limit_per_hour: u32,
    pub(super) remaining: u32,
    /// When the bucket is full again, not when the next request is allowed.
    pub(super) full_at: SimInstant,
}

/// A bucket, kept as the time at which it is full again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    limit_per_hour: u32,
    full_at: SimInstant,
}

impl Bucket {
    /// Makes a full bucket; a limit of zero counts as one.
    pub(super) fn full(limit_per_hour: u32) -> Self {
        Self { limit_per_hour: limit_per_hour.max(1), full_at: SimInstant::START }
    }

    /// Takes one token; `false` means that there was none, and nothing was taken.
    pub(super) fn take(&mut self, now: SimInstant) -> bool {
        let cost = self.interval();
        let debt = self.full_at.since(now) + cost;
        if debt > cost * self.limit_per_hour {
            return false;
        }
        self.full_at = now + debt;
        true
    }

    /// Tells what the headers say now.
    pub(super) fn state(&self, now: SimInstant) -> RateLimit {
        let debt = self.full_at.since(now);
        let spent = debt.as_nanos().div_ceil(self.interval().as_nanos().max(1));
        RateLimit {
            limit_per_hour: self.limit_per_hour,
            remaining: self.limit_per_hour.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX)),
            full_at: self.full_at.max(now),
        }
    }

    /// Tells what the headers of an empty bucket say now.
    pub(super) fn exhausted(&self, now: SimInstant) -> RateLimit {
        RateLimit { limit_per_hour: self.limit_per_hour, remaining: 0, full_at: now + HOUR }
    }

    fn interval(&self) -> Duration {
        HOUR / self.limit_per_hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SimInstant {
        SimInstant::at(Duration::from_secs(seconds))
    }

    #[test]
    fn burst_up_to_the_limit_is_allowed_and_one_more_is_not() {
        let mut bucket = Bucket::full(10);
        for _ in 0..10 {
            assert!(bucket.take(at(5)));
        }
        assert_eq!(bucket.state(at(5)).remaining, 0);
        assert!(!bucket.take(at(5)));
    }

    #[test]
    fn empty_bucket_of_3600_allows_one_request_after_a_second() {
        let mut bucket = Bucket::full(3600);
        while bucket.take(at(0)) {}
        assert!(bucket.take(at(1)));
        assert!(!bucket.take(at(1)));
        assert!(bucket.take(at(2)));
    }

    #[test]
    fn headers_after_four_requests_say_full_in_four_seconds() {
        let mut bucket = Bucket::full(3600);
        for _ in 0..4 {
            assert!(bucket.take(at(100)));
        }
        let expected = RateLimit { limit_per_hour: 3600, remaining: 3596, full_at: at(104) };
        assert_eq!(bucket.state(at(100)), expected);
        assert_eq!(bucket.state(at(104)).remaining, 3600);
    }
}
