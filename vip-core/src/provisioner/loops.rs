//! The background loops beside the worker's: checks of tokens, sealing and delivery of the audit, retention.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::TrimHealth;
use super::pace::{Pace, apart};
use super::round_ends::RoundEnds;
use crate::model::{AccountId, JobId, JobState};
use crate::ports::{AuditSink, DELIVERY_LIMIT, QueueError, Retention, Store, StoreError, Trimmed};
use crate::provisioning::{self, Context, TokenCheck, kinds};
use crate::relay;
use crate::runtime::{Health, LoopHandle, LoopPolicy, Supervisor, panic_message};
use crate::telemetry;

/// Pause between two rounds of sealing: a record is sealed within a second.
const SEAL_EVERY: Duration = Duration::from_millis(500);
/// Pause between two rounds of delivery to a sink.
const DELIVER_EVERY: Duration = Duration::from_secs(1);
/// Longest pause after deliveries that failed; doubles up to it.
const DELIVER_PAUSE_MOST: Duration = Duration::from_secs(60);
/// Pause between two rounds of trimming.
const TRIM_EVERY: Duration = Duration::from_secs(600);
/// Pause after a round that removed all it may: there is more.
const TRIM_AGAIN: Duration = Duration::from_secs(1);
/// How long rounds of trimming have to fail until health tells it: several of them, so none that met a busy moment.
const TRIM_PATIENCE: Duration = Duration::from_secs(3600);
/// Rows of each kind that one round of trimming removes at the most.
const TRIM_MOST: u32 = 1000;

/// Checks the tokens of all accounts that are not open: at once, and again when a probe is due.
pub(super) fn gates(supervisor: &Supervisor, context: &Context) -> LoopHandle {
    let context = context.clone();
    supervisor.spawn("gates", LoopPolicy::Critical, move |tick| {
        let context = context.clone();
        async move {
            while !tick.is_stopping() {
                tick.beat();
                for account in context.providers.keys() {
                    check(&context, account).await;
                }
                let pause = context.timing.probe_first / 4;
                tick.pause(pause.mul_f64(0.5 + context.randomness.share())).await;
            }
            Ok(())
        }
    })
}

/// Checks the token of one account (S8). A client that panics has not answered: all other accounts go on.
pub(super) async fn check_token(context: &Context, account: &AccountId) -> Result<TokenCheck, StoreError> {
    let checked = AssertUnwindSafe(provisioning::check_token(context, account)).catch_unwind().await;
    checked.unwrap_or_else(|panic| {
        let code = panic_message(&*panic);
        telemetry::tell(|| tracing::error!(account.id = %account, code, "the check of an account panicked"));
        Ok(TokenCheck::Unanswered)
    })
}

async fn check(context: &Context, account: &AccountId) {
    match check_token(context, account).await {
        Ok(TokenCheck::Open) => {}
        Ok(closed @ (TokenCheck::Blocked { .. } | TokenCheck::Suspect { .. } | TokenCheck::Unanswered)) => {
            telemetry::tell(|| tracing::debug!(account.id = %account, ?closed, "the account is not used"));
        }
        Err(error) => failed("gates", &error),
    }
}

/// A store that cannot be used is no reason to end a loop: the next turn tries again, and health asks the store itself.
fn failed(name: &'static str, error: &StoreError) {
    telemetry::tell(|| {
        tracing::warn!({ telemetry::LOOP_NAME } = name, { telemetry::ERROR } = %telemetry::causes(error), "store failed");
    });
}

/// Sees to it that each account has its sweep: a lost job is enqueued anew, a dead one is replayed.
pub(super) fn sweeps(supervisor: &Supervisor, context: &Context) -> LoopHandle {
    let context = context.clone();
    supervisor.spawn("sweeps", LoopPolicy::Critical, move |tick| {
        let context = context.clone();
        async move {
            while !tick.is_stopping() {
                tick.beat();
                for account in context.providers.keys() {
                    if let Err(error) = keep_sweep(&context, account).await {
                        telemetry::tell(|| {
                            let (name, error) = ("sweeps", telemetry::causes(&error));
                            tracing::warn!({ telemetry::LOOP_NAME } = name, error = %error, "queue failed");
                        });
                    }
                }
                tick.pause(context.timing.sweep_interval).await;
            }
            Ok(())
        }
    })
}

async fn keep_sweep(context: &Context, account: &AccountId) -> Result<(), QueueError> {
    let id = JobId::from_uuid(context.randomness.uuid_at(context.clock.now()));
    let mut job = kinds::sweep_job(id, account).map_err(|error| QueueError::Corrupt { source: Box::new(error) })?;
    match context.queue.find(&job.key).await? {
        Some(found) if found.state == JobState::Dead => {
            let code = found.last_error.as_deref();
            telemetry::tell(|| tracing::error!(account.id = %account, code, "a sweep was dead; it runs again"));
            context.queue.replay(found.id).await.map(|_changed| ())
        }
        // One that waits is due within an interval at the latest, whatever the queue's clock or somebody's hand has done to it; one
        // that runs is asked for again, which puts its place among the leases right, too.
        Some(found) => {
            // Behind one that takes longer than an interval the next one is not to begin at once.
            let intervals = if found.state == JobState::Leased { 2 } else { 1 };
            job.delay = context.timing.sweep_interval.saturating_mul(intervals);
            context.queue.enqueue(&[job]).await.map(|_answers| ())
        }
        None => context.queue.enqueue(&[job]).await.map(|_answers| ()),
    }
}

/// Gives committed audit records their place in the chain.
pub(super) fn seal(supervisor: &Supervisor, context: &Context) -> LoopHandle {
    let store = context.store.clone();
    supervisor.spawn("seal", LoopPolicy::Critical, move |tick| {
        let store = store.clone();
        async move {
            while !tick.is_stopping() {
                tick.beat();
                if let Err(error) = relay::seal_all(store.as_ref()).await {
                    failed("seal", &error);
                }
                tick.pause(SEAL_EVERY).await;
            }
            Ok(())
        }
    })
}

/// Delivers sealed audit records to one sink; a sink that fails, or does not answer in time, is tried again, less and less often.
///
/// `cut` drops what is being delivered, for a shutdown whose time is over: the loop ends.
pub(super) fn deliver(
    supervisor: &Supervisor,
    store: &Arc<dyn Store>,
    sink: &Arc<dyn AuditSink>,
    cut: &CancellationToken,
) -> LoopHandle {
    let (store, sink, cut) = (store.clone(), sink.clone(), cut.clone());
    supervisor.spawn(&format!("deliver:{}", sink.name().as_str()), LoopPolicy::Restartable, move |tick| {
        let (store, sink, cut) = (store.clone(), sink.clone(), cut.clone());
        async move {
            let mut pause = DELIVER_EVERY;
            while !tick.is_stopping() {
                tick.beat();
                // A shutdown waits for the batch under way, not for all of the round.
                let time = || (!tick.is_stopping()).then_some(DELIVERY_LIMIT);
                let delivering = relay::deliver_once(store.as_ref(), sink.as_ref(), time);
                let Some(delivered) = cut.run_until_cancelled(delivering).await else { break };
                pause = match delivered.failed {
                    None => DELIVER_EVERY,
                    Some(_told) => pause.saturating_mul(2).min(DELIVER_PAUSE_MOST),
                };
                tick.pause(pause).await;
            }
            Ok(())
        }
    })
}

/// Forgets what has outlived its retention; health tells if it fails for long.
pub(super) fn trim(supervisor: &Supervisor, context: &Context, health: &Health) -> LoopHandle {
    let (context, ends) = (context.clone(), Arc::new(RoundEnds::new(TRIM_PATIENCE)));
    health.watch(Arc::new(TrimHealth(ends.clone())));
    supervisor.spawn("trim", LoopPolicy::Restartable, move |tick| {
        let (context, ends) = (context.clone(), ends.clone());
        async move {
            let mut pace = Pace::new(Instant::now());
            while !tick.is_stopping() {
                tick.beat();
                let pause = match trim_once(&context, &mut pace).await {
                    Ok(trimmed) => {
                        ends.succeeded();
                        telemetry::tell(|| {
                            tracing::debug!(trimmed.keys, trimmed.operations, trimmed.records, "trimmed");
                        });
                        trim_pause(&trimmed)
                    }
                    Err(error) => {
                        let cause = telemetry::causes(&error).to_string();
                        telemetry::tell(|| {
                            let (name, error) = ("trim", &cause);
                            tracing::warn!({ telemetry::LOOP_NAME } = name, { telemetry::ERROR } = %error, "not trimmed");
                        });
                        ends.failed(cause);
                        TRIM_EVERY
                    }
                };
                tick.pause(pause.mul_f64(0.9 + 0.2 * context.randomness.share())).await;
            }
            Ok(())
        }
    })
}

/// Says why a round of trimming has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrimError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of both clocks is wrong.
    #[error("the store's clock and this process's differ by {seconds} s")]
    Apart {
        /// By how much.
        seconds: u64,
    },
}

/// Trims, unless the store's clock cannot be trusted now: what is forgotten by one that is ahead is forgotten for good.
pub(super) async fn trim_once(context: &Context, pace: &mut Pace) -> Result<Trimmed, TrimError> {
    let now = context.store.now().await?;
    // Each reading counts for the pace, also one that is not believed.
    let is_kept = pace.is_kept(now, Instant::now());
    if let Some(by) = apart(now, context.clock.now()) {
        return Err(TrimError::Apart { seconds: by.as_secs() });
    }
    if !is_kept {
        return Ok(Trimmed::default());
    }
    let (keys, records) = (context.timing.key_retention, context.timing.record_retention);
    Ok(context.store.trim(&Retention { now, keys, records, most: TRIM_MOST }).await?)
}

/// Returns how long to wait after a round, so that what ends in a day is also forgotten in one.
fn trim_pause(trimmed: &Trimmed) -> Duration {
    let most = trimmed.keys.max(trimmed.operations).max(trimmed.records);
    if most >= u64::from(TRIM_MOST) { TRIM_AGAIN } else { TRIM_EVERY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_of_trimming_that_removed_all_it_may_is_followed_by_the_next_at_once() {
        let after = |keys, operations, records| trim_pause(&Trimmed { keys, operations, records });
        let most = u64::from(TRIM_MOST);
        assert_eq!(after(most - 1, most - 1, most - 1), TRIM_EVERY);
        for full in [after(most, 0, 0), after(0, most, 0), after(0, 0, most)] {
            assert_eq!(full, TRIM_AGAIN);
        }
    }
}
