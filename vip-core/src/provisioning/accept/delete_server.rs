//! Accepts the deletion of a server; it overtakes a create that is still under way.

use super::{Accepted, Caller, CommandError, Direct, Outcome, RACES, added, key_record, read, replay, write};
use crate::model::{
    AuditDraft, ChangeId, Desired, Fingerprint, JobId, Operation, OperationId, OperationStatus, OperationVerb,
    OutcomeClass, Server, ServerId, ServerState, Verb,
};
use crate::ports::{ChangeSet, CommandStore, Guard, Loaded, OperationChange};
use crate::provisioning::context::Context;
use crate::provisioning::kinds;

/// Wishes one server away.
#[derive(Debug, Clone, Copy)]
pub struct DeleteServer {
    /// Which one.
    pub server: ServerId,
}

/// Accepts a deletion; a second one answers the first one's operation.
///
/// # Errors
///
/// [`CommandError`]; only `OutcomeUnknown` may have been accepted.
pub async fn delete_server(
    context: &Context,
    caller: &Caller,
    command: DeleteServer,
) -> Result<Accepted, CommandError> {
    delete_in(context, &mut Direct(context), caller, command).await
}

/// Accepts a deletion through a store that may be a transaction of the host's own.
pub(crate) async fn delete_in(
    context: &Context,
    store: &mut dyn CommandStore,
    caller: &Caller,
    command: DeleteServer,
) -> Result<Accepted, CommandError> {
    let fingerprint = Fingerprint::of_delete(command.server);
    for _ in 0..RACES {
        if let Some(accepted) = replay(store, caller, &fingerprint).await? {
            return Ok(accepted);
        }
        let loaded = store.load(&caller.tenant, command.server).await?.ok_or(CommandError::NotFound)?;
        // A parked delete may have lost its job: a repeat is a new command, and takes it up again.
        let parked = loaded.server.state == ServerState::Parked;
        if let (Some(first), None, false) = (loaded.server.delete_operation, &caller.key, parked) {
            let operation = read(store, &caller.tenant, first).await?;
            return Ok(Accepted { operation, replayed: true });
        }
        if let Some(accepted) = commit_deletion(store, caller, &loaded, &Ids::fresh(context)).await? {
            return Ok(accepted);
        }
    }
    Err(crate::ports::StoreError::Conflict.into())
}

/// Commits a deletion and returns its operation; none if the record moved on in between.
pub(super) async fn commit_deletion(
    store: &mut dyn CommandStore,
    caller: &Caller,
    loaded: &Loaded,
    ids: &Ids,
) -> Result<Option<Accepted>, CommandError> {
    let first = match loaded.server.delete_operation {
        // An operation moves with its record alone: if this one has moved since, the guard refuses the commit.
        Some(first) => Some(read(store, &caller.tenant, first).await?),
        None => None,
    };
    let change = decide(caller, loaded, &Fingerprint::of_delete(loaded.server.id), ids)?;
    let Outcome::Written { at, .. } = write(store, &change).await? else {
        return Ok(None);
    };
    let replayed = first.is_some();
    let operation = first.or_else(|| added(change, at)).ok_or(CommandError::NotFound)?;
    Ok(Some(Accepted { operation, replayed }))
}

/// Names what one deletion makes.
pub(super) struct Ids {
    operation: OperationId,
    job: JobId,
    change: ChangeId,
}

impl Ids {
    pub(super) fn fresh(context: &Context) -> Self {
        Self {
            operation: OperationId::from_uuid(context.randomness.uuid_at(context.clock.now())),
            job: JobId::from_uuid(context.randomness.uuid_at(context.clock.now())),
            change: context.change_id(),
        }
    }
}

/// Turns a deletion into a change set, which adds an operation unless there is one already; pure.
fn decide(caller: &Caller, loaded: &Loaded, fingerprint: &Fingerprint, ids: &Ids) -> Result<ChangeSet, CommandError> {
    let before = &loaded.server;
    let mut server = before.clone();
    let first = server.delete_operation;
    let answer = first.unwrap_or(ids.operation);
    server.desired = Desired::Absent;
    server.delete_operation = Some(answer);
    if !server.state.is_final() {
        server.wake_at = Some(loaded.now);
    }
    let audit = AuditDraft {
        actor: caller.actor.clone(),
        verb: Verb::AcceptDelete,
        from: Some(before.state),
        to: server.state,
        operation: Some(answer),
        effect: None,
        outcome: OutcomeClass::None,
        code: None,
        attempt: server.attempt,
        provider_id: server.provider_ref.as_ref().map(|reference| reference.id.clone()),
        request_id: caller.request_id.clone(),
        correlation_id: None,
    };
    let mut change = ChangeSet::new(ids.change, server, Guard::Command { stamp: before.stamp }, audit);
    change.key = key_record(caller, fingerprint, answer, before.id);
    if first.is_none() {
        change.operations = operations(caller, before, ids.operation);
    }
    if !before.state.is_final() {
        let mut job = kinds::converge_job(ids.job, &caller.tenant, before.id)
            .map_err(|error| CommandError::Internal { source: Box::new(error) })?;
        job.request_id.clone_from(&caller.request_id);
        job.trace_parent.clone_from(&caller.trace_parent);
        change.job = Some(job);
    }
    Ok(change)
}

fn operations(caller: &Caller, before: &Server, id: OperationId) -> Vec<OperationChange> {
    let mut operation = Operation::pending(id, caller.tenant.clone(), before.id, OperationVerb::Delete);
    operation.request_id.clone_from(&caller.request_id);
    if before.state.is_final() {
        operation.status = OperationStatus::Succeeded;
        return vec![OperationChange::Insert(operation)];
    }
    let superseded =
        OperationChange::Status { id: before.create_operation, status: OperationStatus::Superseded, code: None };
    vec![OperationChange::Insert(operation), superseded]
}

/// Makes the change set of a deletion with fixed ids, for tables of decisions.
#[cfg(test)]
pub(crate) fn deletion_for_tests(caller: &Caller, loaded: &Loaded, id: uuid::Uuid) -> ChangeSet {
    let ids = Ids { operation: OperationId::from_uuid(id), job: JobId::from_uuid(id), change: ChangeId::from_uuid(id) };
    decide(caller, loaded, &Fingerprint::of_delete(loaded.server.id), &ids).unwrap()
}
