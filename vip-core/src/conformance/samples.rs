//! Servers and change sets as the cases need them.

use crate::model::{
    Actor, AuditDraft, ChangeId, ClaimId, IdempotencyKey, JobKey, NewJob, Operation, OperationId, OperationVerb,
    OutcomeClass, ProviderName, Server, ServerId, ServerState, TenantId, Verb,
};
use crate::model::{DisplayName, Fingerprint, ServerSpec};
use crate::ports::{ChangeSet, Committed, Guard, KeyRecord, Loaded, OperationChange, Store};
use serde_json::json;

use super::fixture::{BackendFixture, random};
use super::job_queue::job;

/// Makes a tenant's id.
#[must_use]
pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Makes a random id of a change.
#[must_use]
pub fn change_id() -> ChangeId {
    random(ChangeId::from_uuid)
}

/// Makes a record as accept would, in the form in which it is stored.
#[must_use]
pub fn server(tenant: &TenantId) -> Server {
    let id = random(ServerId::from_uuid);
    let display = DisplayName::new("web-1").unwrap();
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu").location("fsn1").ssh_key("ops");
    // With what would be an escape that no database takes for text, were it not text itself.
    let user_data = r"#cloud-config secret PS1=\u@\h \ud83d \u0000";
    let spec = spec.label("team", "a").user_data(user_data).validate().unwrap();
    let candidates = spec.candidates(&[super::fixture::account()]);
    serde_json::from_value(json!({
        "id": id, "tenant": tenant, "account": null, "desired": "present",
        "create_hash": crate::model::CreateHash::of(&spec, &candidates), "spec": spec, "candidates": candidates,
        "provider_name": ProviderName::derive(&display, &id),
        "create_operation": random(OperationId::from_uuid), "delete_operation": null, "state": "requested",
        "provider_ref": null, "removing": null, "actions": [], "addresses": {"ipv4": null, "ipv6": null},
        "waiting_since": null, "last_answer": null, "intent": null, "unsettled": null, "land": {}, "cursor": 0,
        "attempt": 0, "backoff": 0, "not_before": null, "exhausted_since": null, "wait_reason": null,
        "wake_at": null, "fail_reason": null, "park_reason": null, "parked_from": null, "version": 0,
        "stamp": change_id(), "holder": null, "holder_epoch": 0, "quota_held": true, "created_at": 0, "gone_at": null,
    }))
    .unwrap()
}

/// Makes the audit draft of a move.
pub fn draft(to: ServerState) -> AuditDraft {
    AuditDraft {
        actor: Actor::principal("tester").unwrap(),
        verb: Verb::Move,
        from: None,
        to,
        operation: None,
        effect: None,
        outcome: OutcomeClass::None,
        code: None,
        attempt: 0,
        provider_id: None,
        request_id: None,
        correlation_id: None,
    }
}

/// Makes a change set that writes a record.
pub fn change(server: Server, guard: Guard) -> ChangeSet {
    let to = server.state;
    ChangeSet::new(change_id(), server, guard, draft(to))
}

/// Makes the operation of an order.
#[must_use]
pub fn operation(server: &Server) -> Operation {
    Operation::pending(server.create_operation, server.tenant.clone(), server.id, OperationVerb::Create)
}

/// Makes the idempotency key of an order.
#[must_use]
pub fn key_of(server: &Server, key: &str) -> KeyRecord {
    KeyRecord {
        key: IdempotencyKey::new(key).unwrap(),
        fingerprint: Fingerprint::from_stored("1-print"),
        operation: server.create_operation,
        server: server.id,
    }
}

/// Makes the job of a record.
#[must_use]
pub fn job_of(server: &Server) -> NewJob {
    let mut new = job(&format!("server:{}", server.id));
    new.key = JobKey::new(format!("server:{}", server.id)).unwrap();
    new
}

/// Makes an order as accept commits it, without key and quota.
pub fn order(server: Server) -> ChangeSet {
    let mut order = change(server.clone(), Guard::New);
    order.operations.push(OperationChange::Insert(operation(&server)));
    order.job = Some(job_of(&server));
    order
}

/// Commits a new server of a tenant.
pub async fn accepted(fixture: &dyn BackendFixture, owner: &str) -> Server {
    fixture.store().commit(&order(server(&tenant(owner)))).await.unwrap().server
}

/// Loads a record that is there.
pub async fn load(store: &dyn Store, server: &Server) -> Loaded {
    store.load(&server.tenant, server.id).await.unwrap().unwrap()
}

/// Guards the first write of a claim, without a lease.
#[must_use]
pub const fn takeover(stamp: ChangeId, claim: ClaimId, epoch: u64) -> Guard {
    Guard::Takeover { stamp, claim, epoch, lease: None }
}

/// Guards a later write of a claim, without a lease.
#[must_use]
pub const fn holder(stamp: ChangeId, claim: ClaimId) -> Guard {
    Guard::Holder { stamp, claim, lease: None }
}

/// Moves a record on, by an operator's commit.
pub async fn moved(fixture: &dyn BackendFixture, mut server: Server, to: ServerState) -> Committed {
    server.state = to;
    let guard = Guard::Operator { stamp: server.stamp, claim: random(ClaimId::from_uuid) };
    fixture.store().commit(&change(server, guard)).await.unwrap()
}
