//! After a backup was put back: what is open waits for an operator, what rests is left alone.

use super::*;
use crate::memory::{MemoryAuditSink, ProviderMethod};
use crate::model::{OperationStatus, ParkReason, SealedRecord, ServerState};
use crate::ports::{DELIVERY_LIMIT, SinkName};
use crate::provisioning::converge::{OperateError, mark_restored, resume};
use crate::provisioning::{TokenCheck, check_token};
use crate::relay::{deliver_once, seal_all};

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

/// Orders a server, and seals and delivers what that says; returns all records that the store has then.
async fn ordered_and_delivered(product: &Product, sink: &MemoryAuditSink, name: &str) -> Vec<SealedRecord> {
    drop(product.order(name, None).await.unwrap());
    let store = &*product.context.store;
    seal_all(store).await.unwrap();
    let delivered = deliver_once(store, sink, || Some(DELIVERY_LIMIT)).await;
    assert!(delivered.failed.is_none() && delivered.records > 0, "{delivered:?}");
    store.sealed(&tenant(), 0, 100).await.unwrap()
}

/// Numbers go on from the head of the backup: the record that the store forgot is now in the sink alone.
#[tokio::test(start_paused = true)]
async fn a_sink_keeps_what_the_backup_forgot_beside_what_has_its_number_since() {
    let product = Product::new().await;
    let sink = MemoryAuditSink::new(SinkName::new("archive").unwrap());
    let before = ordered_and_delivered(&product, &sink, "web-1").await;
    let backup = product.memory.backup();
    let forgotten = ordered_and_delivered(&product, &sink, "web-2").await;
    product.memory.restore(&backup);
    let since = ordered_and_delivered(&product, &sink, "web-3").await;
    assert_eq!((before.len(), forgotten.len(), since.len()), (1, 2, 2));
    assert_eq!(forgotten[1].sequence, since[1].sequence);
    assert_eq!(sink.kept(&tenant()), [&before[..], &forgotten[1..], &since[1..]].concat());
}

/// What the backup forgot may be in the project of the old token: in another one an empty look proves nothing.
#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_has_seen_is_not_believed_in_a_restored_store_that_shows_no_server() {
    let product = Product::new().await;
    drop(product.order("web-1", None).await.unwrap());
    mark_restored(&product.context, &operator()).await.unwrap();
    let elsewhere: Arc<dyn ProviderClient> = Arc::new(MemoryProvider::with_token(Duration::ZERO, "other"));
    let providers = Arc::new(BTreeMap::from([(AccountId::default_account(), elsewhere)]));
    let context = Context { providers, ..product.context.clone() };
    let check = check_token(&context, &AccountId::default_account()).await.unwrap();
    assert!(matches!(check, TokenCheck::Suspect { .. }), "{check:?}");
}

/// Makes an order that fails and is deleted before its absence is proven: converge has not seen the delete yet.
async fn failing_and_deleted() -> (Product, Operation, Operation) {
    let (product, order) = Product::with_failing_order().await;
    let deletion = product.delete(order.server).await.unwrap().operation;
    (product, order, deletion)
}

/// The delete is in the backup, so it waits for the operator as all that is open does.
#[tokio::test(start_paused = true)]
async fn a_delete_of_a_failing_order_of_a_restored_store_rests_until_an_operator_resumes_it() {
    let (product, order, deletion) = failing_and_deleted().await;
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 1);
    let asked = product.provider.calls(ProviderMethod::Find);
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    let parked = product.server(order.server).await;
    assert_eq!((parked.state, parked.park_reason), (ServerState::Parked, Some(ParkReason::Restored)));
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Parked);
    assert_eq!(product.provider.calls(ProviderMethod::Find), asked, "nothing was asked meanwhile");

    resume(&product.context, &operator(), &tenant(), order.server).await.unwrap();
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
    product.demand_audit().await;
}

/// `docs/protocol.md` §2: only a replay or a new command ends this; here the wish was there before the handler died.
#[tokio::test(start_paused = true)]
async fn a_delete_of_a_failing_order_whose_job_died_rests_until_it_is_given_again() {
    let (product, order, deletion) = failing_and_deleted().await;
    let attempt = product.claim().await.unwrap();
    product.converge.died(attempt.job().payload.decode().ok(), &attempt, "panic").await.unwrap();
    let verdict = Verdict::Dead { code: "panic".to_owned() };
    product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap();
    assert!(product.server(order.server).await.is_converged(), "it has nothing to do and nobody wakes it");
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Parked);
    drop(product.delete(order.server).await.unwrap());
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_second_mark_resumes_nothing_that_the_first_one_parked() {
    let product = Product::new().await;
    let running = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(600)).await;
    drop(product.delete(running.server).await.unwrap());
    let open = product.order("web-2", None).await.unwrap().operation;
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 2);
    let before = (product.server(running.server).await, product.server(open.server).await);
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 0);
    assert_eq!((product.server(running.server).await, product.server(open.server).await), before);
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    assert_eq!(product.server(running.server).await.state, ServerState::Parked);
    assert_eq!(product.server(open.server).await.state, ServerState::Parked);
    assert_eq!((product.provider.servers().len(), product.provider.ever_created().len()), (1, 1));
}

/// The second backup holds a delete that came after the first mark: what it would remove may not be what was meant.
#[tokio::test(start_paused = true)]
async fn a_second_mark_parks_a_delete_that_came_after_the_first_one() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    mark_restored(&product.context, &operator()).await.unwrap();
    let deletion = product.delete(order.server).await.unwrap().operation;
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 1);
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Parked);
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Parked);
    resume(&product.context, &operator(), &tenant(), order.server).await.unwrap();
    product.settle_within(Duration::from_secs(4 * 3600)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
}

/// A record that changes each time it is read is given up after eight tries, and said so.
#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn an_operator_is_told_of_a_record_that_changes_again_and_again() {
    use crate::ports::{Committed, StoreError};
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    assert_eq!(mark_restored(&product.context, &operator()).await.unwrap().parked, 1);
    let loaded = product.context.store.load(&tenant(), order.server).await.unwrap().unwrap();
    for (conflicts, is_done, commits) in [(7, true, 8), (8, false, 8)] {
        let tries = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let (mut store, counted, loaded) = (crate::mocks::MockStore::new(), tries.clone(), loaded.clone());
        store.expect_load().returning(move |_, _| Ok(Some(loaded.clone())));
        store.expect_commit().returning(move |change| {
            let before = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(before < 16, "it does not give up");
            let committed = Committed { server: change.server.clone(), at: change.server.created_at, replayed: false };
            if before < conflicts { Err(StoreError::Conflict) } else { Ok(committed) }
        });
        let context = Context { store: std::sync::Arc::new(store), ..product.context.clone() };
        let resumed = resume(&context, &operator(), &tenant(), order.server).await;
        assert_eq!((resumed.is_ok(), tries.load(std::sync::atomic::Ordering::Relaxed)), (is_done, commits));
    }
}
