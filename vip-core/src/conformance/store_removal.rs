//! The contract of `Store` about removals that last.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use crate::model::{
    Desired, Operation, OperationId, OperationStatus, OperationVerb, ProviderServerId, Removal, Server, ServerState,
};
use crate::ports::{Guard, OperationChange};

use super::fixture::{BackendFixture, account, random, seconds};
use super::samples::{accepted, change};

/// Reads for how many seconds the oldest removal has lasted.
async fn lasts(fixture: &dyn BackendFixture) -> Option<u64> {
    fixture.store().stats().await.unwrap().oldest_removal.map(|age| age.as_secs())
}

async fn written(fixture: &dyn BackendFixture, record: Server, operation: Option<OperationChange>) -> Server {
    let guard = Guard::Command { stamp: record.stamp };
    let mut written = change(record, guard);
    written.operations.extend(operation);
    fixture.store().commit(&written).await.unwrap().server
}

async fn wished_away(fixture: &dyn BackendFixture) -> (Server, OperationId) {
    let mut record = accepted(fixture, "acme").await;
    let id = random(OperationId::from_uuid);
    (record.desired, record.delete_operation) = (Desired::Absent, Some(id));
    let asked = Operation::pending(id, record.tenant.clone(), record.id, OperationVerb::Delete);
    (written(fixture, record, Some(OperationChange::Insert(asked))).await, id)
}

pub async fn a_deletion_lasts_for_as_long_as_it_is_pending(fixture: &dyn BackendFixture) {
    accepted(fixture, "acme").await;
    assert_eq!(lasts(fixture).await, None, "nothing is to be removed");
    let (mut record, id) = wished_away(fixture).await;
    // The state of the record, the new status of its operation, and for how long the removal has lasted a second later.
    let steps = [
        (ServerState::Requested, None, Some(1)),
        (ServerState::Deleting, None, Some(2)),
        (ServerState::Parked, Some(OperationStatus::Parked), None),
        (ServerState::Deleting, Some(OperationStatus::Pending), Some(1)),
        (ServerState::Deleting, None, Some(2)),
        (ServerState::Deleted, Some(OperationStatus::Succeeded), None),
    ];
    for (step, (state, status, expected)) in steps.into_iter().enumerate() {
        record.state = state;
        let operation = status.map(|status| OperationChange::Status { id, status, code: None });
        record = written(fixture, record, operation).await;
        fixture.advance(seconds(1)).await;
        assert_eq!(lasts(fixture).await, expected, "step {step}");
    }
    for expected in [1, 2] {
        wished_away(fixture).await;
        fixture.advance(seconds(1)).await;
        assert_eq!(lasts(fixture).await, Some(expected), "the oldest counts");
    }
}

pub async fn a_removal_that_nobody_asked_for_lasts_since_its_server_is_known(fixture: &dyn BackendFixture) {
    let mut record = accepted(fixture, "acme").await;
    let since = fixture.now().await;
    fixture.advance(seconds(5)).await;
    let removal = |gone| {
        let (account, id) = (account(), ProviderServerId::new("8").unwrap());
        Some(Removal {
            account,
            id,
            since,
            seen_by_id: true,
            accepted_at: None,
            first_accepted_at: None,
            looks: 0,
            gone,
        })
    };
    let (present, absent, wake_at) = (Desired::Present, Desired::Absent, record.wake_at);
    let steps = [
        (ServerState::Failing, present, None, wake_at, None),
        (ServerState::Failing, present, removal(false), wake_at, Some(5)),
        (ServerState::Running, present, removal(false), wake_at, Some(5)),
        (ServerState::Running, present, removal(true), wake_at, None),
        (ServerState::Parked, present, removal(false), wake_at, None),
        (ServerState::Failing, present, removal(false), None, None),
        // It was gone, and is there again.
        (ServerState::Deleting, absent, removal(false), wake_at, Some(5)),
        (ServerState::Deleting, absent, removal(true), wake_at, None),
        (ServerState::Deleted, absent, removal(false), wake_at, None),
    ];
    for (step, (state, desired, removing, wake_at, expected)) in steps.into_iter().enumerate() {
        (record.state, record.desired, record.removing, record.wake_at) = (state, desired, removing, wake_at);
        record = written(fixture, record, None).await;
        assert_eq!(lasts(fixture).await, expected, "step {step}");
    }
    // What was parked meanwhile begins anew when it goes on.
    (record.desired, record.removing, record.wake_at) = (present, removal(false), wake_at);
    let id = record.create_operation;
    for (state, status, expected) in [
        (ServerState::Parked, OperationStatus::Parked, None),
        (ServerState::Failing, OperationStatus::Pending, Some(1)),
    ] {
        record.state = state;
        record = written(fixture, record, Some(OperationChange::Status { id, status, code: None })).await;
        fixture.advance(seconds(1)).await;
        assert_eq!(lasts(fixture).await, expected, "{state:?}");
    }
}
