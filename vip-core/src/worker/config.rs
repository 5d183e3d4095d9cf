//! How a worker works: how much at once, how often it asks, how long it waits; every number bounded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timing;

/// Holds the numbers of a worker that are not part of the protocol; those are in [`Timing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// Attempts that run at once, of all kinds together. Default 16, from 1 to 1000; a claim asks for no more than there is room.
    ///
    /// A handler of your own that takes minutes holds a place that orders and sweeps need: raise it by as many as run at once, or do
    /// the long part elsewhere and [`Snooze`](super::JobOutcome::Snooze) until it is done.
    pub concurrency: u32,
    /// Most jobs of one claim. Default 256, what one statement of a database handles at ease; from 1 to 1000. While
    /// claims are full and there is room, two are under way.
    pub claim_most: u32,
    /// Longest time between two claims of an idle worker, more or less a quarter. Default 1 s, from 10 ms to 5 min;
    /// a hint of the queue shortens it.
    pub poll_interval: Duration,
    /// Time between two looks for expired leases of any worker, more or less a quarter. Default 5 s, from 100 ms to
    /// 10 min; it delays the rescue of a crashed worker's jobs.
    pub reap_interval: Duration,
    /// Longest attempt; a longer one is dropped and burns an attempt (code `timed_out`). Default 15 min, from 1 s to
    /// 24 h, and longer than a request to the provider with the wait for its turn and its two commits.
    pub attempt_deadline: Duration,
    /// Longest wait after a first failed attempt; doubles up to `retry_most`, each with full jitter. Default 1 s,
    /// at least 1 ms.
    pub retry_first: Duration,
    /// Longest wait after any failed attempt. Default 15 min, at least `retry_first` and at most 24 h.
    pub retry_most: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            claim_most: 256,
            poll_interval: Duration::from_secs(1),
            reap_interval: Duration::from_secs(5),
            attempt_deadline: Duration::from_secs(15 * 60),
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(15 * 60),
        }
    }
}

/// Says which bound of a worker's configuration does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker configuration: {rule} does not hold")]
#[non_exhaustive]
pub struct WorkerConfigError {
    /// The bound.
    pub rule: &'static str,
}

impl WorkerConfig {
    /// Checks every bound.
    ///
    /// # Errors
    ///
    /// [`WorkerConfigError`] with the first bound that does not hold.
    pub fn check(&self, timing: &Timing) -> Result<(), WorkerConfigError> {
        let ms = Duration::from_millis;
        let day = Duration::from_secs(86_400);
        let (turn, commits) = (timing.request_deadline, timing.commit_deadline.saturating_mul(2));
        let attempt_least = turn.saturating_add(timing.request_deadline).saturating_add(commits);
        let rules = [
            ((1..=1000).contains(&self.concurrency), "1 ≤ concurrency ≤ 1000"),
            ((1..=1000).contains(&self.claim_most), "1 ≤ claim_most ≤ 1000"),
            ((ms(10)..=ms(300_000)).contains(&self.poll_interval), "10 ms ≤ poll_interval ≤ 5 min"),
            ((ms(100)..=ms(600_000)).contains(&self.reap_interval), "100 ms ≤ reap_interval ≤ 10 min"),
            ((ms(1000)..=day).contains(&self.attempt_deadline), "1 s ≤ attempt_deadline ≤ 24 h"),
            (self.attempt_deadline > attempt_least, "attempt_deadline > 2 × request_deadline + 2 × commit_deadline"),
            (self.retry_first >= ms(1), "retry_first ≥ 1 ms"),
            ((self.retry_first..=day).contains(&self.retry_most), "retry_first ≤ retry_most ≤ 24 h"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(WorkerConfigError { rule }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(change: impl FnOnce(&mut WorkerConfig)) -> bool {
        let mut config = WorkerConfig::default();
        change(&mut config);
        config.check(&Timing::default()).is_ok()
    }

    #[test]
    fn every_bound_holds_at_its_limit_and_not_one_step_beyond() {
        let ms = Duration::from_millis;
        assert!(holds(|_| {}));
        assert!(holds(|it| it.concurrency = 1) && !holds(|it| it.concurrency = 0));
        assert!(holds(|it| it.concurrency = 1000) && !holds(|it| it.concurrency = 1001));
        assert!(holds(|it| it.claim_most = 1) && !holds(|it| it.claim_most = 0));
        assert!(holds(|it| it.claim_most = 1000) && !holds(|it| it.claim_most = 1001));
        assert!(holds(|it| it.poll_interval = ms(10)) && !holds(|it| it.poll_interval = ms(9)));
        assert!(holds(|it| it.poll_interval = ms(300_000)) && !holds(|it| it.poll_interval = ms(300_001)));
        assert!(holds(|it| it.reap_interval = ms(100)) && !holds(|it| it.reap_interval = ms(99)));
        assert!(holds(|it| it.reap_interval = ms(600_000)) && !holds(|it| it.reap_interval = ms(600_001)));
        assert!(holds(|it| it.attempt_deadline = ms(70_001)) && !holds(|it| it.attempt_deadline = ms(70_000)));
        let day = ms(86_400_000);
        assert!(holds(|it| it.attempt_deadline = day) && !holds(|it| it.attempt_deadline = day + ms(1)));
        assert!(holds(|it| it.retry_first = ms(1)) && !holds(|it| it.retry_first = ms(0)));
        assert!(holds(|it| it.retry_most = it.retry_first) && !holds(|it| it.retry_most = it.retry_first - ms(1)));
        assert!(holds(|it| it.retry_most = day) && !holds(|it| it.retry_most = day + ms(1)));
        let quick = Timing { request_deadline: ms(100), commit_deadline: ms(100), ..Timing::default() };
        let second = WorkerConfig { attempt_deadline: ms(1000), ..WorkerConfig::default() };
        assert!(second.check(&quick).is_ok());
        assert!(WorkerConfig { attempt_deadline: ms(999), ..second }.check(&quick).is_err());
    }
}
