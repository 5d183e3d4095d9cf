//! The contract of `Store` about versions, read page by page.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::collections::BTreeMap;

use crate::model::{ServerState, verify_versions};

use super::fixture::BackendFixture;
use super::samples::{accepted, moved, tenant};

pub async fn versions_are_read_in_pages(fixture: &dyn BackendFixture) {
    let (store, owner) = (fixture.store(), tenant("acme"));
    let mut expected = BTreeMap::new();
    for versions in [4_u64, 1, 2, 1, 3] {
        let mut record = accepted(fixture, "acme").await;
        accepted(fixture, "other").await;
        for _ in 1..versions {
            record = moved(fixture, record, ServerState::Creating).await.server;
        }
        expected.insert(record.id, versions);
    }
    for most in [1, 3, 5, 11] {
        let (mut found, mut pages, mut last) = (BTreeMap::new(), 0, None);
        loop {
            let page = store.versions(&owner, last, most).await.unwrap();
            let Some((id, _)) = page.current.last_key_value() else { break };
            assert!(
                page.current.keys().all(|id| last.is_none_or(|last| *id > last)),
                "{most}: {page:?} after {last:?}"
            );
            let total: u64 = page.current.values().sum();
            assert!(total <= u64::from(most) || page.current.len() == 1, "{most}: {page:?}");
            assert!(page.recorded.keys().eq(page.current.keys()), "{most}: {page:?}");
            verify_versions(&page.current, &page.recorded).unwrap();
            (last, pages) = (Some(*id), pages + 1);
            found.extend(page.current);
        }
        assert_eq!(found, expected, "{most}");
        let is_right = match most {
            1 => pages == 5,
            11 => pages == 1,
            _ => (2..=5).contains(&pages),
        };
        assert!(is_right, "{pages} pages of {most}");
    }
    assert_eq!(store.versions(&owner, None, 0).await.unwrap().current, BTreeMap::new());
}
