//! The contract of `Store`, first part: commits, guards, keys and quotas.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use crate::model::{ClaimId, Effect, Intent, IntentId, OperationStatus, Server, ServerState, WaitReason};
use crate::ports::{
    ChangeSet, Enqueued, Guard, LeaseRef, Note, OperationChange, QuotaChange, Store, StoreError, Verdict,
};

use super::fixture::{BackendFixture, account, claim_id, random, seconds};
use super::job_queue::{claim, enqueue, settle};
use super::samples::{
    accepted, change, holder, job_of, key_of, load, moved, operation, order, server, takeover, tenant,
};

async fn refused(store: &dyn Store, change: &ChangeSet) {
    let before = store.load(&change.server.tenant, change.server.id).await.unwrap().map(|loaded| loaded.server);
    let answer = store.commit(change).await;
    assert!(matches!(answer, Err(StoreError::Conflict)), "{:?}: {answer:?}", change.guard);
    let after = store.load(&change.server.tenant, change.server.id).await.unwrap().map(|loaded| loaded.server);
    assert_eq!(before, after);
}

pub async fn a_commit_is_all_or_nothing(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let first = server(&tenant("acme"));
    let mut whole = order(first.clone());
    whole.key = Some(key_of(&first, "order-1"));
    whole.quota = Some(QuotaChange::Take { limit: Some(1) });
    let committed = store.commit(&whole).await.unwrap();
    assert_eq!((committed.at, committed.replayed), (fixture.now().await, false));
    assert_eq!(load(store, &first).await.server, committed.server);
    assert_eq!(committed.server.created_at, fixture.now().await);
    let operations = store.operation(&first.tenant, first.create_operation).await.unwrap().unwrap();
    assert_eq!((operations.status, operations.created_at), (OperationStatus::Pending, fixture.now().await));
    assert!(store.key(&first.tenant, &key_of(&first, "order-1").key).await.unwrap().is_some());
    assert!(fixture.queue().find(&job_of(&first).key).await.unwrap().is_some());
    assert_eq!(store.stats().await.unwrap().unsealed, 1);

    // The last check refuses: nothing of what came before it stays.
    let second = server(&tenant("acme"));
    let mut refused = order(second.clone());
    refused.key = Some(key_of(&second, "order-2"));
    refused.quota = Some(QuotaChange::Take { limit: Some(1) });
    assert!(matches!(store.commit(&refused).await, Err(StoreError::QuotaExceeded { limit: 1 })));
    assert!(store.load(&second.tenant, second.id).await.unwrap().is_none());
    assert!(store.operation(&second.tenant, second.create_operation).await.unwrap().is_none());
    assert!(store.key(&second.tenant, &key_of(&second, "order-2").key).await.unwrap().is_none());
    assert!(fixture.queue().find(&job_of(&second).key).await.unwrap().is_none());
    assert_eq!(store.stats().await.unwrap().unsealed, 1);
}

pub async fn an_id_is_inserted_once(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let first = accepted(fixture, "acme").await;
    let mut same_id = server(&first.tenant);
    same_id.id = first.id;
    refused(store, &order(same_id)).await;
    let mut same_name = server(&tenant("other"));
    same_name.provider_name = first.provider_name.clone();
    refused(store, &order(same_name)).await;
}

pub async fn takeover_needs_stamp_and_higher_epoch(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let claim = claim_id();
    refused(store, &change(record.clone(), takeover(random(crate::model::ChangeId::from_uuid), claim, 5))).await;
    let taken = store.commit(&change(record.clone(), takeover(record.stamp, claim, 5))).await.unwrap().server;
    assert_eq!((taken.holder, taken.holder_epoch), (Some(claim), 5));
    for (epoch, admitted) in [(4, false), (5, false), (6, true)] {
        let next = change(taken.clone(), takeover(taken.stamp, claim_id(), epoch));
        if admitted {
            assert_eq!(store.commit(&next).await.unwrap().server.holder_epoch, epoch);
        } else {
            refused(store, &next).await;
        }
    }
}

pub async fn only_the_holder_writes(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let claim = claim_id();
    let taken = store.commit(&change(record.clone(), takeover(record.stamp, claim, 1))).await.unwrap().server;
    refused(store, &change(taken.clone(), holder(taken.stamp, claim_id()))).await;
    refused(store, &change(taken.clone(), holder(record.stamp, claim))).await;
    let mut next = taken.clone();
    next.intent = Some(Intent {
        id: random(IntentId::from_uuid),
        effect: Effect::Create { candidate: 0 },
        account: account(),
        attempt: 1,
        claim,
        announced_at: None,
        request_deadline: seconds(30),
    });
    let written = store.commit(&change(next, holder(taken.stamp, claim))).await.unwrap().server;
    assert_eq!((written.holder, written.holder_epoch), (Some(claim), 1));
    assert_eq!(written.intent.unwrap().announced_at, Some(fixture.now().await), "the store sets the time");
}

pub async fn a_lost_lease_cannot_commit(fixture: &dyn BackendFixture) {
    let (store, queue) = (fixture.store(), fixture.queue());
    let record = accepted(fixture, "acme").await;
    let lease = claim(queue, 1).await.pop().unwrap().lease.reference;
    let LeaseRef { job, epoch, claim: id } = lease;
    let guarded = |record: &Server, lease| {
        let guard = Guard::Takeover { stamp: record.stamp, claim: id, epoch, lease: Some(lease) };
        change(record.clone(), guard)
    };
    for lost in [
        LeaseRef { job: random(crate::model::JobId::from_uuid), epoch, claim: id },
        LeaseRef { job, epoch: epoch - 1, claim: id },
        LeaseRef { job, epoch, claim: claim_id() },
    ] {
        refused(store, &guarded(&record, lost)).await;
    }
    let taken = store.commit(&guarded(&record, lease)).await.unwrap().server;
    let held = Guard::Holder { stamp: taken.stamp, claim: id, lease: Some(lease) };
    let note = Note { tenant: taken.tenant.clone(), guard: held.clone(), server: taken.clone() };
    store.note(&note).await.unwrap();
    settle(queue, lease, Verdict::Release).await;
    refused(store, &change(taken.clone(), held)).await;
    assert!(matches!(store.note(&note).await, Err(StoreError::Conflict)));
    let guard = Guard::Takeover { stamp: taken.stamp, claim: id, epoch: epoch + 1, lease: Some(lease) };
    let note = Note { tenant: taken.tenant.clone(), guard, server: taken };
    assert!(matches!(store.note(&note).await, Err(StoreError::Conflict)));
}

pub async fn a_command_keeps_the_holder(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let claim = claim_id();
    // The worker takes over by a note after the command has read the record: the stamp stays, the holder does not.
    let guard = takeover(record.stamp, claim, 9);
    store.note(&Note { tenant: record.tenant.clone(), guard, server: record.clone() }).await.unwrap();
    refused(store, &change(record.clone(), Guard::Command { stamp: random(crate::model::ChangeId::from_uuid) })).await;
    let mut wish = record.clone();
    wish.desired = crate::model::Desired::Absent;
    let written = store.commit(&change(wish, Guard::Command { stamp: record.stamp })).await.unwrap().server;
    assert_eq!((written.holder, written.holder_epoch), (Some(claim), 9));
    assert_eq!(load(store, &record).await.server, written);
    refused(store, &change(record.clone(), holder(record.stamp, claim))).await;
}

pub async fn an_operator_takes_over(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let worker = claim_id();
    let taken = store.commit(&change(record.clone(), takeover(record.stamp, worker, 7))).await.unwrap().server;
    let operator = random(ClaimId::from_uuid);
    refused(store, &change(taken.clone(), Guard::Operator { stamp: record.stamp, claim: operator })).await;
    let guard = Guard::Operator { stamp: taken.stamp, claim: operator };
    let written = store.commit(&change(taken, guard)).await.unwrap().server;
    assert_eq!((written.holder, written.holder_epoch), (Some(operator), 8));
    refused(store, &change(written.clone(), holder(written.stamp, worker))).await;
}

pub async fn a_repeated_commit_is_replayed(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = server(&tenant("acme"));
    let mut whole = order(record.clone());
    whole.key = Some(key_of(&record, "order-1"));
    whole.quota = Some(QuotaChange::Take { limit: Some(1) });
    let first = store.commit(&whole).await.unwrap();
    fixture.advance(seconds(5)).await;
    let again = store.commit(&whole).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.server, first.server);
    assert_eq!(store.stats().await.unwrap().unsealed, 1);
    // Also after others have written: the answer is the record as it is now.
    let later = moved(fixture, first.server, ServerState::Failing).await.server;
    assert_eq!(store.commit(&whole).await.unwrap().server, later);
}

pub async fn a_key_is_taken_once(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let first = server(&tenant("acme"));
    let with_key = |record: &Server| {
        let mut whole = order(record.clone());
        whole.key = Some(key_of(record, "order-1"));
        whole
    };
    drop(store.commit(&with_key(&first)).await.unwrap());
    let second = server(&tenant("acme"));
    assert!(matches!(store.commit(&with_key(&second)).await, Err(StoreError::KeyTaken)));
    assert!(store.load(&second.tenant, second.id).await.unwrap().is_none());
    assert_eq!(
        store.key(&first.tenant, &key_of(&first, "order-1").key).await.unwrap(),
        Some(key_of(&first, "order-1"))
    );
    drop(store.commit(&with_key(&server(&tenant("other")))).await.unwrap());
}

pub async fn a_quota_is_never_exceeded(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let take = |limit| {
        let mut whole = order(server(&tenant("acme")));
        whole.quota = Some(QuotaChange::Take { limit });
        whole
    };
    assert!(matches!(store.commit(&take(Some(0))).await, Err(StoreError::QuotaExceeded { limit: 0 })));
    let first = store.commit(&take(Some(2))).await.unwrap().server;
    drop(store.commit(&take(Some(2))).await.unwrap());
    assert!(matches!(store.commit(&take(Some(2))).await, Err(StoreError::QuotaExceeded { limit: 2 })));
    let mut release = change(first.clone(), Guard::Command { stamp: first.stamp });
    release.quota = Some(QuotaChange::Release);
    drop(store.commit(&release).await.unwrap());
    drop(store.commit(&release).await.unwrap());
    drop(store.commit(&take(Some(2))).await.unwrap());
    assert!(matches!(store.commit(&take(Some(2))).await, Err(StoreError::QuotaExceeded { limit: 2 })));
    drop(store.commit(&take(None)).await.unwrap());
    assert!(matches!(store.commit(&take(Some(3))).await, Err(StoreError::QuotaExceeded { limit: 3 })));
}

pub async fn a_committed_job_is_claimable(fixture: &dyn BackendFixture) {
    let (store, queue) = (fixture.store(), fixture.queue());
    let record = accepted(fixture, "acme").await;
    assert_eq!(enqueue(queue, job_of(&record)).await, Enqueued::Merged);
    let claimed = claim(queue, 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].job.key, job_of(&record).key);
    // By the rules of the queue: while it is leased, it is marked to run again.
    let mut next = change(record.clone(), Guard::Command { stamp: record.stamp });
    next.job = Some(job_of(&record));
    drop(store.commit(&next).await.unwrap());
    settle(queue, claimed[0].lease.reference, Verdict::Done).await;
    assert_eq!(claim(queue, 10).await.len(), 1);
}

pub async fn a_note_makes_no_version(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let claim = claim_id();
    let mut noted = record.clone();
    noted.wait_reason = Some(WaitReason::NoStock);
    noted.wake_at = Some(fixture.now().await.plus(seconds(60)));
    let note = |guard| Note { tenant: record.tenant.clone(), guard, server: noted.clone() };
    assert!(matches!(store.note(&note(holder(record.stamp, claim))).await, Err(StoreError::Conflict)));
    store.note(&note(takeover(record.stamp, claim, 3))).await.unwrap();
    store.note(&note(holder(record.stamp, claim))).await.unwrap();
    assert!(matches!(store.note(&note(takeover(record.stamp, claim_id(), 3))).await, Err(StoreError::Conflict)));
    let stale = random(crate::model::ChangeId::from_uuid);
    for guard in [holder(stale, claim), takeover(stale, claim, 9)] {
        assert!(matches!(store.note(&note(guard)).await, Err(StoreError::Conflict)));
    }
    let stored = load(store, &record).await.server;
    assert_eq!((stored.version, stored.stamp), (record.version, record.stamp));
    assert_eq!((stored.holder, stored.holder_epoch), (Some(claim), 3));
    assert_eq!((stored.wait_reason, stored.wake_at), (noted.wait_reason, noted.wake_at));
    assert_eq!(store.stats().await.unwrap().unsealed, 1);
}

pub async fn a_final_operation_stays(fixture: &dyn BackendFixture) {
    let store = fixture.store();
    let record = accepted(fixture, "acme").await;
    let move_to = |record: &Server, status, code: Option<&str>| {
        let mut next = change(record.clone(), Guard::Command { stamp: record.stamp });
        next.operations.push(OperationChange::Status {
            id: operation(record).id,
            status,
            code: code.map(str::to_owned),
        });
        next
    };
    fixture.advance(seconds(1)).await;
    let next = move_to(&record, OperationStatus::Parked, Some("ambiguous"));
    let record = store.commit(&next).await.unwrap().server;
    let parked = store.operation(&record.tenant, record.create_operation).await.unwrap().unwrap();
    assert_eq!((parked.status, parked.code.as_deref()), (OperationStatus::Parked, Some("ambiguous")));
    assert_eq!(parked.updated_at, fixture.now().await);
    let record = store.commit(&move_to(&record, OperationStatus::Succeeded, None)).await.unwrap().server;
    let ended = store.operation(&record.tenant, record.create_operation).await.unwrap();
    let record = store.commit(&move_to(&record, OperationStatus::Failed, Some("late"))).await.unwrap().server;
    assert_eq!(store.operation(&record.tenant, record.create_operation).await.unwrap(), ended);
}
