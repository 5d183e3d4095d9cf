//! Writers that hold no job: they park and resume records, fenced like converge itself (`docs/protocol.md` §5).

use std::collections::BTreeMap;

use super::moves;
use super::step::{Change, View};
use super::told;
use crate::model::{
    Actor, AuditDraft, ClaimId, JobId, NameError, PageLimit, PageRequest, ParkReason, Server, ServerId, ServerState,
    TenantId,
};
use crate::ports::{ChangeSet, Guard, Loaded, StoreError};
use crate::provisioning::context::Context;
use crate::provisioning::kinds;

/// Tenants that are read at once.
const TENANTS: u32 = 100;
/// How often a record that changes meanwhile is read again.
const TRIES: u32 = 8;

/// Says what a restored store was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Records that were not converged and wait for an operator now.
    pub parked: u64,
    /// Records that rest as they are.
    pub untouched: u64,
    /// Records that cannot be read; the log names each. They are not parked, and no worker can act on them.
    pub unreadable: u64,
}

/// Says why an operator's command was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// There is no such server.
    #[error("there is no such server")]
    NotFound,
    /// The server is not parked, so nothing has to be resumed.
    #[error("the server is not parked")]
    NotParked,
    /// The store cannot be used; what was done stays done, repeat it.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// A name of our own is not valid; a bug.
    #[error("a name is not valid")]
    Name(#[from] NameError),
}

/// Says whether a dead job leaves something undone that nobody else takes up: a wish, or the check of what a record is
/// parked for.
pub(in crate::provisioning) fn waits_for_its_job(server: &Server) -> bool {
    let waits_for_a_person = matches!(server.park_reason, Some(ParkReason::Restored | ParkReason::HandlerFailed));
    !server.is_converged() || (server.state == ServerState::Parked && !waits_for_a_person)
}

/// Parks the server of a dead job.
pub(in crate::provisioning) async fn park_dead(
    context: &Context,
    loaded: Loaded,
    code: &str,
) -> Result<(), StoreError> {
    let claim = ClaimId::from_uuid(context.randomness.uuid());
    let change = with_view(context, &loaded, |view| moves::park_for_good(view, ParkReason::HandlerFailed));
    let code = format!("{}:{code}", ParkReason::HandlerFailed);
    let set = change_set(context, &loaded, change, claim, Actor::Worker { claim }, code);
    drop(context.commit(&set).await?);
    told::tell(&loaded.server, &set);
    Ok(())
}

/// Parks every record that is not converged: a restored store does not know what happened since its backup.
///
/// To be called before workers start. A record that is parked for another reason is taken over too; one that cannot be read is
/// counted, and keeps none from being parked.
///
/// # Errors
///
/// [`OperateError`]; repeating it goes on where it ended.
pub async fn mark_restored(context: &Context, actor: &Actor) -> Result<Restored, OperateError> {
    let mut restored = Restored::default();
    let mut after = None;
    loop {
        let tenants = context.store.tenants(after.take(), TENANTS).await?;
        let Some(last) = tenants.last().cloned() else { return Ok(restored) };
        for tenant in &tenants {
            mark_tenant(context, actor, tenant, &mut restored).await?;
        }
        after = Some(last);
    }
}

async fn mark_tenant(
    context: &Context,
    actor: &Actor,
    tenant: &TenantId,
    restored: &mut Restored,
) -> Result<(), OperateError> {
    let mut request = PageRequest::first(PageLimit::most());
    loop {
        let page = context.store.servers(tenant, &request).await?;
        restored.unreadable += page.unreadable;
        for server in page.items {
            if is_settled(&server) {
                restored.untouched += 1;
                continue;
            }
            let park = |loaded: &Loaded| (!is_settled(&loaded.server)).then_some(Parking::Begin(ParkReason::Restored));
            if change_parking(context, actor, tenant, server.id, park).await? {
                restored.parked += 1;
            } else {
                restored.untouched += 1;
            }
        }
        match page.next {
            Some(last) => request = PageRequest::after(last, PageLimit::most()),
            None => return Ok(()),
        }
    }
}

/// Says whether nothing happens to a record by itself.
fn is_settled(server: &Server) -> bool {
    match server.state {
        // A wish that came after an earlier mark has ended that wait.
        ServerState::Parked => server.park_reason == Some(ParkReason::Restored) && server.is_converged(),
        ServerState::Failed
        | ServerState::Deleted
        | ServerState::Running
        | ServerState::Lost
        | ServerState::Requested
        | ServerState::Creating
        | ServerState::Confirming
        | ServerState::Failing
        | ServerState::Deleting => server.is_converged(),
    }
}

/// Lets a parked server go on where it was, whatever it is parked for; what it waits for is asked again.
///
/// # Errors
///
/// [`OperateError`]; repeating it is harmless.
pub async fn resume(context: &Context, actor: &Actor, tenant: &TenantId, server: ServerId) -> Result<(), OperateError> {
    let end = |loaded: &Loaded| (loaded.server.state == ServerState::Parked).then_some(Parking::End);
    let resumed = change_parking(context, actor, tenant, server, end).await?;
    if resumed { Ok(()) } else { Err(OperateError::NotParked) }
}

/// Says what is done to a record.
#[derive(Debug, Clone, Copy)]
enum Parking {
    Begin(ParkReason),
    End,
}

/// Parks or resumes a record as it is decided from its present state; says whether anything was to change.
async fn change_parking(
    context: &Context,
    actor: &Actor,
    tenant: &TenantId,
    server: ServerId,
    decide: impl Fn(&Loaded) -> Option<Parking>,
) -> Result<bool, OperateError> {
    let mut tries = TRIES;
    loop {
        let loaded = context.store.load(tenant, server).await?.ok_or(OperateError::NotFound)?;
        let Some(parking) = decide(&loaded) else { return Ok(false) };
        let claim = ClaimId::from_uuid(context.randomness.uuid());
        let change = with_view(context, &loaded, |view| match parking {
            Parking::Begin(reason) => moves::park_for_good(view, reason),
            Parking::End => moves::resume(view),
        });
        let code = match parking {
            Parking::Begin(reason) => reason.as_str().to_owned(),
            Parking::End => "resumed".to_owned(),
        };
        let mut set = change_set(context, &loaded, change, claim, actor.clone(), code);
        if matches!(parking, Parking::End) {
            set.server.wake_at = Some(loaded.now);
            let id = JobId::from_uuid(context.randomness.uuid_at(context.clock.now()));
            set.job = Some(kinds::converge_job(id, tenant, server)?);
        }
        match context.commit(&set).await {
            Ok(_committed) => return Ok(true),
            Err(StoreError::Conflict) if tries > 1 => tries -= 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn with_view(context: &Context, loaded: &Loaded, decide: impl FnOnce(&View<'_>) -> Change) -> Change {
    decide(&View {
        server: &loaded.server,
        sightings: &loaded.sightings,
        gates: &BTreeMap::new(),
        now: loaded.now,
        timing: &context.timing,
        installation: context.installation,
        jitter: 0.0,
        usual_create: None,
    })
}

/// Makes the commit of a writer without a job: it takes over with a fresh claim.
fn change_set(
    context: &Context,
    loaded: &Loaded,
    change: Change,
    claim: ClaimId,
    actor: Actor,
    code: String,
) -> ChangeSet {
    let mut server = change.server;
    server.wake_at = None;
    let audit = AuditDraft {
        actor,
        verb: change.verb,
        from: Some(loaded.server.state),
        to: server.state,
        operation: Some(server.delete_operation.unwrap_or(server.create_operation)),
        effect: None,
        outcome: change.outcome,
        code: Some(code),
        attempt: server.attempt,
        provider_id: None,
        request_id: None,
        correlation_id: None,
    };
    let guard = Guard::Operator { stamp: loaded.server.stamp, claim };
    let mut set = ChangeSet::new(context.change_id(), server, guard, audit);
    set.operations = change.operations;
    set
}
