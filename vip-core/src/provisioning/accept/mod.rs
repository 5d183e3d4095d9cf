//! Accept: turns a command into a wish that is committed. It never talks to a provider.
//!
//! One file per command; what they share (idempotency, errors, unknown commits) is here.

mod cancel_create;
mod create_server;
mod delete_server;
mod direct;
mod error;

pub use cancel_create::{CancelCreate, cancel_create};
#[cfg(test)]
pub(crate) use create_server::change_for_tests;
pub use create_server::{CreateServer, create_server, provider_labels};
pub(crate) use create_server::{Ids, Names, check_create, create_in};
pub(crate) use delete_server::delete_in;
#[cfg(test)]
pub(crate) use delete_server::deletion_for_tests;
pub use delete_server::{DeleteServer, delete_server};
pub use error::CommandError;

use direct::Direct;

use crate::model::{
    Actor, Fingerprint, IdempotencyKey, Operation, OperationId, RequestId, ServerId, TenantId, Timestamp, TraceParent,
};
use crate::ports::{ChangeSet, CommandStore, Committed, KeyRecord, OperationChange, Retryability, StoreError};
use crate::seeded_bugs::{SeededBug, is_on};

/// Most times a command starts anew because the record moved on in between.
const RACES: u32 = 16;

/// Says on whose behalf a command is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Tenant that it is for.
    pub tenant: TenantId,
    /// Who gives it.
    pub actor: Actor,
    /// Request that carries it.
    pub request_id: Option<RequestId>,
    /// Trace that this request belongs to.
    pub trace_parent: Option<TraceParent>,
    /// Names the command, so that it may be repeated.
    pub key: Option<IdempotencyKey>,
}

/// Is what an accepted command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Accepted {
    /// The operation to follow.
    pub operation: Operation,
    /// Whether the command had been accepted before.
    pub replayed: bool,
}

/// Answers a command whose key is known: the old operation, or a conflict.
async fn replay(
    store: &mut dyn CommandStore,
    caller: &Caller,
    fingerprint: &Fingerprint,
) -> Result<Option<Accepted>, CommandError> {
    let Some(key) = &caller.key else {
        return Ok(None);
    };
    let Some(record) = store.key(&caller.tenant, key).await? else {
        return Ok(None);
    };
    if &record.fingerprint != fingerprint {
        return Err(CommandError::IdempotencyConflict);
    }
    let operation = read(store, &caller.tenant, record.operation).await?;
    Ok(Some(Accepted { operation, replayed: true }))
}

/// Reads an operation that must exist, because a key or record names it.
async fn read(store: &mut dyn CommandStore, tenant: &TenantId, id: OperationId) -> Result<Operation, CommandError> {
    store.operation(tenant, id).await?.ok_or(CommandError::NotFound)
}

/// Says what the commit of a command came to.
enum Outcome {
    /// It is written; before this call already, if so it says. The time is that of the commit.
    Written { replayed: bool, at: Option<Timestamp> },
    /// The key or the record moved on: begin anew.
    Again,
}

async fn write(store: &mut dyn CommandStore, change: &ChangeSet) -> Result<Outcome, CommandError> {
    match store.write(change).await {
        Ok(Committed { replayed, at, .. }) => Ok(Outcome::Written { replayed, at: Some(at) }),
        Err(error) if is_on(SeededBug::AckBeforeCommit) && error.retryability() != Retryability::Permanent => {
            tracing::warn!(error = %crate::telemetry::causes(&error), "the commit of an accepted command failed");
            Ok(Outcome::Written { replayed: false, at: None })
        }
        Err(StoreError::Conflict | StoreError::KeyTaken) => Ok(Outcome::Again),
        Err(error) => Err(error.into()),
    }
}

/// Returns the operation that a commit has added, as the commit has written it.
///
/// Nothing is read once a command is committed: a read that fails would say of what stands that nothing was changed.
fn added(change: ChangeSet, at: Option<Timestamp>) -> Option<Operation> {
    let new = change.operations.into_iter().find_map(|change| match change {
        OperationChange::Insert(new) => Some(new),
        OperationChange::Status { .. } => None,
    })?;
    Some(match at {
        Some(at) => Operation { created_at: at, updated_at: at, ..new },
        None => new,
    })
}

fn key_record(
    caller: &Caller,
    fingerprint: &Fingerprint,
    operation: OperationId,
    server: ServerId,
) -> Option<KeyRecord> {
    let key = caller.key.clone()?;
    Some(KeyRecord { key, fingerprint: fingerprint.clone(), operation, server })
}
