//! Tells callers who cannot have a place when to come back: not all at the same moment. Pure; the time is an argument.

use std::time::Duration;

/// Askers that are asked back for one second: far more than places, far fewer than a store would feel. A record asks
/// several times before it waits.
const PER_SECOND: f64 = 400.0;

/// Counts those who were told to come back and are not due yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    away: f64,
    at: Duration,
}

impl Crowd {
    /// Says how long to stay away: longer than whoever was told so before, from `least` on, but never over `most`.
    pub(super) fn stay_away(&mut self, now: Duration, least: Duration, most: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        // Whoever would be told `most` is not counted on, so that the time is right again once they thin out.
        self.away = passed.mul_add(-PER_SECOND, self.away).clamp(0.0, PER_SECOND * most.as_secs_f64());
        self.at = now;
        let wait = least.saturating_add(Duration::from_secs_f64(self.away / PER_SECOND));
        self.away += 1.0;
        wait.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(30);

    /// Returns how many of so many callers come back in the busiest second, each told once at the same time.
    fn busiest(callers: usize) -> usize {
        let mut crowd = Crowd::default();
        let mut seconds = [0; 31];
        for _ in 0..callers {
            let wait = crowd.stay_away(Duration::ZERO, LEAST, MOST);
            seconds[usize::try_from(wait.as_secs()).unwrap()] += 1;
        }
        // Those beyond the last second are told the bound.
        seconds[..30].iter().copied().max().unwrap()
    }

    #[test]
    fn a_crowd_comes_back_spread_over_seconds_and_none_later_than_the_bound() {
        assert_eq!(busiest(1_000), 400);
        assert_eq!(busiest(10_000), 400);
    }

    #[test]
    fn a_few_come_back_at_once_and_so_do_those_who_ask_when_the_crowd_is_gone() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.stay_away(Duration::ZERO, LEAST, MOST), LEAST);
        for _ in 0..100_000 {
            crowd.stay_away(Duration::ZERO, LEAST, MOST);
        }
        assert_eq!(crowd.stay_away(Duration::ZERO, LEAST, MOST), MOST);
        assert_eq!(crowd.stay_away(MOST + LEAST, LEAST, MOST), LEAST);
    }
}
