//! Makes one attempt: bounds it, catches its panic, turns its outcome into a verdict.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::attempt::Attempt;
use super::codes;
use super::core::Core;
use super::handler::JobOutcome;
use super::observed;
use super::registry::{AnyHandler, Undecodable};
use super::settle::SETTLE_BATCH;
use crate::ports::{Settlement, Verdict};
use crate::runtime::{Backoff, panic_message};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;

/// How long a job waits whose kind nobody here knows: the queue gave it against its contract.
const UNKNOWN_KIND_WAIT: Duration = Duration::from_secs(60);

/// Says how an attempt is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finished,
    HandedBack,
    Cancelled,
}

/// Says what a bounded piece of a handler's work came to.
#[derive(Debug)]
enum Bounded<T> {
    Ended(T),
    Panicked,
    TimedOut,
    Cancelled,
}

/// Makes an attempt and leaves its settlement in the outbox.
pub(super) async fn make_attempt(core: Arc<Core>, attempt: Attempt) {
    // Whatever panics, the place of this attempt is free afterwards and its lease ends: a panic beside the handler, as of a
    // log or a recorder of the host, is no reason to keep both for ever. Burning an attempt for it could kill the job.
    let observed = AssertUnwindSafe(core.observed(&attempt)).catch_unwind().await;
    let (verdict, end) = observed.unwrap_or_else(|_panic| {
        core.counters.panicked.one();
        (Verdict::Snooze { delay: core.retry_delay(attempt.job().counts.snoozes) }, End::HandedBack)
    });
    let unsettled = core.outbox.push(Settlement { lease: attempt.lease(), verdict });
    match end {
        End::Finished => core.counters.finished.one(),
        End::HandedBack => core.counters.handed_back.one(),
        End::Cancelled => core.counters.cancelled.one(),
    }
    // What comes between the first and a full batch is found when the first has waited long enough.
    if unsettled == 1 || unsettled >= SETTLE_BATCH || core.counters.running() == 0 {
        core.outbox.bell.notify_one();
    }
    core.room.notify_one();
}

impl Core {
    /// Makes an attempt and tells the operator how it went.
    async fn observed(&self, attempt: &Attempt) -> (Verdict, End) {
        let job = attempt.job();
        let span = tracing::info_span!(
            telemetry::SPAN_ATTEMPT,
            { telemetry::JOB_KIND } = %job.kind,
            { telemetry::JOB_ID } = %job.id,
            { telemetry::JOB_KEY } = %job.key,
            { telemetry::LEASE_EPOCH } = job.epoch,
            { telemetry::ATTEMPT } = job.counts.attempts.saturating_add(1),
            { telemetry::TENANT } = job.tenant.as_ref().map(tracing::field::display),
            { telemetry::REQUEST_ID } = job.request_id.as_ref().map(tracing::field::display),
            { telemetry::TRACE_PARENT } = job.trace_parent.as_ref().map(tracing::field::display),
        );
        async {
            let started = Instant::now();
            observed::began(&self.registry.label(&attempt.job().kind), attempt);
            let (verdict, end) = self.attempt(attempt).await;
            let kind = self.registry.label(&attempt.job().kind);
            observed::ended(&kind, &verdict, started.elapsed(), self.timing.lease);
            tracing::debug!({ telemetry::OUTCOME } = ?verdict, "an attempt ended");
            (verdict, end)
        }
        .instrument(span)
        .await
    }

    async fn attempt(&self, attempt: &Attempt) -> (Verdict, End) {
        if self.signals.stopping.is_cancelled() {
            return (Verdict::Release, End::HandedBack);
        }
        let Some(handler) = self.registry.get(&attempt.job().kind) else {
            tracing::error!("the queue gave a job of a kind that was not asked for");
            return (Verdict::Snooze { delay: UNKNOWN_KIND_WAIT }, End::HandedBack);
        };
        let outcome = match self.bounded(handler.run(attempt)).await {
            Bounded::Ended(Ok(outcome)) => outcome,
            Bounded::Ended(Err(Undecodable)) => {
                self.counters.undecodable.one();
                if is_on(SeededBug::UndecodableForEver) {
                    // Perhaps a newer worker can read it.
                    return (Verdict::Snooze { delay: self.config.retry_first }, End::HandedBack);
                }
                failed(codes::UNDECODABLE)
            }
            Bounded::Panicked => {
                self.counters.panicked.one();
                failed(codes::PANIC)
            }
            Bounded::TimedOut => {
                tracing::error!("an attempt reached its deadline");
                self.counters.timed_out.one();
                failed(codes::TIMED_OUT)
            }
            Bounded::Cancelled => return (Verdict::Release, End::Cancelled),
        };
        self.verdict(&*handler, attempt, outcome).await
    }

    async fn verdict(&self, handler: &dyn AnyHandler, attempt: &Attempt, outcome: JobOutcome) -> (Verdict, End) {
        match outcome.with_safe_code() {
            JobOutcome::Done => (Verdict::Done, End::Finished),
            JobOutcome::Snooze { delay } => (Verdict::Snooze { delay }, End::Finished),
            JobOutcome::Leave { delay } => {
                self.leave_to_others(attempt.left(), delay);
                (Verdict::Snooze { delay }, End::HandedBack)
            }
            JobOutcome::Release => (Verdict::Release, End::HandedBack),
            JobOutcome::Retry { code, delay } => {
                let delay = delay.unwrap_or_else(|| self.retry_delay(attempt.job().counts.attempts));
                let verdict = Verdict::Retry { delay, code: code.clone() };
                // The same comparison as the queue's, which decides.
                if attempt.number() < attempt.job().max_attempts {
                    tracing::warn!({ telemetry::CODE } = code, "an attempt failed");
                    return (verdict, End::Finished);
                }
                Box::pin(self.end_of(handler, attempt, &code, verdict)).await
            }
            JobOutcome::Dead { code } => {
                let verdict = Verdict::Dead { code: code.clone() };
                Box::pin(self.end_of(handler, attempt, &code, verdict)).await
            }
        }
    }

    /// Lets the kind write the end of a job before the queue calls it dead. Seldom needed: whoever calls it boxes it, so that all
    /// other attempts stay small.
    ///
    /// If that fails the job is snoozed, not settled: it would be dead without anybody having been told. It comes back
    /// with the same counters, is tried once more, and is ended then if it fails again. So a store that is away
    /// delays a death, and a handler that cannot write the end at all comes back with a growing wait and shows in
    /// `ends_not_written`.
    async fn end_of(
        &self,
        handler: &dyn AnyHandler,
        attempt: &Attempt,
        code: &str,
        verdict: Verdict,
    ) -> (Verdict, End) {
        if attempt.is_lost() {
            // Its successor decides, and the settlement finds another lease. If there is none yet, because the lease
            // has expired and nobody has reaped it, the settlement counts: then the job must not be dead without end.
            return (Verdict::Release, End::HandedBack);
        }
        tracing::error!({ telemetry::CODE } = code, "a job dies");
        match self.bounded(handler.died(attempt, code)).await {
            Bounded::Ended(Ok(())) => return (verdict, End::Finished),
            Bounded::Ended(Err(error)) => {
                tracing::error!({ telemetry::ERROR } = %telemetry::causes(&error), "the end of a job was not written");
            }
            Bounded::Panicked | Bounded::TimedOut => tracing::error!("the end of a job was not written"),
            Bounded::Cancelled => return (Verdict::Release, End::Cancelled),
        }
        self.counters.ends_not_written.one();
        (Verdict::Snooze { delay: self.retry_delay(attempt.job().counts.snoozes) }, End::Finished)
    }

    fn retry_delay(&self, failures: u32) -> Duration {
        Backoff::new(self.config.retry_first, self.config.retry_most).full_jitter(failures, &*self.randomness)
    }

    /// Runs work of a handler until it ends, panics, reaches the attempt's deadline or the shutdown's.
    async fn bounded<T: Send>(&self, work: impl Future<Output = T> + Send) -> Bounded<T> {
        // Around the whole race: the work may also panic while it is being dropped. A handler's own state behind
        // `&self` is the handler's business; the worker's is behind locks that guard whole values.
        let ended = AssertUnwindSafe(async {
            tokio::select! {
                // What has ended counts, even at the deadline.
                biased;
                ended = work => Bounded::Ended(ended),
                () = self.signals.cancelled.cancelled() => Bounded::Cancelled,
                () = tokio::time::sleep(self.config.attempt_deadline) => Bounded::TimedOut,
            }
        })
        .catch_unwind()
        .await;
        match ended {
            Ok(bounded) => bounded,
            Err(payload) => {
                tracing::error!({ telemetry::CODE } = panic_message(&*payload), "a handler panicked");
                Bounded::Panicked
            }
        }
    }
}

fn failed(code: &str) -> JobOutcome {
    JobOutcome::Retry { code: code.to_owned(), delay: None }
}
