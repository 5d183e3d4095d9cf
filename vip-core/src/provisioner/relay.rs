//! The loop that relays committed jobs to a queue elsewhere, and what it tells health of its rounds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{ClaimId, JobKind};
use crate::ports::JobQueue;
use crate::provisioning::Context;
use crate::relay::{JobRoute, RELAY_BATCH, relay_once};
use crate::runtime::{Backoff, LoopHandle, LoopPolicy, Supervisor, Tick};
use crate::telemetry;

/// Longest time between two looks at the store's own queue; what this process commits is noticed at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after a round that failed; doubles up to the second one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Is what the loop works with.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    /// The store's own queue, which commits write to.
    pub(super) outbox: Arc<dyn JobQueue>,
    /// Kinds that somebody here knows.
    pub(super) kinds: Vec<JobKind>,
    /// Where it notes how its rounds end.
    pub(super) ends: Arc<RelayEnds>,
}

/// Starts the loop.
pub(super) fn start(supervisor: &Supervisor, context: &Context, relay: Relay) -> LoopHandle {
    let context = context.clone();
    supervisor.spawn("relay", LoopPolicy::Critical, move |tick| {
        let (context, relay) = (context.clone(), relay.clone());
        async move {
            relay_until_stopped(&context, &relay, &tick).await;
            Ok(())
        }
    })
}

async fn relay_until_stopped(context: &Context, relay: &Relay, tick: &Tick) {
    let route = JobRoute { from: &*relay.outbox, to: &*context.queue, kinds: &relay.kinds };
    let mut failures = 0;
    while !tick.is_stopping() {
        tick.beat();
        // Never dropped halfway: what it took would wait for its lease to end.
        match relay_once(&route, ClaimId::from_uuid(context.randomness.uuid())).await {
            Ok(relayed) => {
                failures = 0;
                if relayed.jobs > 0 {
                    relay.ends.moved();
                    let delay = u64::try_from(relayed.delay.as_millis()).unwrap_or(u64::MAX);
                    telemetry::tell(|| {
                        tracing::debug!(
                            { telemetry::COUNT } = relayed.jobs,
                            { telemetry::DURATION_MS } = delay,
                            "committed jobs were relayed"
                        );
                    });
                }
                if relayed.jobs < RELAY_BATCH {
                    let pause = LOOK_EVERY.mul_f64(0.75 + 0.5 * context.randomness.share());
                    tokio::select! {
                        biased;
                        () = tick.interrupted() => {}
                        () = relay.outbox.wait(pause) => {}
                    }
                }
            }
            Err(error) => {
                // The jobs stay where they are, and are due anew: health shows for how long rounds have failed, and why.
                let cause = telemetry::causes(&error).to_string();
                telemetry::tell(|| tracing::warn!({ telemetry::ERROR } = %cause, "committed jobs were not relayed"));
                relay.ends.failed(cause);
                tick.pause(Backoff::new(PAUSES.0, PAUSES.1).half_jitter(failures, &*context.randomness)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

/// Remembers since when the rounds of this process fail, and why. Other processes relay the same jobs; of their rounds it knows
/// nothing.
#[derive(Debug)]
pub(super) struct RelayEnds {
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
pub(super) struct RelayFault {
    pub(super) lasts: Duration,
    pub(super) cause: String,
}

impl RelayEnds {
    /// Knows of no round yet; `patience` is for how long they have to fail before it is told.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, failing: Mutex::default() }
    }

    /// Notes that a round moved something. One that found nothing says nothing: another process may have held the jobs.
    fn moved(&self) {
        *self.lock() = None;
    }

    /// Notes that a round failed.
    fn failed(&self, cause: String) {
        let last = Instant::now();
        let mut failing = self.lock();
        // Between failures that are far apart others have moved what there was.
        let before = failing.take().filter(|before| last.saturating_duration_since(before.last) <= self.patience);
        *failing = Some(Failing { since: before.map_or(last, |before| before.since), last, cause });
    }

    /// Returns what somebody should know, if rounds have failed for long and until now.
    pub(super) fn fault(&self) -> Option<RelayFault> {
        let kept = self.lock();
        let failing = kept.as_ref()?;
        let lasts = failing.since.elapsed();
        let is_told = lasts > self.patience && failing.last.elapsed() <= self.patience;
        is_told.then(|| RelayFault { lasts, cause: failing.cause.clone() })
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
    async fn rounds_that_fail_are_told_after_a_while_until_one_moves_something() {
        let ends = RelayEnds::new(PATIENCE);
        ends.failed("first".to_owned());
        tokio::time::advance(PATIENCE).await;
        ends.failed("second".to_owned());
        assert_eq!(ends.fault(), None);
        tokio::time::advance(MOMENT).await;
        assert_eq!(ends.fault(), Some(RelayFault { lasts: PATIENCE + MOMENT, cause: "second".to_owned() }));
        ends.moved();
        assert_eq!(ends.fault(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_long_ago_says_nothing_of_what_others_have_moved_since() {
        let ends = RelayEnds::new(PATIENCE);
        ends.failed("first".to_owned());
        tokio::time::advance(PATIENCE + MOMENT).await;
        assert_eq!(ends.fault(), None);
        ends.failed("second".to_owned());
        assert_eq!(ends.fault(), None, "it begins anew");
    }
}
