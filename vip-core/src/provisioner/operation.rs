//! Follows an operation until it is done, or says why it is not.

use std::time::Duration;

use super::Shared;
use crate::model::{Operation, OperationId, OperationStatus, Server, ServerId, Timestamp, WaitReason};
use crate::ports::{Loaded, StoreError};
use crate::provisioning::accept::CommandError;
use crate::provisioning::{Context, is_blocked};
use crate::telemetry;

/// First and longest pause between two looks at an operation.
const LOOK: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// Says how far an operation is, and if it is not done why and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The operation.
    pub operation: Operation,
    /// The server.
    pub server: Server,
    /// Why it waits, as long as it is not done.
    pub wait_reason: Option<WaitReason>,
    /// When it goes on, by the store's clock, as long as it is not done.
    pub next_at: Option<Timestamp>,
}

/// Says why an operation has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The order failed, and nothing is left at the provider. Under its idempotency key this is the answer from now on.
    #[error("the operation failed: {code}; a new order needs a new idempotency key")]
    Failed {
        /// Why, as a stable name.
        code: String,
    },
    /// A delete overtook it.
    #[error("the operation was overtaken by a delete")]
    Superseded,
    /// It waits for an operator or for its cause to go away, and then goes on: an order may still buy its server, until
    /// it is given up ([`Tenant::cancel`](super::Tenant::cancel)).
    #[error("the operation is parked: {code}; once its cause is gone it goes on, and may still buy its server")]
    Parked {
        /// Why, as a stable name.
        code: String,
    },
    /// It could not be followed; it goes on all the same.
    #[error("the operation could not be followed")]
    Unavailable(#[source] CommandError),
}

/// Says whether an operation reads as parked because the gate of its account is closed (`docs/protocol.md` §2).
///
/// Its row stays pending: when the gate opens, nothing has to be unparked.
pub(super) fn shows_blocked(context: &Context, operation: &Operation, loaded: &Loaded) -> bool {
    operation.status == OperationStatus::Pending && is_blocked(context, loaded)
}

/// Shows an operation as it reads while the gate of its account is closed.
pub(super) fn as_blocked(mut operation: Operation) -> Operation {
    operation.status = OperationStatus::Parked;
    operation.code = Some(WaitReason::AccountBlocked.as_str().to_owned());
    operation
}

/// Follows one operation; keep its id to take it up again later.
#[derive(Debug, Clone)]
pub struct OperationHandle {
    shared: Shared,
    operation: Operation,
    replayed: bool,
}

impl OperationHandle {
    pub(super) const fn new(shared: Shared, operation: Operation, replayed: bool) -> Self {
        Self { shared, operation, replayed }
    }

    /// Returns the operation's id.
    #[must_use]
    pub const fn id(&self) -> OperationId {
        self.operation.id
    }

    /// Returns the id of the server that it is about.
    #[must_use]
    pub const fn server_id(&self) -> ServerId {
        self.operation.server
    }

    /// Says whether the command had been accepted before, under the same key.
    #[must_use]
    pub const fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// Returns the operation as it was when it was read.
    #[must_use]
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Says how far it is now.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if the store cannot be asked, or the operation has outlived its retention.
    pub async fn progress(&self) -> Result<Progress, CommandError> {
        let store = &self.shared.context.store;
        let tenant = &self.operation.tenant;
        let operation = store.operation(tenant, self.operation.id).await?.ok_or(CommandError::NotFound)?;
        let loaded = store.load(tenant, self.operation.server).await?.ok_or(CommandError::NotFound)?;
        let blocked = shows_blocked(&self.shared.context, &operation, &loaded);
        let operation = if blocked { as_blocked(operation) } else { operation };
        let server = loaded.server;
        let open = !operation.status.is_final();
        let noted = server.wait_reason.filter(|_| open);
        let wait_reason = if blocked { Some(WaitReason::AccountBlocked) } else { noted };
        let next_at = server.wake_at.filter(|_| open);
        Ok(Progress { operation, server, wait_reason, next_at })
    }

    /// Waits until it is done, and returns the server.
    ///
    /// An operation that is parked is an error at once: it may take an operator. While it stays parked, so is every further
    /// call: whoever goes on waiting pauses between two calls, or follows [`progress`](Self::progress).
    ///
    /// It has no limit of its own: it waits through an outage of the provider, and for ever while no process with workers has the
    /// account. Put `tokio::time::timeout` around it; [`Progress::why`] says meanwhile what it waits for.
    ///
    /// # Errors
    ///
    /// [`WaitError`] says what became of it instead.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; the operation goes on.
    pub async fn wait(&self) -> Result<Server, WaitError> {
        let mut pause = LOOK.0;
        let mut failures = 0_u32;
        loop {
            match self.progress().await {
                Ok(progress) => {
                    failures = 0;
                    let code = || progress.operation.code.clone().unwrap_or_else(|| "unknown".to_owned());
                    match progress.operation.status {
                        OperationStatus::Succeeded => return Ok(progress.server),
                        OperationStatus::Failed => return Err(WaitError::Failed { code: code() }),
                        OperationStatus::Superseded => return Err(WaitError::Superseded),
                        OperationStatus::Parked => return Err(WaitError::Parked { code: code() }),
                        OperationStatus::Pending => {}
                    }
                }
                Err(error @ CommandError::Unavailable { .. }) if failures < self.shared.wait_failures => {
                    failures += 1;
                    telemetry::tell(|| {
                        tracing::debug!(error = %telemetry::causes(&error), "operation could not be read, again");
                    });
                }
                Err(error) => return Err(WaitError::Unavailable(error)),
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f64(1.5).min(LOOK.1);
        }
    }
}

impl From<StoreError> for WaitError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}
