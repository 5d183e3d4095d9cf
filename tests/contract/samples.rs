//! Servers and change sets as the cases need them.

use serde_json::json;
use vip_core::model::{
    Actor, AuditDraft, ChangeId, ClaimId, IdempotencyKey, JobKey, NewJob, Operation, OperationId, OperationVerb,
    OutcomeClass, ProviderName, Server, ServerId, ServerState, TenantId, Verb,
};
use vip_core::model::{DisplayName, Fingerprint, ServerSpec};
use vip_core::ports::{ChangeSet, Committed, Guard, KeyRecord, Loaded, OperationChange, Store};

use crate::fixture::{Fixture, random};
use crate::job_queue_cases::job;

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn change_id() -> ChangeId {
    random(ChangeId::from_uuid)
}

/// Makes a record as accept would, in the form in which it is stored.
pub(crate) fn server(tenant: &TenantId) -> Server {
    let id = random(ServerId::from_uuid);
    let display = DisplayName::new("web-1").unwrap();
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu").location("fsn1").ssh_key("ops");
    let spec = spec.label("team", "a").user_data("#cloud-config secret").validate().unwrap();
    let candidates = spec.candidates(&[crate::fixture::account()]);
    serde_json::from_value(json!({
        "id": id, "tenant": tenant, "account": null, "desired": "present",
        "create_hash": vip_core::model::CreateHash::of(&spec, &candidates), "spec": spec, "candidates": candidates,
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

pub(crate) fn draft(to: ServerState) -> AuditDraft {
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

pub(crate) fn change(server: Server, guard: Guard) -> ChangeSet {
    let to = server.state;
    ChangeSet::new(change_id(), server, guard, draft(to))
}

pub(crate) fn operation(server: &Server) -> Operation {
    Operation::pending(server.create_operation, server.tenant.clone(), server.id, OperationVerb::Create)
}

pub(crate) fn key_of(server: &Server, key: &str) -> KeyRecord {
    KeyRecord {
        key: IdempotencyKey::new(key).unwrap(),
        fingerprint: Fingerprint::from_stored("1-print"),
        operation: server.create_operation,
        server: server.id,
    }
}

pub(crate) fn job_of(server: &Server) -> NewJob {
    let mut new = job(&format!("server:{}", server.id));
    new.key = JobKey::new(format!("server:{}", server.id)).unwrap();
    new
}

/// An order as accept commits it, without key and quota.
pub(crate) fn order(server: Server) -> ChangeSet {
    let mut order = change(server.clone(), Guard::New);
    order.operations.push(OperationChange::Insert(operation(&server)));
    order.job = Some(job_of(&server));
    order
}

/// Commits a new server of a tenant.
pub(crate) async fn accepted(fixture: &Fixture, owner: &str) -> Server {
    fixture.store().commit(&order(server(&tenant(owner)))).await.unwrap().server
}

pub(crate) async fn load(store: &dyn Store, server: &Server) -> Loaded {
    store.load(&server.tenant, server.id).await.unwrap().unwrap()
}

pub(crate) const fn takeover(stamp: ChangeId, claim: ClaimId, epoch: u64) -> Guard {
    Guard::Takeover { stamp, claim, epoch, lease: None }
}

pub(crate) const fn holder(stamp: ChangeId, claim: ClaimId) -> Guard {
    Guard::Holder { stamp, claim, lease: None }
}

/// Moves a record on, by an operator's commit.
pub(crate) async fn moved(fixture: &Fixture, mut server: Server, to: ServerState) -> Committed {
    server.state = to;
    let guard = Guard::Operator { stamp: server.stamp, claim: random(ClaimId::from_uuid) };
    fixture.store().commit(&change(server, guard)).await.unwrap()
}
