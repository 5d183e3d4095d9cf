//! Whoever changes an audit chain is found, whatever was changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

use super::tenant;
use crate::mocks::MockStore;
use crate::model::{ChainHash, ChainHead, SealedRecord, ServerId, seal_hash};
use crate::ports::{ServerVersions, Store};
use crate::provisioning::verify::{AuditFault, verify};

/// Is one thing that somebody does to the records of a store.
#[derive(Debug, Clone)]
enum Tampering {
    Body {
        at: Index,
        byte: Index,
        by: u8,
    },
    Hash {
        at: Index,
        from: Index,
    },
    /// From 1 on: nothing that reads a chain shows a record with number 0.
    Number {
        at: Index,
        number: u64,
    },
    Remove {
        at: Index,
    },
    Move {
        from: Index,
        to: Index,
    },
    Duplicate {
        at: Index,
        to: Index,
    },
    Invent {
        at: Index,
        body: String,
    },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let at = any::<Index>;
    prop_oneof![
        (at(), at(), 1..20_u8).prop_map(|(at, byte, by)| Tampering::Body { at, byte, by }),
        (at(), at()).prop_map(|(at, from)| Tampering::Hash { at, from }),
        (at(), 1..20_u64).prop_map(|(at, number)| Tampering::Number { at, number }),
        at().prop_map(|at| Tampering::Remove { at }),
        (at(), at()).prop_map(|(from, to)| Tampering::Move { from, to }),
        (at(), at()).prop_map(|(at, to)| Tampering::Duplicate { at, to }),
        (at(), "[a-z]{1,8}").prop_map(|(at, body)| Tampering::Invent { at, body }),
    ]
}

impl Tampering {
    fn with(&self, records: &mut Vec<SealedRecord>) {
        if records.is_empty() {
            return;
        }
        let (length, place) = (records.len(), |at: &Index| at.index(records.len()));
        match self {
            Self::Body { at, byte, by } => {
                let record = &mut records[at.index(length)];
                let mut bytes = record.body.clone().into_bytes();
                let byte = byte.index(bytes.len());
                bytes[byte] = b'a' + (bytes[byte] - b'a' + by) % 26;
                record.body = String::from_utf8(bytes).unwrap();
            }
            Self::Hash { at, from } => {
                let hash = records[place(from)].hash.clone();
                records[at.index(length)].hash = hash;
            }
            Self::Number { at, number } => records[at.index(length)].sequence = *number,
            Self::Remove { at } => drop(records.remove(at.index(length))),
            Self::Move { from, to } => {
                let record = records.remove(from.index(length));
                records.insert(to.index(length), record);
            }
            Self::Duplicate { at, to } => {
                let record = records[place(at)].clone();
                records.insert(to.index(length + 1), record);
            }
            Self::Invent { at, body } => {
                let hash = records[place(at)].hash.clone();
                records.insert(at.index(length), SealedRecord::new(at.index(length) as u64 + 1, hash, body.clone()));
            }
        }
    }
}

fn chain(bodies: impl IntoIterator<Item = String>) -> Vec<SealedRecord> {
    let mut head = ChainHash::genesis(&tenant());
    let mut sealed = Vec::new();
    for (place, body) in bodies.into_iter().enumerate() {
        let sequence = place as u64 + 1;
        head = seal_hash(&head, sequence, &body);
        sealed.push(SealedRecord::new(sequence, head.clone(), body));
    }
    sealed
}

fn head_of(records: &[SealedRecord]) -> ChainHead {
    records.last().map_or_else(|| ChainHead::empty(&tenant()), |last| ChainHead::new(last.sequence, last.hash.clone()))
}

/// Says whether a store with these records and this head is found to be whole.
fn is_whole(records: &[SealedRecord], head: &ChainHead, exported: Option<&ChainHead>) -> bool {
    let (records, head) = (Arc::new(records.to_vec()), head.clone());
    let mut store = MockStore::new();
    store.expect_chain_head().returning(move |_| Ok(head.clone()));
    store.expect_sealed().returning(move |_, after, most| {
        // As a query would: what is in the table, by its number.
        let mut found: Vec<_> = records.iter().filter(|record| record.sequence > after).cloned().collect();
        found.sort_by_key(|record| record.sequence);
        found.truncate(most as usize);
        Ok(found)
    });
    store.expect_versions().returning(|_, _, _| Ok(ServerVersions::default()));
    let store: &dyn Store = &store;
    verify(store, &tenant(), exported).now_or_never().unwrap().is_ok()
}

fn by_number(records: &[SealedRecord]) -> Vec<SealedRecord> {
    let mut sorted = records.to_vec();
    sorted.sort_by_key(|record| record.sequence);
    sorted
}

#[test]
fn a_chain_that_ends_before_a_head_that_somebody_has_is_not_whole() {
    let whole = chain(["a".to_owned(), "b".to_owned(), "c".to_owned()]);
    let (head, short) = (head_of(&whole), head_of(&whole[..2]));
    assert!(is_whole(&whole, &head, Some(&head)) && is_whole(&whole[..2], &short, Some(&short)));
    assert!(!is_whole(&whole[..2], &head, None), "the store remembers a longer one");
    assert!(!is_whole(&whole[..2], &short, Some(&head)), "somebody else does");
}

#[test]
fn a_long_chain_is_read_to_its_end_in_however_many_batches_and_what_was_sealed_meanwhile_with_it() {
    // A store may answer with less than it is asked for: here each record is a batch.
    let whole = chain((0..20_050).map(|number| number.to_string()));
    let (remembered, last) = (head_of(whole.get(..20_010).unwrap()), head_of(&whole));
    let mut store = MockStore::new();
    store.expect_chain_head().returning(move |_| Ok(remembered.clone()));
    store.expect_sealed().returning(move |_, after, _| {
        let next = usize::try_from(after).unwrap();
        Ok(whole.get(next).cloned().into_iter().collect())
    });
    store.expect_versions().returning(|_, _, _| Ok(ServerVersions::default()));
    let report = verify(&store, &tenant(), None).now_or_never().unwrap().unwrap();
    assert_eq!((report.records, report.head), (20_050, last));
}

#[test]
fn a_version_without_its_record_is_found_on_whatever_page_it_stands() {
    let servers = [1, 2, 3].map(|number| ServerId::from_uuid(Uuid::from_u128(number)));
    let verified = |missing: Option<ServerId>| {
        let mut store = MockStore::new();
        store.expect_chain_head().returning(|tenant| Ok(ChainHead::empty(tenant)));
        store.expect_sealed().returning(|_, _, _| Ok(Vec::new()));
        store.expect_versions().returning(move |_, after, _| {
            let mut page = ServerVersions::default();
            if let Some(next) = servers.into_iter().find(|server| after.is_none_or(|after| *server > after)) {
                page.current.insert(next, 1);
                let count = u64::from(missing != Some(next));
                page.recorded.insert(next, BTreeMap::from([(1, count)]));
            }
            Ok(page)
        });
        verify(&store, &tenant(), None).now_or_never().unwrap()
    };
    assert_eq!(verified(None).unwrap().servers, 3);
    for server in servers {
        let fault = verified(Some(server)).unwrap_err();
        assert!(matches!(&fault, AuditFault::Version(found) if found.server == server), "{fault:?}");
    }
}

proptest! {
    /// Whoever cannot compute hashes is found without an exported head.
    #[test]
    fn any_change_removal_reordering_or_duplication_is_found(
        bodies in prop::collection::vec("[a-z]{1,20}", 1..12), tampered in prop::collection::vec(tampering(), 0..4),
    ) {
        let whole = chain(bodies);
        let head = head_of(&whole);
        let mut records = whole.clone();
        for tampering in &tampered {
            tampering.with(&mut records);
        }
        let is_same = by_number(&records) == whole;
        prop_assert_eq!(is_whole(&records, &head, None), is_same);
        prop_assert_eq!(is_whole(&records, &head, Some(&head)), is_same);
    }

    /// Whoever seals all of it anew is found by the head that was exported before, however the chain goes on.
    #[test]
    fn a_chain_that_was_sealed_anew_is_found_by_an_exported_head(
        bodies in prop::collection::vec("[a-z]{1,20}", 1..12),
        tampered in prop::collection::vec(tampering(), 0..4),
        exported in any::<Index>(),
        later in prop::collection::vec("[a-z]{1,20}", 0..4),
    ) {
        let whole = chain(bodies);
        let exported = head_of(&whole[..=exported.index(whole.len())]);
        let mut records = whole.clone();
        for tampering in &tampered {
            tampering.with(&mut records);
        }
        let forged = chain(records.into_iter().map(|record| record.body).chain(later));
        let seen = usize::try_from(exported.sequence).unwrap();
        let is_same = forged.get(..seen) == whole.get(..seen);
        prop_assert_eq!(is_whole(&forged, &head_of(&forged), Some(&exported)), is_same);
    }
}
