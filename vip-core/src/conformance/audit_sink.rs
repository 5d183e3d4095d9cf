//! The contract of `AuditSink`: one case for each bullet.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::ops::RangeInclusive;

use super::fixture::AuditSinkFixture;
use super::samples::tenant;
use crate::model::{ChainHash, SealedRecord, TenantId, seal_hash};

/// Makes a chain of sealed records with bodies as they are found in the field.
fn chain(owner: &TenantId, length: u64) -> Vec<SealedRecord> {
    go_on(owner, ChainHash::genesis(owner), 1..=length, "number")
}

/// Seals records onto a chain.
fn go_on(owner: &TenantId, mut hash: ChainHash, numbers: RangeInclusive<u64>, note: &str) -> Vec<SealedRecord> {
    let seal = |sequence| {
        let body = format!(r#"{{"tenant":"{owner}","note":"{note} {sequence}, \"quoted\", größer"}}"#);
        hash = seal_hash(&hash, sequence, &body);
        SealedRecord::new(sequence, hash.clone(), body)
    };
    numbers.map(seal).collect()
}

pub async fn batches_arrive_in_order(fixture: &dyn AuditSinkFixture) {
    let (owner, name) = (tenant("acme"), fixture.sink().name());
    let records = chain(&owner, 12);
    // Numbers of one and of two digits: order is by number, not by text.
    for batch in records.chunks(5) {
        fixture.sink().deliver(&owner, batch).await.unwrap();
    }
    assert_eq!(fixture.kept(&owner).await, records);
    assert_eq!(fixture.sink().name(), name, "the store remembers the sink by its name");
}

pub async fn ok_means_kept(fixture: &dyn AuditSinkFixture) {
    let owner = tenant("acme");
    let records = chain(&owner, 3);
    fixture.sink().deliver(&owner, &records).await.unwrap();
    assert_eq!(fixture.kept(&owner).await, records, "not only buffered");
    fixture.sink().close().await.unwrap();
    assert_eq!(fixture.kept(&owner).await, records);
}

pub async fn a_repeated_batch_adds_nothing(fixture: &dyn AuditSinkFixture) {
    let owner = tenant("acme");
    let records = chain(&owner, 6);
    for part in [&records[..3], &records[..3], &records[1..2], &records[2..5], &records[..], &records[..]] {
        fixture.sink().deliver(&owner, part).await.unwrap();
    }
    assert_eq!(fixture.kept(&owner).await, records);
}

pub async fn a_batch_that_comes_twice_at_once_is_kept_once(fixture: &dyn AuditSinkFixture) {
    let (owner, sink) = (tenant("acme"), fixture.sink());
    let records = chain(&owner, 24);
    for batch in records.chunks(8) {
        let (one, other) = tokio::join!(sink.deliver(&owner, batch), sink.deliver(&owner, batch));
        // Either may be refused, as a database refuses the victim of a deadlock: it was not taken, and comes again.
        for answer in [one, other] {
            if answer.is_err() {
                sink.deliver(&owner, batch).await.unwrap();
            }
        }
    }
    assert_eq!(fixture.kept(&owner).await, records);
}

pub async fn a_number_with_another_hash_is_kept_beside_the_first(fixture: &dyn AuditSinkFixture) {
    let owner = tenant("acme");
    let forgotten = chain(&owner, 4);
    // The backup that was put back ended with the second record.
    let since = go_on(&owner, forgotten[1].hash.clone(), 3..=5, "once more number");
    for batch in [&forgotten[..], &since[..2], &since[..], &forgotten[2..]] {
        fixture.sink().deliver(&owner, batch).await.unwrap();
    }
    let (mut kept, mut both) = (fixture.kept(&owner).await, [forgotten, since].concat());
    for records in [&mut kept, &mut both] {
        // In which order those of one number are kept is not promised.
        records.sort_by(|one, other| (one.sequence, one.hash.as_str()).cmp(&(other.sequence, other.hash.as_str())));
    }
    assert_eq!(kept, both);
}

pub async fn a_refused_batch_may_come_again(fixture: &dyn AuditSinkFixture) {
    let owner = tenant("acme");
    let records = chain(&owner, 4);
    fixture.sink().deliver(&owner, &records[..2]).await.unwrap();
    fixture.break_down().await;
    assert!(fixture.sink().deliver(&owner, &records[2..]).await.is_err(), "what is not kept is not answered with Ok");
    fixture.repair().await;
    fixture.sink().deliver(&owner, &records[2..]).await.unwrap();
    assert_eq!(fixture.kept(&owner).await, records);
}

pub async fn tenants_do_not_meet(fixture: &dyn AuditSinkFixture) {
    let (one, two) = (tenant("acme"), tenant("globex"));
    let (first, second) = (chain(&one, 2), chain(&two, 3));
    fixture.sink().deliver(&one, &first[..1]).await.unwrap();
    fixture.sink().deliver(&two, &second).await.unwrap();
    fixture.sink().deliver(&one, &first).await.unwrap();
    assert_eq!((fixture.kept(&one).await, fixture.kept(&two).await), (first, second), "each has numbers of its own");
}
