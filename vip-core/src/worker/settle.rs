//! The settle loop: writes verdicts in batches, and repeats them as they were until the queue has answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::core::{Core, Unsettled};
use crate::ports::{QueueError, Retryability, Settled, Settlement};
use crate::runtime::{LoopError, Tick};
use crate::telemetry;

/// Most settlements of one call.
pub(super) const SETTLE_BATCH: usize = 500;
/// How long a settlement waits for others while attempts are running that may end soon.
const LINGER: Duration = Duration::from_millis(5);
/// Leases after which a settlement is given up. An expired lease that nobody has reaped may still settle, so it is
/// worth repeating for longer than one; when it is given up, the job is rescued and tried again.
pub(super) const PATIENCE_LEASES: u32 = 10;

/// Says what one call of the queue came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    Empty,
    Answered,
    NoAnswer,
}

/// Settles until told to stop; what is left then is for [`Core::flush_all`].
pub(super) async fn settle_loop(core: Arc<Core>, tick: Tick) -> Result<(), LoopError> {
    loop {
        tick.beat();
        if tick.is_stopping() {
            return Ok(());
        }
        core.gather(&tick).await;
        if core.flush_once().await == Flush::NoAnswer {
            tick.pause(core.pause_after_silence()).await;
        }
    }
}

impl Core {
    /// Waits until there is something to settle: at once when nothing runs, else up to 5 ms or 500.
    async fn gather(&self, tick: &Tick) {
        loop {
            let Some(oldest) = self.outbox.oldest() else {
                tokio::select! {
                    // In a fixed order: under the paused clock one seed is then one run.
                    biased;
                    () = self.outbox.bell.notified() => continue,
                    () = tick.interrupted() => return,
                }
            };
            if self.outbox.len() >= SETTLE_BATCH || self.counters.running() == 0 {
                return;
            }
            tokio::select! {
                biased;
                () = sleep_until(oldest + LINGER) => return,
                () = self.outbox.bell.notified() => {}
                () = tick.interrupted() => return,
            }
        }
    }

    /// Settles until nothing is left; the caller bounds it.
    pub(super) async fn flush_all(&self) {
        loop {
            match self.flush_once().await {
                Flush::Empty => return,
                Flush::Answered => {}
                Flush::NoAnswer => sleep(self.pause_after_silence()).await,
            }
        }
    }

    async fn flush_once(&self) -> Flush {
        let batch = self.outbox.first(SETTLE_BATCH);
        if batch.is_empty() {
            return Flush::Empty;
        }
        match self.settle(&batch).await {
            Ok(()) => {
                self.outbox.answered();
                Flush::Answered
            }
            Err(Retryability::Temporary | Retryability::OutcomeUnknown) => self.no_answer(&batch),
            Err(Retryability::Permanent) => self.settle_singly(&batch).await,
        }
    }

    /// One settlement that the queue cannot take must not hold up the others.
    async fn settle_singly(&self, batch: &[Unsettled]) -> Flush {
        for unsettled in batch {
            match self.settle(std::slice::from_ref(unsettled)).await {
                Ok(()) => {}
                Err(Retryability::Temporary | Retryability::OutcomeUnknown) => return self.no_answer(batch),
                Err(Retryability::Permanent) => self.give_up(unsettled),
            }
        }
        Flush::Answered
    }

    async fn settle(&self, batch: &[Unsettled]) -> Result<(), Retryability> {
        let settlements: Vec<Settlement> = batch.iter().map(|unsettled| unsettled.settlement.clone()).collect();
        let answers = match timeout(self.timing.commit_deadline, self.queue.settle(&settlements)).await {
            Ok(Ok(answers)) if answers.len() == settlements.len() => answers,
            Ok(Ok(answers)) => {
                let count = answers.len();
                telemetry::tell(|| {
                    tracing::error!({ telemetry::COUNT } = count, "the queue answered another number of settlements");
                });
                return Err(Retryability::Permanent);
            }
            Ok(Err(error)) => {
                let error: QueueError = error;
                telemetry::tell(|| {
                    tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "settlements had no answer");
                });
                return Err(error.retryability());
            }
            Err(elapsed) => {
                telemetry::tell(|| {
                    let error = telemetry::causes(&elapsed);
                    tracing::warn!({ telemetry::ERROR } = %error, "settlements had no answer in time");
                });
                return Err(Retryability::OutcomeUnknown);
            }
        };
        self.heard();
        settlements.iter().zip(answers).for_each(|(settlement, answer)| self.settled(settlement, answer));
        // Claims may wait because too many settlements had no answer yet.
        self.room.notify_one();
        Ok(())
    }

    fn settled(&self, settlement: &Settlement, answer: Settled) {
        self.holds.remove(&settlement.lease);
        if !self.outbox.remove(&settlement.lease) {
            // The shutdown and the loop sent the same one; it was counted by the first answer.
            return;
        }
        match answer {
            Settled::Applied => self.counters.settled.one(),
            Settled::Died => {
                self.counters.settled.one();
                self.counters.died.one();
            }
            Settled::Stale => self.counters.stale.one(),
        }
    }

    /// Gives up what has waited too long; the rest is repeated as it was, after the others and in smaller batches.
    fn no_answer(&self, batch: &[Unsettled]) -> Flush {
        self.counters.settle_failures.one();
        let patience = self.timing.lease.saturating_mul(PATIENCE_LEASES);
        let now = Instant::now();
        batch
            .iter()
            .filter(|unsettled| now.saturating_duration_since(unsettled.since) >= patience)
            .for_each(|unsettled| self.give_up(unsettled));
        self.outbox.put_back(batch);
        Flush::NoAnswer
    }

    fn give_up(&self, unsettled: &Unsettled) {
        let lease = &unsettled.settlement.lease;
        telemetry::tell(|| tracing::error!({ telemetry::JOB_ID } = %lease.job, "a settlement is given up"));
        self.holds.remove(lease);
        if self.outbox.remove(lease) {
            self.counters.settlements_lost.one();
        }
    }
}
