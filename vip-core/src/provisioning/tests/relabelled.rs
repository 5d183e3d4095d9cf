//! Servers whose labels somebody changed by hand: the record that holds one keeps it.

use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::model::{JobId, ProviderServerId, ServerState, Sighting, SightingClass, SightingKey};
use crate::ports::ProviderErrorKind;
use crate::provisioning::accept::provider_labels;
use crate::provisioning::kinds::converge_job;
use crate::provisioning::sweep::{Sweep, SweepMode};

const LONG: Duration = Duration::from_secs(4 * 3600);

pub(super) async fn running(product: &Product, name: &str) -> ServerId {
    let order = product.order(name, None).await.unwrap().operation;
    product.settle_within(LONG).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
    order.server
}

/// Makes two records with a server each, of which the second may have ended.
async fn two_records(second_ends: bool) -> (Product, ServerId, ServerId) {
    let product = Product::new().await;
    let (one, two) = (running(&product, "web-1").await, running(&product, "web-2").await);
    if second_ends {
        drop(product.delete(two).await.unwrap());
        product.settle_within(LONG).await;
        assert_eq!(product.server(two).await.state, ServerState::Deleted);
    }
    (product, one, two)
}

/// Gives the server of one record all labels of another one's; returns its id.
pub(super) async fn relabel(product: &Product, holder: ServerId, named: ServerId) -> ProviderServerId {
    let id = product.server(holder).await.provider_ref.unwrap().id;
    let labels = provider_labels(&product.server(named).await, product.context.installation);
    assert!(product.provider.relabel(&id, labels));
    id
}

#[tokio::test(start_paused = true)]
async fn a_server_with_the_labels_of_another_record_is_drift_of_its_own_and_stays() {
    for second_ends in [false, true] {
        let (product, one, two) = two_records(second_ends).await;
        let deletes = product.provider.calls(ProviderMethod::Delete);
        let there = product.provider.servers().len();
        let id = relabel(&product, one, two).await;
        let sweep = Sweep::new(product.context.clone(), SweepMode::Repair).unwrap();
        for _ in 0..4 {
            let report = sweep.once(&AccountId::default_account()).await.unwrap();
            let found = report.sightings.iter().map(|it| (it.class, it.key.id.clone(), it.server));
            assert_eq!(found.collect::<Vec<_>>(), [(SightingClass::Drift, id.clone(), Some(one))]);
            product.settle_within(LONG).await;
            tokio::time::advance(product.context.timing.sweep_grace).await;
        }
        assert_eq!(product.provider.calls(ProviderMethod::Delete), deletes);
        assert_eq!(product.provider.servers().len(), there);
        assert_eq!(product.server(one).await.state, ServerState::Running);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ripe_sighting_of_a_server_that_another_record_holds_is_dropped() {
    for (second_ends, class) in [(false, SightingClass::Surplus), (true, SightingClass::Resurfaced)] {
        let (product, one, two) = two_records(second_ends).await;
        let deletes = product.provider.calls(ProviderMethod::Delete);
        let (state, account) = (product.server(two).await.state, AccountId::default_account());
        let key = SightingKey { account: account.clone(), id: relabel(&product, one, two).await };
        let seen = product.context.store.now().await.unwrap();
        let server = Some(two);
        let ripe = Sighting { key, server, class, first_seen: seen, last_seen: seen, count: 2, ripe: true };
        product.context.store.sight(&account, &[ripe]).await.unwrap();
        let job = converge_job(JobId::from_uuid(uuid::Uuid::from_u128(9)), &tenant(), two).unwrap();
        drop(product.context.queue.enqueue(&[job]).await.unwrap());
        product.settle_within(LONG).await;
        assert_eq!(product.context.store.sightings(&account).await.unwrap(), [], "{class:?}");
        assert_eq!(product.provider.calls(ProviderMethod::Delete), deletes, "{class:?}");
        assert_eq!(product.server(two).await.state, state);
        assert_eq!(product.server(one).await.state, ServerState::Running);
        product.demand_audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_given_up_does_not_take_the_server_of_another_record_along() {
    let product = Product::new().await;
    let one = running(&product, "web-1").await;
    // A create of which nobody knows that it never happened, and no look at it yet.
    for method in [ProviderMethod::Create, ProviderMethod::Find] {
        product.provider.fail_next(method, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    }
    let two = product.order("web-2", None).await.unwrap().operation.server;
    drop(product.run(product.claim().await.unwrap()).await);
    relabel(&product, one, two).await;
    drop(product.delete(two).await.unwrap());
    product.settle_within(LONG).await;
    assert_eq!((product.provider.servers().len(), product.provider.calls(ProviderMethod::Delete)), (1, 0));
    assert_eq!(product.server(one).await.state, ServerState::Running);
    assert_eq!(product.server(two).await.state, ServerState::Deleted, "nothing of its own is there");
    product.demand_audit().await;
}

/// Its own create has made nothing, so it is sent again.
#[tokio::test(start_paused = true)]
async fn an_order_that_looks_for_its_create_does_not_stop_at_the_server_of_another_record() {
    let product = Product::new().await;
    let one = running(&product, "web-1").await;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    let two = product.order("web-2", None).await.unwrap().operation.server;
    let held = relabel(&product, one, two).await;
    product.settle_within(LONG).await;
    let (first, second) = (product.server(one).await, product.server(two).await);
    assert_eq!((first.state, second.state), (ServerState::Running, ServerState::Running), "{:?}", second.park_reason);
    assert_eq!(first.provider_ref.unwrap().id, held);
    assert_ne!(second.provider_ref.unwrap().id, held);
    assert_eq!((product.provider.servers().len(), product.provider.calls(ProviderMethod::Delete)), (2, 0));
    product.demand_audit().await;
}
