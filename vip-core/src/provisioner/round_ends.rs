//! How the rounds of a loop end, for health: since when they fail, and why.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Remembers since when the rounds of a loop fail in this process, and why. Others do the same work; of their rounds it knows nothing.
#[derive(Debug)]
pub(super) struct RoundEnds {
    patience: Duration,
    failing: Mutex<Option<Failing>>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    cause: String,
}

/// Says for how long rounds have failed, and why the last one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoundFault {
    pub(super) lasts: Duration,
    pub(super) cause: String,
}

impl RoundEnds {
    /// Knows of no round yet; `patience` is for how long they have to fail before it is told.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, failing: Mutex::default() }
    }

    /// Notes that a round did something.
    pub(super) fn succeeded(&self) {
        *self.lock() = None;
    }

    /// Notes that a round failed.
    pub(super) fn failed(&self, cause: String) {
        let last = Instant::now();
        let mut failing = self.lock();
        // Between failures that are far apart others have done what there was.
        let before = failing.take().filter(|before| last.saturating_duration_since(before.last) <= self.patience);
        *failing = Some(Failing { since: before.map_or(last, |before| before.since), last, cause });
    }

    /// Returns what somebody should know, if rounds have failed for long and until now.
    pub(super) fn fault(&self) -> Option<RoundFault> {
        let kept = self.lock();
        let failing = kept.as_ref()?;
        let lasts = failing.since.elapsed();
        let is_told = lasts > self.patience && failing.last.elapsed() <= self.patience;
        is_told.then(|| RoundFault { lasts, cause: failing.cause.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);
    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn rounds_that_fail_are_told_after_a_while_until_one_succeeds() {
        let ends = RoundEnds::new(PATIENCE);
        ends.failed("first".to_owned());
        tokio::time::advance(PATIENCE).await;
        ends.failed("second".to_owned());
        assert_eq!(ends.fault(), None);
        tokio::time::advance(MOMENT).await;
        assert_eq!(ends.fault(), Some(RoundFault { lasts: PATIENCE + MOMENT, cause: "second".to_owned() }));
        ends.succeeded();
        assert_eq!(ends.fault(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_long_ago_says_nothing_of_what_others_have_done_since() {
        let ends = RoundEnds::new(PATIENCE);
        ends.failed("first".to_owned());
        tokio::time::advance(PATIENCE + MOMENT).await;
        assert_eq!(ends.fault(), None);
        ends.failed("second".to_owned());
        assert_eq!(ends.fault(), None, "it begins anew");
    }
}
