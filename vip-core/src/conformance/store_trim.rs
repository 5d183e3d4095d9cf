//! The contract of `Store` about keys that have outlived their retention, while their records have not.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use crate::model::{Server, ServerState};
use crate::ports::{Guard, Retention};

use super::fixture::{BackendFixture, claim_id, seconds};
use super::samples::{change, holder, key_of, moved, server, takeover, tenant};

/// Trims keys a second after the end of their record; returns how many.
async fn trimmed(fixture: &dyn BackendFixture, most: u32) -> u64 {
    let now = fixture.now().await;
    let retention = Retention { now, keys: seconds(1), records: seconds(1_000_000), most };
    fixture.store().trim(&retention).await.unwrap().keys
}

/// Commits a change of a record that brings a key.
async fn with_key(fixture: &dyn BackendFixture, record: Server, guard: Guard, key: &str) -> Server {
    let mut written = change(record, guard);
    written.key = Some(key_of(&written.server, key));
    fixture.store().commit(&written).await.unwrap().server
}

pub async fn a_key_is_trimmed_whenever_it_came(fixture: &dyn BackendFixture) {
    // Without operation and job, so not as orders are written that go along with others.
    let record = with_key(fixture, server(&tenant("acme")), Guard::New, "first").await;
    let mut record = moved(fixture, record, ServerState::Failed).await.server;
    fixture.advance(seconds(1)).await;
    assert_eq!((trimmed(fixture, 9).await, trimmed(fixture, 9).await), (1, 0));
    let claim = claim_id();
    for step in 0..4 {
        let stamp = record.stamp;
        let guard = match step {
            0 => Guard::Command { stamp },
            1 => takeover(stamp, claim, record.holder_epoch + 1),
            2 => holder(stamp, claim),
            _ => Guard::Operator { stamp, claim },
        };
        record = with_key(fixture, record, guard, &format!("later-{step}")).await;
        assert_eq!((trimmed(fixture, 9).await, trimmed(fixture, 9).await), (1, 0), "step {step}");
    }
}

pub async fn many_keys_of_one_record_are_trimmed_a_few_at_a_time(fixture: &dyn BackendFixture) {
    let mut record = with_key(fixture, server(&tenant("acme")), Guard::New, "first").await;
    for number in 0..2 {
        let guard = Guard::Command { stamp: record.stamp };
        record = with_key(fixture, record, guard, &format!("later-{number}")).await;
    }
    drop(moved(fixture, record, ServerState::Failed).await);
    fixture.advance(seconds(1)).await;
    assert_eq!((trimmed(fixture, 2).await, trimmed(fixture, 2).await, trimmed(fixture, 2).await), (2, 1, 0));
}

pub async fn trimming_goes_by_no_later_time_than_is_said(fixture: &dyn BackendFixture) {
    let read = fixture.now().await;
    let record = with_key(fixture, server(&tenant("acme")), Guard::New, "first").await;
    drop(moved(fixture, record, ServerState::Failed).await);
    // As the clock of another server is that has taken over since.
    fixture.advance(seconds(1_000)).await;
    for (now, trimmed) in [(read, 0), (read.plus(seconds(1)), 1)] {
        let retention = Retention { now, keys: seconds(1), records: seconds(1), most: 9 };
        let answer = fixture.store().trim(&retention).await.unwrap();
        assert_eq!((answer.keys, answer.records), (trimmed, trimmed), "{now:?}");
    }
    // Nor by one that is ahead of the store's.
    let record = with_key(fixture, server(&tenant("acme")), Guard::New, "second").await;
    drop(moved(fixture, record, ServerState::Failed).await);
    let now = fixture.now().await.plus(seconds(1_000));
    let retention = Retention { now, keys: seconds(1), records: seconds(1), most: 9 };
    let answer = fixture.store().trim(&retention).await.unwrap();
    assert_eq!((answer.keys, answer.records), (0, 0));
}
