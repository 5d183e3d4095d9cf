//! When a breaker opens, for how long, and how it closes; every number bounded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timing;

/// Holds the numbers of a breaker; an unsound set is refused by the builder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// Failures in a row that open it. Default 5, from 1 to 1000.
    pub failures_in_a_row: u32,
    /// Time over which shares are counted, in ten exact buckets. Default 60 s, from 1 s to 1 h.
    pub window: Duration,
    /// Calls in the window that a share takes to count. Default 10, from 1 to 1000.
    pub calls_least: u32,
    /// Percent of failed calls in the window that open it. Default 50, from 1 to 100.
    pub failed_percent: u8,
    /// Time from which a call is slow. Default 10 s, from 1 ms to 10 min.
    pub slow_call: Duration,
    /// Percent of slow calls in the window that open it. Default 80, from 1 to 100.
    pub slow_percent: u8,
    /// How long it is open the first time; doubles up to `open_most` while it opens again. Default 30 s, from 1 ms to 1 h.
    pub open_first: Duration,
    /// How long it is open at the most, without up to a tenth of jitter. Default 45 s, at least `open_first` and at most
    /// 1 h: the end of an outage is noticed that late.
    pub open_most: Duration,
    /// Longest probe; a probe that hangs longer is given up and another one may begin. Default 10 s, from 1 ms to 5 min.
    pub probe_deadline: Duration,
    /// How long requests are held at a small part of their rate after it has closed. Default 60 s, up to 1 h; then half
    /// of the rate for half of that time.
    pub easing: Duration,
    /// Percent of the rate while easing. Default 15, from 1 to 100: with the probe, less than a fifth.
    pub easing_percent: u8,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            window: Duration::from_secs(60),
            calls_least: 10,
            failed_percent: 50,
            slow_call: Duration::from_secs(10),
            slow_percent: 80,
            open_first: Duration::from_secs(30),
            open_most: Duration::from_secs(45),
            probe_deadline: Duration::from_secs(10),
            easing: Duration::from_secs(60),
            easing_percent: 15,
        }
    }
}

/// Says which bound of a breaker's settings does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("breaker: {rule} does not hold")]
#[non_exhaustive]
pub struct BreakerSettingsError {
    /// The bound.
    pub rule: &'static str,
}

impl BreakerSettings {
    /// Returns settings in proportion to a product's timings; with the default ones, the defaults.
    #[must_use]
    pub fn for_timing(timing: &Timing) -> Self {
        let (least, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        let unused = timing.backoff_most;
        let slow = (timing.request_deadline / 3).clamp(least, Duration::from_secs(300));
        Self {
            window: unused.clamp(Duration::from_secs(1), hour),
            slow_call: slow,
            open_first: (unused / 2).clamp(least, hour),
            open_most: (unused / 4 * 3).clamp(least, hour),
            probe_deadline: slow,
            easing: unused.min(hour),
            ..Self::default()
        }
    }

    /// Returns how soon to ask again while another call probes.
    pub(super) fn probe_retry(&self) -> Duration {
        self.open_first / 15
    }

    /// Returns how soon to ask again while as many creates are on their way as may be.
    pub(super) fn ramp_retry(&self) -> Duration {
        self.open_first / 30
    }

    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`BreakerSettingsError`] with the first bound that does not hold.
    pub fn check(&self) -> Result<(), BreakerSettingsError> {
        let (ms, hour) = (Duration::from_millis, Duration::from_secs(3600));
        let rules = [
            ((1..=1000).contains(&self.failures_in_a_row), "1 ≤ failures_in_a_row ≤ 1000"),
            ((ms(1000)..=hour).contains(&self.window), "1 s ≤ window ≤ 1 h"),
            ((1..=1000).contains(&self.calls_least), "1 ≤ calls_least ≤ 1000"),
            ((1..=100).contains(&self.failed_percent), "1 ≤ failed_percent ≤ 100"),
            ((ms(1)..=ms(600_000)).contains(&self.slow_call), "1 ms ≤ slow_call ≤ 10 min"),
            ((1..=100).contains(&self.slow_percent), "1 ≤ slow_percent ≤ 100"),
            ((ms(1)..=hour).contains(&self.open_first), "1 ms ≤ open_first ≤ 1 h"),
            ((self.open_first..=hour).contains(&self.open_most), "open_first ≤ open_most ≤ 1 h"),
            ((ms(1)..=ms(300_000)).contains(&self.probe_deadline), "1 ms ≤ probe_deadline ≤ 5 min"),
            (self.easing <= hour, "easing ≤ 1 h"),
            ((1..=100).contains(&self.easing_percent), "1 ≤ easing_percent ≤ 100"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(BreakerSettingsError { rule }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(change: impl FnOnce(&mut BreakerSettings)) -> bool {
        let mut settings = BreakerSettings::default();
        change(&mut settings);
        settings.check().is_ok()
    }

    #[test]
    fn settings_follow_the_timings_and_the_defaults_are_those_of_the_default_timings() {
        assert_eq!(BreakerSettings::for_timing(&Timing::default()), BreakerSettings::default());
        let quick = Timing { backoff_most: Duration::from_secs(1), ..Timing::default() };
        let settings = BreakerSettings::for_timing(&quick);
        assert_eq!((settings.open_first, settings.check()), (Duration::from_millis(500), Ok(())));
        let none = Timing { backoff_most: Duration::ZERO, request_deadline: Duration::ZERO, ..Timing::default() };
        assert_eq!(BreakerSettings::for_timing(&none).check(), Ok(()));
        let long = Timing { backoff_most: Duration::MAX, request_deadline: Duration::MAX, ..Timing::default() };
        assert_eq!(BreakerSettings::for_timing(&long).check(), Ok(()));
    }

    #[test]
    fn every_bound_holds_at_its_limit_and_not_one_step_beyond() {
        let ms = Duration::from_millis;
        let hour = ms(3_600_000);
        assert!(holds(|_| {}));
        for (good, bad) in [(1, 0), (1000, 1001)] {
            assert!(holds(|it| it.failures_in_a_row = good) && !holds(|it| it.failures_in_a_row = bad));
            assert!(holds(|it| it.calls_least = good) && !holds(|it| it.calls_least = bad));
        }
        for (good, bad) in [(1, 0), (100, 101)] {
            assert!(holds(|it| it.failed_percent = good) && !holds(|it| it.failed_percent = bad));
            assert!(holds(|it| it.slow_percent = good) && !holds(|it| it.slow_percent = bad));
            assert!(holds(|it| it.easing_percent = good) && !holds(|it| it.easing_percent = bad));
        }
        assert!(holds(|it| it.window = ms(1000)) && !holds(|it| it.window = ms(999)));
        assert!(holds(|it| it.window = hour) && !holds(|it| it.window = hour + ms(1)));
        assert!(holds(|it| it.slow_call = ms(1)) && !holds(|it| it.slow_call = ms(0)));
        assert!(holds(|it| it.slow_call = ms(600_000)) && !holds(|it| it.slow_call = ms(600_001)));
        assert!(holds(|it| it.open_first = ms(1)) && !holds(|it| it.open_first = ms(0)));
        assert!(holds(|it| it.open_most = it.open_first) && !holds(|it| it.open_most = it.open_first - ms(1)));
        assert!(holds(|it| it.open_most = hour) && !holds(|it| it.open_most = hour + ms(1)));
        assert!(holds(|it| it.probe_deadline = ms(1)) && !holds(|it| it.probe_deadline = ms(0)));
        assert!(holds(|it| it.probe_deadline = ms(300_000)) && !holds(|it| it.probe_deadline = ms(300_001)));
        assert!(holds(|it| it.easing = hour) && !holds(|it| it.easing = hour + ms(1)));
    }
}
