//! Accepts that fail: told when a run of them begins, not twenty times a second.

use std::io;
use std::time::Duration;

use tokio::time::Instant;
use vip_core::telemetry;

/// How long no accept has failed before the next failure begins another run: while descriptors are short, an accept now and
/// then succeeds.
const QUIET: Duration = Duration::from_secs(60);

/// Remembers the last failure.
#[derive(Debug, Default)]
pub(super) struct Failures {
    last: Option<Instant>,
}

impl Failures {
    /// Tells a failure, if it is the first of a run.
    pub(super) fn tell(&mut self, error: &io::Error) {
        if self.begins(Instant::now()) {
            let error = telemetry::causes(error);
            tracing::warn!({ telemetry::ERROR } = %error, "accept failed; told again once none has for a minute");
        }
    }

    /// Notes a failure; says whether it is the first of a run.
    fn begins(&mut self, now: Instant) -> bool {
        self.last.replace(now).is_none_or(|last| now.saturating_duration_since(last) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_without_a_quiet_minute_between_them_are_told_once() {
        let (mut failures, begin, short) = (Failures::default(), Instant::now(), Duration::from_millis(1));
        assert!(failures.begins(begin));
        let mut last = begin;
        for _ in 0..100 {
            last += QUIET - short;
            assert!(!failures.begins(last));
        }
        assert!(failures.begins(last + QUIET));
    }
}
