//! The facade that an embedder holds: builds the product, accepts for tenants, runs workers, shows health, shuts down.

mod builder;
mod loops;
mod operation;
mod operator;
mod tenant;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use builder::{Builder, StartError};
pub use operation::{OperationHandle, Progress, WaitError};
pub use operator::Operator;
pub use tenant::{CreateOrder, DeleteOrder, Tenant};

use crate::model::{AccountId, InstallationId};
use crate::ports::{AuditSink, Backend};
use crate::provisioning::Context;
use crate::provisioning::accept::CommandError;
use crate::runtime::{HealthReport, LoopStatus, ShutdownReport, Supervisor};
use crate::worker::Worker;

/// Provisions servers: one order, exactly one server.
///
/// Clones share one product. [`Provisioner::shutdown`] ends it in order; dropping it does not wait for anything.
#[derive(Debug, Clone)]
pub struct Provisioner {
    shared: Shared,
    supervisor: Supervisor,
    worker: Option<Worker>,
    sinks: Arc<Vec<Arc<dyn AuditSink>>>,
}

/// Is what handles share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) context: Context,
    /// Accounts that orders may use, in order of preference.
    pub(crate) accounts: Arc<Vec<AccountId>>,
    /// Most servers of a tenant.
    pub(crate) quota: Option<u32>,
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
        Tenant::new(self.shared.clone(), tenant)
    }

    /// Speaks for the operator of this installation.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(self.shared.clone())
    }

    /// Returns this installation's id, which marks its servers at the provider.
    #[must_use]
    pub const fn installation(&self) -> InstallationId {
        self.shared.context.installation
    }

    /// Lists the background loops and how they are.
    #[must_use]
    pub fn loops(&self) -> Vec<LoopStatus> {
        self.supervisor.status()
    }

    /// Makes a named background loop panic at its next turn, to prove that nothing is lost by it.
    #[doc(hidden)]
    pub fn provoke_panic(&self, name: &str) -> bool {
        self.supervisor.provoke_panic(name)
    }

    /// Waits until a part that is needed cannot be kept up; a host ends with an error then.
    pub async fn failed(&self) -> String {
        self.supervisor.failed().await
    }
}
