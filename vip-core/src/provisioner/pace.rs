//! Whether the store's clock may be believed by who forgets: by one that is far ahead, everything would be forgotten at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::Timestamp;
use crate::telemetry;

/// Difference between both clocks over one round from which on the store's was set: more than any slewing and any slow answer.
const SET: Duration = Duration::from_secs(300);
/// How long it has to have kept pace since the start: a clock that is wrong after a boot is set right within minutes.
const SINCE_START: Duration = Duration::from_secs(3600);
/// How long it has to have kept pace since it was set: somebody may first have to notice. What is kept for a day longer does no harm.
const SINCE_SET: Duration = Duration::from_secs(86_400);

/// Difference between the store's clock and the process's own from which on one of them is wrong. What is kept for a day at the least does
/// no harm if it is forgotten an hour too early.
const APART: Duration = Duration::from_secs(3600);

/// Says by how much both clocks differ, if one of them has to be wrong: which one is not known, and it may be the store's.
///
/// A process that starts after the store's clock was set has no reading from before, and sees it keep pace from then on.
pub(super) fn apart(store: Timestamp, own: Timestamp) -> Option<Duration> {
    Some(difference(store, own)).filter(|by| *by > APART)
}

fn difference(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

/// Compares readings of the store's clock with the monotonic one.
#[derive(Debug)]
pub(super) struct Pace {
    last: Option<(Timestamp, Instant)>,
    trusted_from: Instant,
}

impl Pace {
    /// Begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { last: None, trusted_from: now + SINCE_START }
    }

    /// Takes a reading; says whether the clock has kept pace for long enough.
    pub(super) fn is_kept(&mut self, store: Timestamp, now: Instant) -> bool {
        if let Some((then, at)) = self.last.replace((store, now)) {
            let expected = then.plus(now.saturating_duration_since(at));
            if difference(store, expected) > SET {
                self.trusted_from = now + SINCE_SET;
                telemetry::tell(|| {
                    tracing::warn!(from = %expected, to = %store, "the store's clock was set: nothing is trimmed for a day");
                });
            }
        }
        now >= self.trusted_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    /// Says after how long a clock is trusted that was off by so much at one reading, and kept pace since.
    fn trusted_after(at_once: Duration, is_ahead: bool) -> Duration {
        let (begun, start) = (Instant::now(), Timestamp::from_micros(7).plus(YEAR));
        let mut pace = Pace::new(begun);
        assert!(!pace.is_kept(start, begun));
        let now = if is_ahead { start.plus(at_once) } else { start.minus(at_once) };
        let mut passed = Duration::ZERO;
        while !pace.is_kept(now.plus(passed), begun + passed) {
            passed += EVERY;
        }
        passed
    }

    #[test]
    fn clocks_are_apart_from_more_than_an_hour_on_whichever_is_ahead() {
        let (early, late) = (Timestamp::from_micros(7), Timestamp::from_micros(7).plus(APART));
        assert_eq!((apart(early, late), apart(late, early), apart(late, late)), (None, None, None));
        let by = APART + Duration::from_micros(1);
        let later = early.plus(by);
        assert_eq!((apart(early, later), apart(later, early)), (Some(by), Some(by)));
    }

    #[test]
    fn a_clock_is_trusted_an_hour_after_the_start_and_a_day_after_it_was_set() {
        assert_eq!(trusted_after(Duration::ZERO, true), SINCE_START);
        for is_ahead in [true, false] {
            assert_eq!(trusted_after(SET, is_ahead), SINCE_START);
            assert_eq!(trusted_after(SET + Duration::from_micros(1), is_ahead), SINCE_SET);
            assert_eq!(trusted_after(YEAR, is_ahead), SINCE_SET);
        }
    }

    #[test]
    fn a_clock_that_is_set_right_again_is_trusted_a_day_after_that() {
        let (begun, start) = (Instant::now(), Timestamp::from_micros(7));
        let mut pace = Pace::new(begun);
        let kept = |pace: &mut Pace, after, ahead| pace.is_kept(start.plus(after).plus(ahead), begun + after);
        assert!(!kept(&mut pace, Duration::ZERO, Duration::ZERO));
        assert!(kept(&mut pace, SINCE_START, Duration::ZERO));
        assert!(!kept(&mut pace, SINCE_START + EVERY, YEAR));
        assert!(!kept(&mut pace, SINCE_START + EVERY * 2, Duration::ZERO));
        assert!(!kept(&mut pace, SINCE_SET + SINCE_START + EVERY, Duration::ZERO));
        assert!(kept(&mut pace, SINCE_SET + SINCE_START + EVERY * 2, Duration::ZERO));
    }
}
