//! A started worker: how it fares, and how it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::attempt::CutOnDrop;
use super::core::Core;
use super::counters::WorkerCounts;
use crate::runtime::{HealthSource, HealthStatus, LoopHandle, PartHealth, Shutdown};

/// Is a worker whose loops run. Dropping it cuts its attempts; [`shutdown`](Self::shutdown) ends them in order.
#[derive(Debug)]
#[must_use = "dropping a worker cuts its attempts"]
pub struct RunningWorker {
    pub(super) core: Arc<Core>,
    pub(super) claim: LoopHandle,
    pub(super) heartbeat: LoopHandle,
    pub(super) settle: LoopHandle,
    pub(super) reap: LoopHandle,
    pub(super) _cut: CutOnDrop,
}

/// What a claim under way may take beyond the deadline: what it brings has to be handed back.
const CLAIM_LEAST: Duration = Duration::from_secs(1);
/// What cut attempts may take to end: they end at their next `await`, unless they block their thread.
const CUT_LEAST: Duration = Duration::from_secs(1);
/// What the last settlements may take beyond the deadline: handing leases back is one call.
const SETTLE_LEAST: Duration = Duration::from_secs(2);
/// Calls of the queue in a row without an answer after which the worker is down, not only degraded.
const SILENT_IS_DOWN: u32 = 5;

impl RunningWorker {
    /// Counts what the worker has done.
    #[must_use]
    pub fn counts(&self) -> WorkerCounts {
        self.core.counters.snapshot()
    }

    /// Ends the worker: stops claiming, lets attempts end until the deadline, cuts and hands back the rest without
    /// burning an attempt, and writes all settlements.
    ///
    /// The loops of the heartbeat and of the settlements end last, so that no lease expires under a running attempt.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the worker has stopped claiming; leases that it still holds expire.
    pub async fn shutdown(&self, shutdown: &mut Shutdown) {
        let core = &self.core;
        let before = self.counts();
        core.signals.stopping.cancel();
        self.claim.stop();
        self.reap.stop();
        shutdown.phase("claims", CLAIM_LEAST, self.claim.ended()).await;
        core.attempts.close();
        if !shutdown.drain("attempts", core.attempts.wait()).await {
            core.signals.cancelled.cancel();
            shutdown.phase("cut attempts", CUT_LEAST, core.attempts.wait()).await;
        }
        self.settle.stop();
        // The loop may be waiting to be started again, or be stuck in a call: the outbox is emptied all the same.
        shutdown.phase("settlements", SETTLE_LEAST, core.flush_all()).await;
        self.heartbeat.stop();
        let counts = self.counts();
        let unwritten = u64::try_from(core.outbox.len()).unwrap_or(u64::MAX);
        let answered = |counts: &WorkerCounts| counts.settled + counts.stale;
        let report = shutdown.report();
        report.claimed += counts.claimed;
        report.finished += counts.finished;
        report.handed_back += counts.handed_back;
        report.cancelled += counts.cancelled;
        report.settlements_flushed += answered(&counts).saturating_sub(answered(&before));
        report.settlements_lost += counts.settlements_lost + unwritten;
        report.tasks_left += core.attempts.len();
    }
}

#[async_trait]
impl HealthSource for RunningWorker {
    fn name(&self) -> &'static str {
        "worker"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let silence = self.core.silence.load(Ordering::SeqCst);
        let status = match silence {
            0 => HealthStatus::Ok,
            1..SILENT_IS_DOWN => HealthStatus::Degraded,
            SILENT_IS_DOWN.. => HealthStatus::Down,
        };
        let counts = self.counts();
        let detail = format!(
            "{} of {} attempts running, {} settlements to write, {silence} calls of the queue without an answer",
            counts.running,
            self.core.config.concurrency,
            self.core.outbox.len()
        );
        vec![PartHealth::new("worker", status, Some(detail))]
    }
}
