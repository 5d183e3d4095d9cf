//! Simulated time: a duration since the start of the world, and how it reads on a wall clock.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in simulated time, counted from the start of the simulator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimInstant(Duration);

impl SimInstant {
    /// The start of the simulator.
    pub const START: Self = Self(Duration::ZERO);

    /// Makes the instant that lies `since_start` after the start of the simulator.
    #[must_use]
    pub const fn at(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Returns the time since the start of the simulator.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for SimInstant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Serialize for SimInstant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        millis::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SimInstant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        millis::deserialize(deserializer).map(Self)
    }
}

/// Durations as whole milliseconds, for the control interface.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Optional durations as whole milliseconds.
pub(super) mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::millis::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// What a wall clock shows at a simulated instant: a fixed start plus the simulated time.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    start: Duration,
}

impl WallClock {
    /// Makes a clock that shows `start` (since the UNIX epoch) at [`SimInstant::START`].
    pub(super) const fn starting_at(start: Duration) -> Self {
        Self { start }
    }

    /// Returns the UNIX time in seconds, rounded up.
    pub(super) fn unix_seconds(self, at: SimInstant) -> u64 {
        let time = self.start + at.since_start();
        time.as_secs() + u64::from(time.subsec_nanos() > 0)
    }

    /// Returns the time as RFC 3339 in UTC, in whole seconds as the API writes it.
    pub(super) fn rfc3339(self, at: SimInstant) -> String {
        let seconds = (self.start + at.since_start()).as_secs();
        let (year, month, day) = civil_from_days(seconds / SECONDS_PER_DAY);
        let of_day = seconds % SECONDS_PER_DAY;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

const SECONDS_PER_DAY: u64 = 86_400;

/// Turns days since 1970-01-01 into year, month and day of the Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is the last day of a year; 400 years are one cycle.
    let shifted = days + 719_468;
    let cycle = shifted / 146_097;
    let day_of_cycle = shifted % 146_097;
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_cycle + cycle * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(unix_seconds: u64) -> String {
        WallClock::starting_at(Duration::from_secs(unix_seconds)).rfc3339(SimInstant::START)
    }

    #[test]
    fn wall_clock_shows_known_dates() {
        assert_eq!(shown(0), "1970-01-01T00:00:00Z");
        assert_eq!(shown(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(shown(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(shown(1_795_500_000), "2026-11-24T06:00:00Z");
        assert_eq!(shown(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(shown(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn unix_seconds_are_rounded_up() {
        let clock = WallClock::starting_at(Duration::from_secs(10));
        assert_eq!(clock.unix_seconds(SimInstant::at(Duration::from_millis(1000))), 11);
        assert_eq!(clock.unix_seconds(SimInstant::at(Duration::from_millis(1001))), 12);
    }
}
