//! The audit of a process with workers, and its end in a shutdown: what is left is sealed, each sink gets its last records and is
//! closed, once.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::loops;
use crate::ports::{AuditSink, Store};
use crate::provisioning::Context;
use crate::relay;
use crate::runtime::{LoopHandle, Supervisor};
use crate::telemetry;

/// Least time of the phase that ends the sinks: for the batch that is under way, for the last ones, and for closing.
pub(super) const LEAST: Duration = Duration::from_secs(2);
/// What of it is kept for closing, however much there is to deliver: the rest is delivered after the next start.
const CLOSE: Duration = Duration::from_secs(1);

/// Is the loop that seals, and each sink with its loop.
#[derive(Debug)]
pub(super) struct Audit {
    seal: LoopHandle,
    sinks: Vec<Fed>,
    /// Is set once all is sealed.
    sealed: OnceCell<()>,
}

/// Is a sink and the loop that delivers to it.
#[derive(Debug)]
struct Fed {
    sink: Arc<dyn AuditSink>,
    delivery: LoopHandle,
    /// Is set once it is closed.
    closed: OnceCell<()>,
}

impl Audit {
    /// Starts the loops.
    pub(super) fn start(supervisor: &Supervisor, context: &Context, sinks: Vec<Arc<dyn AuditSink>>) -> Self {
        let seal = loops::seal(supervisor, context);
        let fed = |sink: Arc<dyn AuditSink>| Fed {
            delivery: loops::deliver(supervisor, &context.store, &sink),
            sink,
            closed: OnceCell::new(),
        };
        Self { seal, sinks: sinks.into_iter().map(fed).collect(), sealed: OnceCell::new() }
    }

    /// Tells the loops to end; returns once nothing is being sealed.
    pub(super) async fn stop(&self) {
        self.seal.stop();
        self.sinks.iter().for_each(|fed| fed.delivery.stop());
        self.seal.ended().await;
    }

    /// Seals what is left, gives every sink its last records and closes it, within `limit`; counts what was delivered. All sinks
    /// at once, each after its own loop, so that one that hangs, or panics, costs the others nothing.
    ///
    /// What another shutdown is about to do is waited for, and what one has done is not done again.
    pub(super) async fn end(&self, store: &dyn Store, limit: Duration, delivered: &AtomicU64) {
        let begin = Instant::now();
        let time = move || limit.saturating_sub(CLOSE).checked_sub(begin.elapsed()).filter(|left| !left.is_zero());
        let sealing = async { relay::seal_all(store).await.map(|_sealed| ()) };
        if let Err(error) = self.sealed.get_or_try_init(|| sealing).await {
            telemetry::tell(|| {
                tracing::warn!(
                    error = %telemetry::causes(&error),
                    "audit records stay unsealed until the next start"
                );
            });
        }
        let mut endings = Vec::with_capacity(self.sinks.len());
        for fed in &self.sinks {
            endings.push(AssertUnwindSafe(fed.end(store, time, delivered)).catch_unwind());
        }
        let ended = join_all(endings).await;
        if let Some(panic) = ended.into_iter().find_map(Result::err) {
            // Caught and told by the phase; by now the other sinks are closed.
            resume_unwind(panic);
        }
    }
}

impl Fed {
    /// Gives the sink its last records, once its loop has ended, and closes it.
    async fn end(&self, store: &dyn Store, time: impl Fn() -> Option<Duration> + Send, count: &AtomicU64) {
        let ending = async {
            self.delivery.ended().await;
            let delivered = relay::deliver_once(store, self.sink.as_ref(), time).await;
            count.fetch_add(delivered.records, Ordering::Relaxed);
            if let Err(error) = self.sink.close().await {
                telemetry::tell(|| {
                    tracing::warn!(error = %telemetry::causes(&error), "an audit sink was not closed in order");
                });
            }
        };
        self.closed.get_or_init(|| ending).await;
    }
}
