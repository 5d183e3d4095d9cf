//! How the last writes ended: what health knows of the next one, mostly without a write of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use vip_core::telemetry;

use super::error::{Failure, NotKept, Obstacle};
use super::transaction::WriteTransaction;
use super::writer::{Write, WriterHandle};

/// A process that has kept nothing for so long writes a probe when health asks: nothing else would find out.
const QUIET: Duration = Duration::from_secs(60);
/// Longest wait for a probe; health waits a second for all of its answer.
const PROBE_WAIT: Duration = Duration::from_millis(500);
/// How many times as long as a caller waits for its turn no write has come through, until that is told: a turn that was not
/// had once is no news.
const WAITS: u32 = 3;

/// Keeps how the writes of this process end.
#[derive(Debug)]
pub(super) struct Outcomes {
    busy_deadline: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// When a write came through.
    kept_at: Instant,
    /// Since when writes are tried of which none has come through.
    tried_since: Option<Instant>,
    /// Why the last of them failed, if it was more than a turn that was not had; only a write that is kept ends it.
    failure: Option<Failure>,
}

impl Outcomes {
    pub(super) fn new(busy_deadline: Duration, now: Instant) -> Self {
        let seen = Seen { kept_at: now, tried_since: None, failure: None };
        Self { busy_deadline, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that writes are begun.
    pub(super) fn begun(&self, now: Instant) {
        self.seen().tried_since.get_or_insert(now);
    }

    /// Remembers that writes were kept.
    pub(super) fn kept(&self, now: Instant) {
        *self.seen() = Seen { kept_at: now, tried_since: None, failure: None };
    }

    /// Remembers that writes had their turn, and there was nothing to keep: the disk was not asked.
    pub(super) fn had_turn(&self) {
        let mut seen = self.seen();
        if seen.failure.is_none() {
            seen.tried_since = None;
        }
    }

    /// Remembers that writes were not kept.
    pub(super) fn failed(&self, failure: &Failure) {
        if !failure.is_missed_turn() {
            self.seen().failure = Some(failure.clone());
        }
    }

    /// Says whether only a write would tell how the next one fares.
    fn is_doubtful(&self, now: Instant) -> bool {
        let seen = self.seen();
        let waits = seen.tried_since.is_some_and(|since| now.duration_since(since) > self.busy_deadline);
        seen.failure.is_some() || waits || now.duration_since(seen.kept_at) > QUIET
    }

    fn verdict(&self, now: Instant) -> Result<(), Failure> {
        let seen = self.seen();
        let time = seen.tried_since.map_or(Duration::ZERO, |since| now.duration_since(since));
        let source = match &seen.failure {
            Some(failure) => failure.cause(),
            None if time > self.busy_deadline.saturating_mul(WAITS) => Arc::new(Obstacle::Busy),
            None => return Ok(()),
        };
        Err(Failure::Unavailable(Arc::new(NotKept { time, source })))
    }

    /// Says what a write would meet. Where the last ones do not tell, one is tried: after failures, and in a process that
    /// keeps nothing for a minute.
    pub(super) async fn of_next(&self, writer: &WriterHandle) -> Result<(), Failure> {
        let now = Instant::now();
        if self.is_doubtful(now) {
            let deadline = now + PROBE_WAIT.min(self.busy_deadline);
            match tokio::time::timeout_at(deadline, writer.write(Probe, deadline)).await {
                Ok(Ok(())) => {}
                // Whatever it was: nothing in it is wrong by itself.
                Ok(Err(failure)) => self.failed(&failure),
                Err(elapsed) => telemetry::tell(|| tracing::debug!(error = %elapsed, "a probe was not answered")),
            }
        }
        self.verdict(Instant::now())
    }
}

/// Writes what changes nothing for anybody.
#[derive(Debug)]
struct Probe;

#[async_trait]
impl Write for Probe {
    type Answer = ();

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), Failure> {
        transaction.execute(transaction.queries().write_probe.query()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(4);
    const MOMENT: Duration = Duration::from_micros(1);

    fn fresh() -> (Outcomes, Instant) {
        let now = Instant::now();
        (Outcomes::new(DEADLINE, now), now)
    }

    #[test]
    fn writes_that_do_not_come_through_are_told_after_three_waits_and_not_a_moment_before() {
        let (outcomes, start) = fresh();
        outcomes.begun(start);
        for failed in 1..=9 {
            outcomes.failed(&Failure::unavailable(Obstacle::Busy));
            outcomes.begun(start + MOMENT * failed);
        }
        assert!(outcomes.verdict(start + 3 * DEADLINE).is_ok(), "turns that were not had are no news");
        assert!(outcomes.verdict(start + 3 * DEADLINE + MOMENT).is_err());
        outcomes.had_turn();
        assert!(outcomes.verdict(start + 9 * DEADLINE).is_ok(), "it is free again");
    }

    #[test]
    fn any_other_failure_is_told_at_once_and_until_a_write_is_kept() {
        let (outcomes, start) = fresh();
        outcomes.begun(start);
        outcomes.failed(&Failure::unavailable(Obstacle::Moved));
        outcomes.had_turn();
        outcomes.failed(&Failure::unavailable(Obstacle::Busy));
        let told = outcomes.verdict(start + DEADLINE).unwrap_err().cause();
        assert_eq!(told.to_string(), "no change has been kept for 4 s");
        assert_eq!(told.source().unwrap().to_string(), Obstacle::Moved.to_string());
        outcomes.kept(start);
        assert!(outcomes.verdict(start + 9 * DEADLINE).is_ok());
    }

    #[test]
    fn a_probe_is_written_only_where_nothing_else_tells() {
        let (outcomes, start) = fresh();
        assert!(!outcomes.is_doubtful(start + QUIET) && outcomes.is_doubtful(start + QUIET + MOMENT));
        outcomes.begun(start);
        assert!(!outcomes.is_doubtful(start + DEADLINE), "it is on its way");
        assert!(outcomes.is_doubtful(start + DEADLINE + MOMENT));
        outcomes.had_turn();
        assert!(!outcomes.is_doubtful(start + DEADLINE + MOMENT));
        outcomes.failed(&Failure::unavailable(Obstacle::Moved));
        assert!(outcomes.is_doubtful(start));
    }
}
