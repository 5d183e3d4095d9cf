//! The loop that relays committed jobs to a queue elsewhere.

use std::sync::Arc;
use std::time::Duration;

use super::round_ends::RoundEnds;
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
    pub(super) ends: Arc<RoundEnds>,
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
                // One that found nothing says nothing: another process may have held the jobs.
                if relayed.jobs > 0 {
                    relay.ends.succeeded();
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
