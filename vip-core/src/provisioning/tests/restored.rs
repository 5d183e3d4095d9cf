//! After a backup was put back: what is open waits for an operator, what rests is left alone.

use super::*;
use crate::memory::ProviderMethod;
use crate::model::{OperationStatus, ParkReason, ServerState};
use crate::provisioning::converge::{OperateError, mark_restored, resume};

fn operator() -> Actor {
    Actor::Operator { name: "on-call".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn an_open_order_of_a_restored_store_buys_nothing_until_an_operator_resumes_it() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap();
    let marked = mark_restored(&product.context, &operator()).await.unwrap();
    assert_eq!((marked.parked, marked.untouched), (1, 0));
    product.settle_within(Duration::from_secs(7200)).await;
    let parked = product.server(order.operation.server).await;
    assert_eq!((parked.state, parked.park_reason), (ServerState::Parked, Some(ParkReason::Restored)));
    assert_eq!(product.operation(order.operation.id).await.status, OperationStatus::Parked);
    assert_eq!(product.provider.ever_created().len(), 0);

    resume(&product.context, &operator(), &tenant(), order.operation.server).await.unwrap();
    product.settle_within(Duration::from_secs(600)).await;
    assert_eq!(product.server(order.operation.server).await.state, ServerState::Running);
    assert_eq!(product.operation(order.operation.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.provider.ever_created().len(), 1);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_delete_of_a_restored_store_removes_nothing_until_an_operator_resumes_it() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap();
    product.settle_within(Duration::from_secs(600)).await;
    drop(product.delete(order.operation.server).await.unwrap());
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 1);
    product.settle_within(Duration::from_secs(7200)).await;
    assert_eq!(product.provider.servers().len(), 1, "the server stays");

    resume(&product.context, &operator(), &tenant(), order.operation.server).await.unwrap();
    product.settle_within(Duration::from_secs(3600)).await;
    assert_eq!(product.server(order.operation.server).await.state, ServerState::Deleted);
    assert_eq!(product.provider.servers().len(), 0);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_delete_ends_the_wait_of_a_restored_order() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap();
    mark_restored(&product.context, &operator()).await.unwrap();
    drop(product.delete(order.operation.server).await.unwrap());
    product.settle_within(Duration::from_secs(3600)).await;
    assert_eq!(product.server(order.operation.server).await.state, ServerState::Deleted);
    assert_eq!(product.provider.ever_created().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn marking_twice_changes_nothing_and_what_rests_is_left_alone() {
    let product = Product::new().await;
    let running = product.order("web-1", None).await.unwrap();
    product.settle_within(Duration::from_secs(600)).await;
    drop(product.order("web-2", None).await.unwrap());
    let first = mark_restored(&product.context, &operator()).await.unwrap();
    assert_eq!((first.parked, first.untouched), (1, 1));
    let second = mark_restored(&product.context, &operator()).await.unwrap();
    assert_eq!((second.parked, second.untouched), (0, 2));
    assert_eq!(product.server(running.operation.server).await.state, ServerState::Running);
    let refused = resume(&product.context, &operator(), &tenant(), running.operation.server).await;
    assert!(matches!(refused, Err(OperateError::NotParked)), "{refused:?}");
    let unknown = resume(&product.context, &operator(), &tenant(), product.context.server_id()).await;
    assert!(matches!(unknown, Err(OperateError::NotFound)), "{unknown:?}");
}

/// The backup is older than the first announcement; the server that the lost history made is found, not made again.
#[tokio::test(start_paused = true)]
async fn an_order_that_a_backup_shows_untouched_is_looked_for_before_anything_is_created() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let backup = product.memory.backup();
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    let created = product.server(order.server).await.provider_ref;
    product.memory.restore(&backup);
    mark_restored(&product.context, &operator()).await.unwrap();
    resume(&product.context, &operator(), &tenant(), order.server).await.unwrap();
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    let server = product.server(order.server).await;
    assert_eq!((server.state, product.provider.calls(ProviderMethod::Create)), (ServerState::Running, 1));
    assert_eq!(server.provider_ref.map(|own| own.id), created.map(|own| own.id));
}
