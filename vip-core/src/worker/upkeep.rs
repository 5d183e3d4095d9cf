//! The two loops that follow leases: one prolongs ours, one ends everybody's that have expired.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::attempt::Hold;
use super::core::Core;
use crate::ports::LeaseRef;
use crate::runtime::{LoopError, Tick};
use crate::telemetry;

/// Most leases of one heartbeat call.
const BEAT_BATCH: usize = 500;
/// Most expired leases of one reap call.
const REAP_BATCH: u32 = 100;
/// How much sooner than the next heartbeat a failed one is repeated.
const REPEAT_SOONER: u32 = 4;

/// Prolongs every lease of this worker until it is settled.
pub(super) async fn heartbeat_loop(core: Arc<Core>, tick: Tick) -> Result<(), LoopError> {
    loop {
        tick.beat();
        if tick.is_stopping() {
            return Ok(());
        }
        let all_answered = core.prolong_leases().await;
        let heartbeat = core.timing.heartbeat;
        tick.pause(if all_answered { heartbeat } else { heartbeat / REPEAT_SOONER }).await;
    }
}

/// Ends expired leases, also those of workers that are gone.
pub(super) async fn reap_loop(core: Arc<Core>, tick: Tick) -> Result<(), LoopError> {
    loop {
        tick.beat();
        if tick.is_stopping() {
            return Ok(());
        }
        if core.reap_batch().await < REAP_BATCH {
            tick.pause(core.around(core.config.reap_interval)).await;
        }
    }
}

impl Core {
    async fn prolong_leases(&self) -> bool {
        let mut all_answered = true;
        for batch in self.holds.alive().chunks(BEAT_BATCH) {
            all_answered &= self.prolong(batch).await;
        }
        all_answered
    }

    async fn prolong(&self, batch: &[Arc<Hold>]) -> bool {
        let leases: Vec<LeaseRef> = batch.iter().map(|hold| hold.reference()).collect();
        let sent = Instant::now();
        let call = self.queue.heartbeat(&leases, self.timing.lease);
        match timeout(self.timing.commit_deadline, call).await {
            Ok(Ok(held)) if held.len() == leases.len() => {
                self.heard();
                batch.iter().zip(held).for_each(|(hold, is_held)| self.answered(hold, is_held, sent));
                return true;
            }
            Ok(Ok(held)) => telemetry::tell(|| {
                tracing::error!({ telemetry::COUNT } = held.len(), "another number of leases was answered");
            }),
            Ok(Err(error)) => telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "a heartbeat had no answer");
            }),
            Err(elapsed) => telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&elapsed), "a heartbeat had no answer in time");
            }),
        }
        self.counters.heartbeat_failures.one();
        self.not_heard();
        false
    }

    fn answered(&self, hold: &Hold, is_held: bool, sent: Instant) {
        let lease = hold.reference();
        if is_held {
            hold.prolong(sent);
        } else if self.holds.contains(&lease) {
            // Not one that was settled while the heartbeat was under way.
            self.counters.leases_lost.one();
            hold.lose();
            telemetry::tell(|| {
                let epoch = lease.epoch;
                tracing::warn!({ telemetry::JOB_ID } = %lease.job, { telemetry::LEASE_EPOCH } = epoch, "a lease is lost");
            });
        }
    }

    async fn reap_batch(&self) -> u32 {
        let call = self.queue.reap(self.timing.max_rescues, REAP_BATCH);
        match timeout(self.timing.commit_deadline, call).await {
            Ok(Ok(reaped)) => {
                self.counters.reaped.add(u64::from(reaped));
                return reaped;
            }
            Ok(Err(error)) => telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "expired leases were not reaped");
            }),
            Err(elapsed) => telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&elapsed), "expired leases were not reaped in time");
            }),
        }
        0
    }
}
