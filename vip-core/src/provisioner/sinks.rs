//! The audit of a process with workers, and its end in a shutdown: what is left is sealed, each sink gets its last records and is
//! closed, once, also if the store is silent, or if store or sink panic.

use std::error::Error;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

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
/// What of that a store may take to remember the last delivery; one that is silent keeps no sink open.
const REMEMBER: Duration = Duration::from_millis(500);

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
    /// Drops what the loop is delivering.
    cut: CancellationToken,
    /// Is set once it is closed.
    closed: OnceCell<()>,
}

/// Is the time of the phase that ends the sinks.
#[derive(Debug, Clone, Copy)]
struct Time {
    begin: Instant,
    limit: Duration,
}

impl Time {
    /// Returns what is left until `kept` before its end, if anything is.
    fn until(self, kept: Duration) -> Option<Duration> {
        self.limit.saturating_sub(kept).checked_sub(self.begin.elapsed()).filter(|left| !left.is_zero())
    }
}

impl Audit {
    /// Starts the loops.
    pub(super) fn start(supervisor: &Supervisor, context: &Context, sinks: Vec<Arc<dyn AuditSink>>) -> Self {
        let seal = loops::seal(supervisor, context);
        let fed = |sink: Arc<dyn AuditSink>| {
            let cut = CancellationToken::new();
            let delivery = loops::deliver(supervisor, &context.store, &sink, &cut);
            Fed { sink, delivery, cut, closed: OnceCell::new() }
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
    /// What another shutdown is about to do is waited for, and what one has done is not done again. Says whether nothing was cut off.
    pub(super) async fn end(&self, store: &dyn Store, limit: Duration, delivered: &AtomicU64) -> bool {
        let time = Time { begin: Instant::now(), limit };
        let sealed = AssertUnwindSafe(self.seal_rest(store, time)).catch_unwind().await;
        let mut endings = Vec::with_capacity(self.sinks.len());
        for fed in &self.sinks {
            endings.push(AssertUnwindSafe(fed.end(store, time, delivered)).catch_unwind());
        }
        let ended = join_all(endings).await;
        let ends: Result<Vec<bool>, _> = std::iter::once(sealed).chain(ended).collect();
        // Caught and told by the phase; by now the sinks are closed.
        ends.unwrap_or_else(|panic| resume_unwind(panic)).into_iter().all(|is_whole| is_whole)
    }

    /// Seals what is left, unless that is done; says whether the time sufficed.
    async fn seal_rest(&self, store: &dyn Store, time: Time) -> bool {
        let sealing = async { relay::seal_all(store).await.map(|_sealed| ()) };
        let sealed = timeout(time.until(CLOSE).unwrap_or_default(), self.sealed.get_or_try_init(|| sealing)).await;
        let unsealed = |error: &dyn Error| {
            telemetry::tell(|| {
                tracing::warn!(
                    error = %telemetry::causes(error),
                    "audit records stay unsealed until the next start"
                );
            });
        };
        match &sealed {
            Ok(Ok(_done)) => {}
            Ok(Err(error)) => unsealed(error),
            Err(elapsed) => unsealed(elapsed),
        }
        sealed.is_ok()
    }
}

impl Fed {
    /// Gives the sink its last records, once its loop has ended, and closes it; a panic goes on once it is closed. Says whether no
    /// delivery was cut off.
    async fn end(&self, store: &dyn Store, time: Time, count: &AtomicU64) -> bool {
        let (mut panic, mut is_whole) = (None, true);
        let ending = async {
            let last = timeout(time.until(REMEMBER).unwrap_or_default(), self.deliver_rest(store, time, count));
            match AssertUnwindSafe(last).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(elapsed)) => {
                    is_whole = false;
                    self.tell(&elapsed, "the last delivery to an audit sink did not end in time");
                }
                Err(caught) => panic = Some(caught),
            }
            // A delivery that is still under way is dropped: none ends behind the close.
            self.cut.cancel();
            self.delivery.ended().await;
            if let Err(error) = self.sink.close().await {
                self.tell(&error, "an audit sink was not closed in order");
            }
        };
        self.closed.get_or_init(|| ending).await;
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        is_whole
    }

    async fn deliver_rest(&self, store: &dyn Store, time: Time, count: &AtomicU64) {
        self.delivery.ended().await;
        let delivered = relay::deliver_once(store, self.sink.as_ref(), || time.until(CLOSE)).await;
        count.fetch_add(delivered.records, Ordering::Relaxed);
    }

    fn tell(&self, error: &dyn Error, what: &'static str) {
        telemetry::tell(|| {
            let name = self.sink.name();
            tracing::warn!(sink = name.as_str(), error = %telemetry::causes(error), "{what}");
        });
    }
}
