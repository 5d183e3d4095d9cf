//! Accepts that an order shall not be fulfilled any more: a deletion, as long as its server has not run.

use super::delete_server::{Ids, commit_deletion};
use super::{Accepted, Caller, CommandError, Direct, RACES, read};
use crate::model::{Desired, OperationId, OperationStatus, OperationVerb, Server, ServerState};
use crate::ports::CommandStore;
use crate::provisioning::context::Context;

/// Gives up an order.
#[derive(Debug, Clone, Copy)]
pub struct CancelCreate {
    /// Operation of the create.
    pub operation: OperationId,
}

/// Accepts a cancellation; answers the operation of the deletion, the same one each time.
///
/// A server that has run is never removed by it: that takes a deletion. Whether it has run is guarded by the commit.
///
/// # Errors
///
/// [`CommandError::NotCancellable`] if the operation is no create, or has ended; only `OutcomeUnknown` may have been
/// accepted.
pub async fn cancel_create(
    context: &Context,
    caller: &Caller,
    command: CancelCreate,
) -> Result<Accepted, CommandError> {
    let store = &mut Direct(context);
    for _ in 0..RACES {
        let operation = read(store, &caller.tenant, command.operation).await?;
        let loaded = store.load(&caller.tenant, operation.server).await?.ok_or(CommandError::NotFound)?;
        match (operation.verb, operation.status) {
            (OperationVerb::Create, OperationStatus::Superseded) => {
                let deletion = loaded.server.delete_operation.ok_or(CommandError::NotFound)?;
                return Ok(Accepted { operation: read(store, &caller.tenant, deletion).await?, replayed: true });
            }
            (OperationVerb::Create, OperationStatus::Pending | OperationStatus::Parked) => {}
            (OperationVerb::Delete, _)
            | (OperationVerb::Create, OperationStatus::Succeeded | OperationStatus::Failed) => {
                return Err(CommandError::NotCancellable);
            }
        }
        // The record is newer than the operation that was read: look again what became of the order.
        if !may_be_given_up(&loaded.server) {
            continue;
        }
        if let Some(accepted) = commit_deletion(store, caller, &loaded, &Ids::fresh(context)).await? {
            return Ok(accepted);
        }
    }
    Err(crate::ports::StoreError::Conflict.into())
}

/// Says whether the server of an order has neither run nor ended, and is still wanted.
fn may_be_given_up(server: &Server) -> bool {
    let state = if server.state == ServerState::Parked { server.parked_from } else { Some(server.state) };
    let has_run_or_ended =
        matches!(state, Some(ServerState::Running | ServerState::Lost | ServerState::Failed | ServerState::Deleted));
    server.desired == Desired::Present && !has_run_or_ended
}
