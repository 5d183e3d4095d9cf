//! What is forgotten in time while something else cannot be.

use std::borrow::Cow;
use std::time::Duration;

use vip_core::conformance::BackendFixture;
use vip_core::conformance::samples::{accepted, key_of, load, moved, order, server, tenant};
use vip_core::model::ServerState;
use vip_core::ports::Retention;

use crate::filtered;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn keys_that_cannot_be_trimmed_hold_up_neither_operations_nor_records() {
    let fixture =
        filtered(Box::new(|name, text| Cow::Borrowed(if name == "key_trim" { "DELETE" } else { text }))).await;
    let store = fixture.store();
    let mut whole = order(server(&tenant("acme")));
    whole.key = Some(key_of(&whole.server, "order-1"));
    let keyed = store.commit(&whole).await.unwrap().server;
    let keyed = moved(&fixture, keyed, ServerState::Failed).await.server;
    let bare = accepted(&fixture, "acme").await;
    let bare = moved(&fixture, bare, ServerState::Failed).await.server;
    fixture.advance(HOUR).await;

    let now = fixture.now().await;
    store.trim(&Retention { now, keys: HOUR, records: HOUR, most: 9 }).await.unwrap_err();
    assert!(store.operation(&bare.tenant, bare.create_operation).await.unwrap().is_none());
    assert!(load(store, &bare).await.server.spec.image.is_empty(), "its tombstone is left");
    let named = store.operation(&keyed.tenant, keyed.create_operation).await.unwrap();
    assert!(named.is_some(), "as long as there is the key, a repeat is answered the operation");
    fixture.close().await;
}
