//! The facade that an embedder holds: builds the product, accepts for tenants, runs workers, shows health, shuts down.

#[cfg(test)]
mod account_tests;
mod builder;
#[cfg(test)]
mod catalog_tests;
mod catalogs;
#[cfg(test)]
mod failed_tests;
mod health;
#[cfg(test)]
mod health_tests;
mod jobs;
#[cfg(test)]
mod log_tests;
mod loops;
mod operation;
mod operator;
mod pace;
mod placement;
mod prepared;
mod provider_health;
mod relay;
#[cfg(test)]
mod relay_tests;
#[cfg(test)]
mod removal_tests;
mod replay;
mod round_ends;
#[cfg(test)]
mod sink_store_tests;
#[cfg(test)]
mod sink_tests;
mod sinks;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod suspect_tests;
mod tenant;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trim_tests;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use builder::{Builder, StartError};
pub use catalogs::CatalogError;
pub use operation::{OperationHandle, Progress, WaitError};
pub use operator::{Operator, SweepFailed, UnknownAccount};
pub use placement::Placement;
pub use prepared::PreparedOrder;
pub use replay::{
    PATIENCE_MOST, REPLAY_MOST, REPLAY_TIME, ReplayError, ReplayPlan, ReplayReport, SAMPLE_MOST, SampleFate, SampledJob,
};
pub use tenant::{CancelOrder, CreateOrder, DeleteOrder, Tenant};

use crate::model::{AccountId, InstallationId};
use crate::ports::{Backend, Catalog, Connections, PoolFigures};
use crate::provisioning::Context;
use crate::provisioning::accept::CommandError;
use crate::provisioning::sweep::SweepEnds;
use crate::resilience::Stack;
use crate::resilience::cached::Cached;
use crate::runtime::{Health, HealthReport, LoopHandle, LoopStatus, Shutdown, ShutdownReport, Supervisor};
use crate::telemetry;
use crate::worker::RunningWorker;

/// Least time that a phase of the shutdown has, whatever is left of the deadline: to write down what was done.
const LEAST: Duration = Duration::from_secs(1);

/// Provisions servers: one order, exactly one server.
///
/// Clones share one product. [`Provisioner::shutdown`] ends it in order; dropping it does not wait for anything.
///
/// Keep one for as long as this process shall work: with the last clone its workers end, in the middle of what they do, and a
/// `warn` line says so. What it handed out ([`Tenant`], [`Operator`], [`OperationHandle`]) keeps no worker: it goes on to
/// accept and to answer, and the orders wait for another process.
#[derive(Debug, Clone)]
#[must_use = "with its last clone the workers end"]
pub struct Provisioner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Shared,
    supervisor: Supervisor,
    health: Health,
    running: Option<Running>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.running.is_some() && !self.shared.closing.load(Ordering::Acquire) {
            telemetry::tell(|| {
                tracing::warn!(
                    "a product with workers was dropped without a shutdown: they end, and its handles still accept"
                );
            });
        }
    }
}

/// Is what runs in the background.
#[derive(Debug)]
struct Running {
    worker: Arc<RunningWorker>,
    early: Vec<LoopHandle>,
    audit: sinks::Audit,
}

/// Is what handles share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) context: Context,
    /// Accounts that orders may use, in order of preference.
    pub(crate) accounts: Arc<Vec<AccountId>>,
    /// What stands around each provider.
    pub(crate) stacks: Arc<BTreeMap<AccountId, Stack>>,
    /// Who counts the connections of the backend.
    connections: Option<Arc<dyn Connections>>,
    catalogs: Arc<catalogs::Catalogs>,
    /// How the sweeps of this process ended.
    sweeps: Arc<SweepEnds>,
    placer: Arc<placement::Placer>,
    /// Most servers of a tenant.
    pub(crate) quota: Option<u32>,
    /// Ids of images that every tenant may order.
    image_ids: Arc<BTreeSet<String>>,
    /// Most failed reads in a row before somebody who waits for an operation is told.
    pub(crate) wait_failures: u32,
    closing: Arc<AtomicBool>,
}

impl Shared {
    fn refuse_while_closing(&self) -> Result<(), CommandError> {
        if self.closing.load(Ordering::Acquire) { Err(CommandError::ShuttingDown) } else { Ok(()) }
    }
}

impl Provisioner {
    /// Begins to build the product on a store and the queue beside it.
    pub fn builder(backend: impl Into<Backend>) -> Builder {
        Builder::new(backend.into())
    }

    /// Speaks for a tenant; a name that is not valid is refused by whatever is asked.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Tenant {
        Tenant::new(self.inner.shared.clone(), tenant)
    }

    /// Speaks for the operator of this installation.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(self.inner.shared.clone())
    }

    /// Shows what can be ordered in an account and what it costs: kept for a while, its age and whether it is stale said.
    ///
    /// No order depends on it: what is ordered is checked by the provider, when it creates.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] if this process cannot ask that account, or has nothing that is young enough.
    pub async fn catalog(&self, account: &AccountId) -> Result<Cached<Catalog>, CatalogError> {
        self.inner.shared.catalogs.get(account).await
    }

    /// Returns this installation's id, which marks its servers at the provider.
    #[must_use]
    pub fn installation(&self) -> InstallationId {
        self.inner.shared.context.installation
    }

    /// Says how each part is: store, queue, accounts, background loops. Bounded in time.
    pub async fn health(&self) -> HealthReport {
        let mut report = self.inner.health.report().await;
        report.parts.extend(self.inner.supervisor.health());
        report
    }

    /// Says whether this process should get requests: its store answers, and it does not shut down. Bounded in time.
    ///
    /// What only hinders the work (a provider, a loop) is left to [`health`](Self::health): a process that can accept
    /// orders is ready.
    pub async fn readiness(&self) -> HealthReport {
        self.inner.health.report_of(&["store"]).await
    }

    /// Makes this process not ready, for good: whoever sends it requests looks elsewhere. Those that still come are
    /// answered; [`shutdown`](Self::shutdown) is what ends that.
    pub fn drain(&self) {
        self.inner.health.drain();
    }

    /// Says whether this process was told to drain, or shuts down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.inner.health.is_draining()
    }

    /// Shows how busy the connections of the backend are, for each purpose; nothing for a backend that needs none.
    #[must_use]
    pub fn pool_figures(&self) -> Vec<PoolFigures> {
        self.inner.shared.connections.as_ref().map(|it| it.figures()).unwrap_or_default()
    }

    /// Lists the background loops and how they are.
    #[must_use]
    pub fn loops(&self) -> Vec<LoopStatus> {
        self.inner.supervisor.statuses()
    }

    /// Makes a named background loop panic at its next turn, to prove that nothing is lost by it.
    #[doc(hidden)]
    #[must_use]
    pub fn provoke_panic(&self, name: &str) -> bool {
        self.inner.supervisor.provoke_panic(name)
    }

    /// Waits until a part that is needed cannot be kept up, and says why; a host ends with an error then.
    pub async fn failed(&self) -> String {
        self.inner.supervisor.failed().await.to_string()
    }

    /// Ends everything in order: no new commands, no new jobs; running attempts finish, or at the deadline are handed
    /// back without burning anything; what was done is written down; the audit is delivered; loops, sinks and pools end.
    ///
    /// With a deadline of zero everything is handed back at once. A second call finds nothing left to do; one beside the first
    /// waits for what that one has begun, until its own deadline.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let inner = &self.inner;
        inner.shared.closing.store(true, Ordering::Release);
        inner.health.drain();
        let mut shutdown = Shutdown::within(deadline);
        if let Some(running) = &inner.running {
            running.worker.shutdown(&mut shutdown).await;
            running.early.iter().for_each(LoopHandle::stop);
            shutdown.phase("audit_seal", LEAST, running.audit.stop()).await;
            let (delivered, limit) = (AtomicU64::new(0), shutdown.left().max(sinks::LEAST));
            let ending = running.audit.end(inner.shared.context.store.as_ref(), limit, &delivered);
            if shutdown.phase("audit", sinks::LEAST, ending).await == Some(false) {
                shutdown.was_cut();
            }
            // Also if the phase was cut: one sink that hangs says nothing of the others.
            shutdown.report().audit_delivered += delivered.into_inner();
        }
        shutdown.phase("catalogs", LEAST, inner.shared.catalogs.close()).await;
        shutdown.phase("placement", LEAST, inner.shared.placer.close()).await;
        let stopped = inner.supervisor.shutdown(shutdown.left().max(LEAST)).await;
        let store = &inner.shared.context.store;
        if let Some(Err(error)) = shutdown.phase("store", LEAST, store.close()).await {
            telemetry::tell(|| {
                tracing::warn!(error = %telemetry::causes(&error), "the store was not closed in order");
            });
        }
        shutdown.finish(stopped)
    }
}
