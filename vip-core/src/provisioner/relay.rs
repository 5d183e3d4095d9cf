//! The loop that relays committed jobs to a queue elsewhere.

use std::sync::Arc;
use std::time::Duration;

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

/// Starts the loop.
pub(super) fn start(
    supervisor: &Supervisor,
    context: &Context,
    outbox: &Arc<dyn JobQueue>,
    kinds: Vec<JobKind>,
) -> LoopHandle {
    let (context, outbox) = (context.clone(), outbox.clone());
    supervisor.spawn("relay", LoopPolicy::Critical, move |tick| {
        let (context, outbox, kinds) = (context.clone(), outbox.clone(), kinds.clone());
        async move {
            relay_until_stopped(&context, &*outbox, &kinds, &tick).await;
            Ok(())
        }
    })
}

async fn relay_until_stopped(context: &Context, outbox: &dyn JobQueue, kinds: &[JobKind], tick: &Tick) {
    let route = JobRoute { from: outbox, to: &*context.queue, kinds };
    let mut failures = 0;
    while !tick.is_stopping() {
        tick.beat();
        // Never dropped halfway: what it took would wait for its lease to end.
        match relay_once(&route, ClaimId::from_uuid(context.randomness.uuid())).await {
            Ok(relayed) => {
                failures = 0;
                if relayed.jobs > 0 {
                    let delay = u64::try_from(relayed.delay.as_millis()).unwrap_or(u64::MAX);
                    tracing::debug!(
                        { telemetry::COUNT } = relayed.jobs,
                        { telemetry::DURATION_MS } = delay,
                        "committed jobs were relayed"
                    );
                }
                if relayed.jobs < RELAY_BATCH {
                    let pause = LOOK_EVERY.mul_f64(0.75 + 0.5 * context.randomness.share());
                    tokio::select! {
                        biased;
                        () = tick.interrupted() => {}
                        () = outbox.wait(pause) => {}
                    }
                }
            }
            Err(error) => {
                // The jobs stay where they are; health shows how long the oldest has been waiting.
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "committed jobs were not relayed");
                tick.pause(Backoff::new(PAUSES.0, PAUSES.1).half_jitter(failures, &*context.randomness)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}
