//! Accepts the order of a server: record, operation, job, key, quota and audit record in one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Accepted, Caller, CommandError, Direct, Outcome, RACES, added, key_record, read, replay, write};
use crate::model::{
    AccountId, Addresses, AuditDraft, ChangeId, CreateHash, Desired, Fingerprint, InstallationId, Invalid, JobId,
    Labels, OWNER_LABEL, Operation, OperationId, OperationVerb, OutcomeClass, PageLimit, PageRequest, ProviderName,
    SERVER_LABEL, SPEC_LABEL, Server, ServerId, ServerSpec, ServerState, Timestamp, ValidSpec, Verb, WaitReason,
};
use crate::ports::{ChangeSet, CommandStore, Guard, OperationChange, QuotaChange};
use crate::provisioning::context::Context;
use crate::provisioning::kinds;
use crate::seeded_bugs::{SeededBug, is_on};

/// Orders one server.
#[derive(Debug, Clone, Default)]
pub struct CreateServer {
    /// What is ordered, as sent.
    pub spec: ServerSpec,
    /// Accounts that the order names, as sent, in order of preference; none leaves the choice to the product.
    pub named: Option<Vec<AccountId>>,
    /// Accounts of the product, in the order in which an order that names none tries them.
    pub accounts: Vec<AccountId>,
    /// Most servers of the tenant; none is no limit.
    pub quota: Option<u32>,
    /// Ids of images that every tenant may order.
    pub image_ids: Arc<BTreeSet<String>>,
}

impl CreateServer {
    /// Checks what is sent against the rules for fields and what this product has.
    fn check(&self) -> Result<ValidSpec, Invalid> {
        let unknown = self.named.iter().flatten().find(|account| !self.accounts.contains(account));
        let unknown = unknown
            .map(|account| Invalid::one("account", account.as_str(), "must be one of the accounts of this product"));
        match (self.spec.validate_allowing(&self.image_ids), unknown) {
            (Ok(spec), None) => Ok(spec),
            (Ok(_), Some(invalid)) | (Err(invalid), None) => Err(invalid),
            (Err(mut invalid), Some(unknown)) => {
                invalid.errors.extend(unknown.errors);
                Err(invalid)
            }
        }
    }
}

/// Accepts an order; a repeat with the same key answers the first one's operation.
///
/// # Errors
///
/// [`CommandError`]; only `OutcomeUnknown` may have been accepted.
pub async fn create_server(
    context: &Context,
    caller: &Caller,
    command: &CreateServer,
) -> Result<Accepted, CommandError> {
    create_in(&mut Direct(context), caller, command, Names::Fresh(context)).await
}

/// Says where the ids of an order come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Names<'c> {
    /// From the context, others in each round.
    Fresh(&'c Context),
    /// They were given before: the same order in a second transaction is found to be the same.
    Given(&'c Ids),
}

/// Accepts an order through a store that may be a transaction of the host's own.
pub(crate) async fn create_in(
    store: &mut dyn CommandStore,
    caller: &Caller,
    command: &CreateServer,
    names: Names<'_>,
) -> Result<Accepted, CommandError> {
    let fingerprint = Fingerprint::of_create(&command.spec);
    for _ in 0..RACES {
        if let Some(accepted) = known(store, caller, command, &fingerprint).await? {
            return Ok(accepted);
        }
        let spec = command.check()?;
        let ids = match names {
            Names::Fresh(context) => Ids::fresh(context),
            Names::Given(ids) => *ids,
        };
        let mut change = decide(caller, command, &spec, &fingerprint, &ids)?;
        if let (true, Names::Fresh(context)) = (is_on(SeededBug::QuotaOutsideCommit), names) {
            count_before(context, caller, command).await?;
            change.quota = Some(QuotaChange::Take { limit: None });
        }
        match write(store, &change).await? {
            Outcome::Written { replayed, at } => {
                // With fresh ids it is a repeat of this very call, whose first answer was lost.
                let replayed = replayed && matches!(names, Names::Given(_));
                let written = if replayed { None } else { added(change, at) };
                let operation = match written {
                    Some(written) => written,
                    // An earlier transaction has accepted it, and here nothing is committed yet.
                    None => read(store, &caller.tenant, ids.operation).await?,
                };
                return Ok(Accepted { operation, replayed });
            }
            Outcome::Again => {}
        }
    }
    Err(crate::ports::StoreError::Conflict.into())
}

/// Refuses an order that would be refused as invalid, before a transaction is begun for it.
///
/// An order whose key is known is answered by its key, whatever the rules for fields and the accounts are by now.
pub(crate) async fn check_create(
    context: &Context,
    caller: &Caller,
    command: &CreateServer,
) -> Result<(), CommandError> {
    let Err(invalid) = command.check() else { return Ok(()) };
    let fingerprint = Fingerprint::of_create(&command.spec);
    let known = known(&mut Direct(context), caller, command, &fingerprint).await?;
    known.map(drop).ok_or_else(|| invalid.into())
}

/// Answers an order whose key is known. One that may use an account which the repeat does not name is another order: the
/// fingerprint is that of what was sent but for the accounts.
async fn known(
    store: &mut dyn CommandStore,
    caller: &Caller,
    command: &CreateServer,
    fingerprint: &Fingerprint,
) -> Result<Option<Accepted>, CommandError> {
    let Some(accepted) = replay(store, caller, fingerprint).await? else { return Ok(None) };
    let Some(named) = &command.named else { return Ok(Some(accepted)) };
    // Of a record that retention took nothing is known any more.
    let loaded = store.load(&caller.tenant, accepted.operation.server).await?;
    let mut candidates = loaded.iter().flat_map(|loaded| &loaded.server.candidates);
    if candidates.all(|candidate| named.contains(&candidate.account)) {
        Ok(Some(accepted))
    } else {
        Err(CommandError::IdempotencyConflict)
    }
}

/// Counts what a tenant holds before the commit; only a seeded bug does so.
async fn count_before(context: &Context, caller: &Caller, command: &CreateServer) -> Result<(), CommandError> {
    let held = context.store.servers(&caller.tenant, &PageRequest::first(PageLimit::most())).await?;
    // The commit comes later: another order may be between.
    tokio::task::yield_now().await;
    let held = held.items.iter().filter(|server| server.quota_held).count();
    match command.quota {
        Some(limit) if u32::try_from(held).unwrap_or(u32::MAX) >= limit => {
            Err(crate::ports::StoreError::QuotaExceeded { limit }.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Names what one order makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    server: ServerId,
    operation: OperationId,
    job: JobId,
    change: ChangeId,
}

impl Ids {
    pub(crate) fn fresh(context: &Context) -> Self {
        Self {
            server: context.server_id(),
            operation: OperationId::from_uuid(context.randomness.uuid_at(context.clock.now())),
            job: JobId::from_uuid(context.randomness.uuid_at(context.clock.now())),
            change: context.change_id(),
        }
    }
}

/// Turns an order into a change set; pure.
fn decide(
    caller: &Caller,
    command: &CreateServer,
    spec: &ValidSpec,
    fingerprint: &Fingerprint,
    ids: &Ids,
) -> Result<ChangeSet, Invalid> {
    let server = requested(caller, command, spec, ids)?;
    let mut operation = Operation::pending(ids.operation, caller.tenant.clone(), ids.server, OperationVerb::Create);
    operation.request_id.clone_from(&caller.request_id);
    let audit = AuditDraft {
        actor: caller.actor.clone(),
        verb: Verb::AcceptCreate,
        from: None,
        to: ServerState::Requested,
        operation: Some(ids.operation),
        effect: None,
        outcome: OutcomeClass::None,
        code: None,
        attempt: 0,
        provider_id: None,
        request_id: caller.request_id.clone(),
        correlation_id: None,
    };
    let mut job = kinds::converge_job(ids.job, &caller.tenant, ids.server)
        .map_err(|error| Invalid::one("tenant", caller.tenant.as_str(), error.rule))?;
    job.request_id.clone_from(&caller.request_id);
    job.trace_parent.clone_from(&caller.trace_parent);
    let mut change = ChangeSet::new(ids.change, server, Guard::New, audit);
    change.operations.push(OperationChange::Insert(operation));
    change.job = Some(job);
    change.key = key_record(caller, fingerprint, ids.operation, ids.server);
    change.quota = Some(QuotaChange::Take { limit: command.quota });
    Ok(change)
}

fn requested(caller: &Caller, command: &CreateServer, spec: &ValidSpec, ids: &Ids) -> Result<Server, Invalid> {
    let candidates = spec.candidates(command.named.as_ref().unwrap_or(&command.accounts));
    if candidates.is_empty() {
        return Err(Invalid::one("account", "", "must name at least one account"));
    }
    let unset = Timestamp::from_micros(0);
    Ok(Server {
        id: ids.server,
        tenant: caller.tenant.clone(),
        account: None,
        desired: Desired::Present,
        provider_name: ProviderName::derive(&spec.display_name, &ids.server),
        create_hash: CreateHash::of(spec, &candidates),
        spec: spec.clone(),
        candidates,
        create_operation: ids.operation,
        delete_operation: None,
        state: ServerState::Requested,
        provider_ref: None,
        removing: None,
        actions: Vec::new(),
        addresses: Addresses::default(),
        server_type: None,
        location: None,
        waiting_since: None,
        last_answer: None,
        intent: None,
        unsettled: None,
        land: BTreeMap::new(),
        cursor: 0,
        shortages: BTreeMap::new(),
        attempt: 0,
        backoff: 0,
        not_before: None,
        exhausted_since: None,
        exhausted_at: None,
        sold_out: false,
        busy: 0,
        wait_reason: Some(WaitReason::Queued),
        wake_at: None,
        fail_reason: None,
        park_reason: None,
        parked_from: None,
        version: 0,
        stamp: ids.change,
        holder: None,
        holder_epoch: 0,
        quota_held: true,
        created_at: unset,
        gone_at: None,
    })
}

/// Returns the labels that a server is created with: the orderer's and the three by which we know it as ours.
#[must_use]
pub fn provider_labels(server: &Server, installation: InstallationId) -> Labels {
    let mut labels = server.spec.labels.clone();
    labels.insert(OWNER_LABEL.to_owned(), installation.to_string());
    labels.insert(SERVER_LABEL.to_owned(), server.id.to_string());
    labels.insert(SPEC_LABEL.to_owned(), server.create_hash.to_string());
    labels
}

/// Makes the change set of an order with fixed ids, for tables of decisions.
#[cfg(test)]
pub(crate) fn change_for_tests(caller: &Caller, command: &CreateServer, id: uuid::Uuid) -> ChangeSet {
    let ids = Ids {
        server: ServerId::from_uuid(id),
        operation: OperationId::from_uuid(id),
        job: JobId::from_uuid(id),
        change: ChangeId::from_uuid(id),
    };
    let spec = command.check().unwrap();
    decide(caller, command, &spec, &Fingerprint::of_create(&command.spec), &ids).unwrap()
}
