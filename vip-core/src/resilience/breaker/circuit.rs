//! One circuit of a breaker: what it has counted, whether it is open, and when it trips. Pure; the time is an argument.

use std::time::Duration;

use super::settings::BreakerSettings;
use super::state::Outcome;
use super::why::Cause;
use super::window::{Counts, Window, reaches};

/// How long it has to stay closed until the next opening counts as the first again.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Most that jitter adds to the time that a circuit is open.
const JITTER: f64 = 0.1;

/// Is where a circuit stands; times count from the birth of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open { until: Duration, cause: Cause },
    Probing { until: Duration, cause: Cause },
}

/// Counts calls of one scope.
#[derive(Debug, Clone)]
pub(super) struct Circuit {
    pub(super) phase: Phase,
    /// When it closed after having been open.
    pub(super) closed_at: Option<Duration>,
    /// Since when it has not been closed.
    pub(super) failing_since: Option<Duration>,
    /// Whether a call has gone well since it closed; the first one decides.
    pub(super) proven: bool,
    window: Window,
    in_a_row: u32,
    openings: u32,
}

impl Circuit {
    pub(super) fn new(settings: &BreakerSettings) -> Self {
        Self {
            phase: Phase::Closed,
            closed_at: None,
            failing_since: None,
            proven: true,
            window: Window::new(settings.window),
            in_a_row: 0,
            openings: 0,
        }
    }

    /// Returns what the window holds now.
    pub(super) fn counts(&self, now: Duration) -> Counts {
        self.window.sum(now)
    }

    /// Counts successes of a bucket; they end a row of failures.
    pub(super) fn succeeded(&mut self, bucket: u64, calls: u64) {
        if calls > 0 {
            self.window.add(bucket, Counts { calls, failed: 0, slow: 0 });
            self.in_a_row = 0;
            self.proven = true;
        }
    }

    /// Counts a result of a closed circuit; says whether it has to open.
    pub(super) fn count(
        &mut self,
        settings: &BreakerSettings,
        now: Duration,
        outcome: Outcome,
        slow: bool,
    ) -> Option<Cause> {
        let failed = match outcome {
            Outcome::Failed => true,
            Outcome::Answered => false,
            Outcome::Neutral => return None,
        };
        let counts = Counts { calls: 1, failed: u64::from(failed), slow: u64::from(slow) };
        self.window.add(self.window.number(now), counts);
        if failed {
            self.in_a_row = self.in_a_row.saturating_add(1);
            if !self.proven {
                return Some(Cause::FirstAfterOutage);
            }
        } else {
            self.in_a_row = 0;
            self.proven = true;
        }
        if self.in_a_row >= settings.failures_in_a_row {
            return Some(Cause::InARow);
        }
        let sum = self.window.sum(now);
        if sum.calls < u64::from(settings.calls_least) {
            return None;
        }
        if failed && reaches(sum.failed, sum.calls, settings.failed_percent) {
            return Some(Cause::FailedShare);
        }
        (slow && reaches(sum.slow, sum.calls, settings.slow_percent)).then_some(Cause::SlowShare)
    }

    /// Opens it: longer each time, up to a bound, until it has stayed closed for a while.
    pub(super) fn open(&mut self, settings: &BreakerSettings, now: Duration, cause: Cause, jitter: f64) {
        if self.closed_at.is_some_and(|at| self.phase == Phase::Closed && now.saturating_sub(at) >= FORGET_AFTER) {
            self.openings = 0;
        }
        let doubled = settings.open_first.saturating_mul(1_u32.checked_shl(self.openings.min(20)).unwrap_or(u32::MAX));
        let length = doubled.min(settings.open_most).mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0));
        self.openings = self.openings.saturating_add(1);
        self.failing_since.get_or_insert(now);
        self.phase = Phase::Open { until: now.saturating_add(length), cause };
    }

    /// Closes it, with nothing counted.
    pub(super) fn close(&mut self, now: Duration) {
        self.phase = Phase::Closed;
        self.closed_at = Some(now);
        self.failing_since = None;
        self.proven = false;
        self.in_a_row = 0;
        self.window.clear();
    }
}
