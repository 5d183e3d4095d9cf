//! Leaves a server alone for a moment after it failed, and lets one call find out whether it is back.

use std::time::Duration;

use tokio::time::Instant;
use vip_core::ports::Randomness;
use vip_core::runtime::Backoff;

/// Pause after a failure: doubles from the first to the second one. Short, because a restart takes less than a second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// Counts failures in a row and says whether a call may go; without I/O.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    not_before: Option<Instant>,
}

impl Circuit {
    /// Says whether a call may go now. After a failure one may go at a time: it holds the others back for `probe`.
    pub(super) fn admit(&mut self, now: Instant, probe: Duration) -> bool {
        match self.not_before {
            None => true,
            Some(not_before) if now < not_before => false,
            Some(_) => {
                // A probe that is dropped leaves its place by time.
                self.not_before = Some(now + probe);
                true
            }
        }
    }

    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    pub(super) fn failed(&mut self, now: Instant, randomness: &dyn Randomness) {
        let pause = Backoff::new(PAUSES.0, PAUSES.1).half_jitter(self.failures, randomness);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use vip_core::ports::SeededRandomness;

    use super::*;

    const PROBE: Duration = Duration::from_millis(500);

    #[test]
    fn after_a_failure_one_call_goes_at_a_time_and_a_success_opens_to_all() {
        let (mut circuit, random, begin) = (Circuit::default(), SeededRandomness::new(1), Instant::now());
        assert!(circuit.admit(begin, PROBE) && circuit.admit(begin, PROBE));
        circuit.failed(begin, &random);
        assert!(!circuit.admit(begin, PROBE), "it is left alone");
        let later = begin + PAUSES.0;
        assert!(circuit.admit(later, PROBE) && !circuit.admit(later, PROBE), "one finds out");
        assert!(circuit.admit(later + PROBE, PROBE), "one that went away holds nobody up for long");
        circuit.succeeded();
        assert!(circuit.admit(later, PROBE) && circuit.admit(later, PROBE));
    }

    #[test]
    fn pauses_grow_up_to_a_second_and_no_longer() {
        let (mut circuit, random, mut now) = (Circuit::default(), SeededRandomness::new(1), Instant::now());
        for failures in 0..40 {
            circuit.failed(now, &random);
            let most = Backoff::new(PAUSES.0, PAUSES.1).ceiling(failures);
            assert!(!circuit.admit(now + most / 2 - Duration::from_millis(1), PROBE) && most <= Duration::from_secs(1));
            now += most;
            assert!(circuit.admit(now, PROBE));
        }
    }
}
