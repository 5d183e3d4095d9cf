//! The claim loop: takes due jobs while there is room, and begins their attempts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::attempt::Hold;
use super::core::Core;
use super::run::make_attempt;
use crate::model::ClaimId;
use crate::ports::{ClaimRequest, Claimed};
use crate::runtime::{Backoff, LoopError, Tick};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;

/// Most jobs of one claim: what one statement of a database handles at ease.
const CLAIM_BATCH: u32 = 256;
/// Settlements without an answer beyond which nothing is claimed: a queue that takes none should give none.
pub(super) const UNSETTLED_MOST: usize = 1000;
/// First pause after a hint that led to nothing; doubles up to the poll interval, so that a queue whose hints are
/// always wrong is asked no more often than one without hints.
const FALSE_HINT_PAUSE: Duration = Duration::from_millis(5);

/// Claims until told to stop. It is never dropped in the middle of a claim: what the queue gave would be lost until
/// its lease expires.
pub(super) async fn claim_loop(core: Arc<Core>, tick: Tick) -> Result<(), LoopError> {
    let mut false_hints = 0_u32;
    let mut was_hinted = false;
    loop {
        tick.beat();
        if tick.is_stopping() {
            return Ok(());
        }
        if let Some(pause) = core.others_come_first() {
            tick.pause(pause).await;
            continue;
        }
        let room = core.room();
        if room == 0 || core.outbox.len() >= UNSETTLED_MOST {
            core.wait_for_room(&tick).await;
            continue;
        }
        let asked = room.min(CLAIM_BATCH);
        let Some(claimed) = core.claim(asked, &tick).await else { continue };
        if claimed >= asked {
            false_hints = 0;
            continue;
        }
        false_hints = if was_hinted && claimed == 0 { false_hints.saturating_add(1) } else { 0 };
        was_hinted = core.wait_for_work(&tick).await;
        if was_hinted && false_hints > 0 {
            let pauses = Backoff::new(FALSE_HINT_PAUSE, core.config.poll_interval);
            tick.pause(pauses.half_jitter(false_hints.saturating_sub(1), &*core.randomness)).await;
        }
    }
}

impl Core {
    async fn wait_for_room(&self, tick: &Tick) {
        tokio::select! {
            // In a fixed order: under the paused clock one seed is then one run.
            biased;
            () = self.room.notified() => {}
            () = tick.interrupted() => {}
            // Settlements that are answered or given up make room too, and ring no bell here.
            () = tokio::time::sleep(self.config.poll_interval), if self.room() > 0 => {}
        }
    }

    /// Claims once and begins the attempts; returns how many, or none after a failure and its pause.
    async fn claim(self: &Arc<Self>, most: u32, tick: &Tick) -> Option<u32> {
        let request = ClaimRequest {
            kinds: self.kinds.clone(),
            most,
            lease: self.timing.lease,
            claim: ClaimId::from_uuid(self.randomness.uuid()),
        };
        // F5 counts from before the request: the queue cannot have granted the lease earlier.
        let sent = Instant::now();
        match timeout(self.timing.commit_deadline, self.queue.claim(&request)).await {
            Ok(Ok(claimed)) => {
                self.heard();
                let count = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
                claimed.into_iter().for_each(|claimed| self.begin(claimed, sent));
                return Some(count);
            }
            Ok(Err(error)) => {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "a claim had no answer");
            }
            Err(elapsed) => {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&elapsed), "a claim had no answer in time");
            }
        }
        self.counters.claim_failures.one();
        tick.pause(self.pause_after_silence()).await;
        None
    }

    fn begin(self: &Arc<Self>, claimed: Claimed, sent: Instant) {
        let hold = Arc::new(Hold::new(claimed.lease.clone(), sent));
        self.counters.claimed.one();
        self.holds.add(Arc::clone(&hold));
        self.attempts.spawn(make_attempt(Arc::clone(self), claimed, hold));
    }

    /// Waits for a hint of the queue, or for the time of the next poll; says whether it was a hint.
    async fn wait_for_work(&self, tick: &Tick) -> bool {
        let mut poll = self.around(self.config.poll_interval);
        if is_on(SeededBug::LostWakeUp) {
            // Whoever brings work rings the bell.
            poll = Duration::from_secs(24 * 3600);
        }
        let begin = Instant::now();
        tokio::select! {
            biased;
            () = tick.interrupted() => false,
            () = self.queue.wait(poll) => begin.elapsed() < poll,
            // Polling is the truth: a queue that waits longer than it was told does not delay it.
            () = tokio::time::sleep(poll) => false,
        }
    }

    /// Returns a time more or less a quarter around `time`, so that workers do not ask in step.
    pub(super) fn around(&self, time: Duration) -> Duration {
        time.mul_f64(self.randomness.share().mul_add(0.5, 0.75))
    }

    /// Notes that the queue did not answer; returns how long to leave it alone.
    pub(super) fn pause_after_silence(&self) -> Duration {
        let pauses = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        pauses.half_jitter(self.not_heard(), &*self.randomness)
    }
}
