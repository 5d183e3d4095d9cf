//! What becomes of a record whose job is dead: nothing waits for a job that never runs again without a person being told.

use super::*;
use crate::memory::ProviderMethod;
use crate::model::{Labels, OperationStatus, ParkReason, ServerState};
use crate::provisioning::converge::resume;
use crate::provisioning::sweep::{Sweep, SweepMode};
use crate::telemetry::heard::Heard;

const LONG: Duration = Duration::from_secs(4 * 3600);

async fn sweep(product: &Product) {
    let sweep = Sweep::new(product.context.clone(), SweepMode::Repair).unwrap();
    drop(sweep.once(&AccountId::default_account()).await.unwrap());
}

/// Lets the next job that is due die without its handler being asked, as after a crash in between.
async fn kill_next(product: &Product) {
    let attempt = product.claim().await.unwrap();
    let verdict = Verdict::Dead { code: "panic".to_owned() };
    drop(product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap());
}

/// The same, and its handler is told.
async fn end_next(product: &Product) {
    let attempt = product.claim().await.unwrap();
    let payload = attempt.job().payload.decode().unwrap();
    product.converge.died(Some(payload), &attempt, "bug").await.unwrap();
    let verdict = Verdict::Dead { code: "bug".to_owned() };
    drop(product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap());
}

/// Returns an order that is parked because a foreign server has its name, with the check of that due.
async fn parked_order(product: &Product) -> Operation {
    let order = product.order("web-1", None).await.unwrap().operation;
    let name = product.server(order.server).await.provider_name;
    product.provider.put(name.as_str(), Labels::new()).unwrap();
    product.settle_within(Duration::from_secs(900)).await;
    assert_eq!(product.server(order.server).await.park_reason, Some(ParkReason::ForeignName));
    tokio::time::advance(product.context.timing.park_recheck).await;
    order
}

#[tokio::test(start_paused = true)]
async fn a_parked_order_whose_check_is_dead_waits_for_a_person_and_says_so() {
    for by_handler in [false, true] {
        let product = Product::new().await;
        let order = parked_order(&product).await;
        let (heard, _on_this_thread) = Heard::listen();
        if by_handler {
            end_next(&product).await;
        } else {
            kill_next(&product).await;
            tokio::time::advance(product.context.timing.stall_after).await;
            sweep(&product).await;
        }
        let server = product.server(order.server).await;
        assert_eq!((server.state, server.park_reason), (ServerState::Parked, Some(ParkReason::HandlerFailed)));
        assert_eq!(server.wake_at, None, "it heads no list of what has stalled");
        assert_eq!(heard.lines("an order is parked").len(), 1);
        let operation = product.operation(order.id).await;
        assert_eq!((operation.status, operation.code.as_deref()), (OperationStatus::Parked, Some("handler_failed")));

        // Once the foreign server is gone and somebody has come, it goes on where it was.
        let foreign = product.provider.servers().pop().unwrap();
        assert!(product.provider.vanish(&foreign.id));
        resume(&product.context, &Product::caller(None).actor, &tenant(), order.server).await.unwrap();
        product.settle_within(LONG).await;
        assert_eq!(product.server(order.server).await.state, ServerState::Running);
        assert_eq!(product.provider.calls(ProviderMethod::Create), 2, "refused once, made once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_runs_stays_as_it_is_when_its_job_is_dead() {
    for by_handler in [false, true] {
        let product = Product::new().await;
        let order = product.order("web-1", None).await.unwrap().operation;
        product.settle_within(LONG).await;
        let labels = product.provider.servers().pop().unwrap().labels;
        product.provider.put("a-second-one", labels).unwrap();
        for _ in 0..2 {
            sweep(&product).await;
            tokio::time::advance(product.context.timing.sweep_grace).await;
        }
        sweep(&product).await;
        if by_handler {
            end_next(&product).await;
        } else {
            kill_next(&product).await;
        }
        sweep(&product).await;
        let server = product.server(order.server).await;
        assert_eq!((server.state, server.park_reason), (ServerState::Running, None));
        assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
    }
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_keeps_no_other_one_from_being_parked() {
    use super::between_commits::now;
    use crate::ports::StoreError;

    let product = Product::new().await;
    let mut orders = Vec::new();
    for name in ["damaged", "web-1"] {
        orders.push(product.order(name, None).await.unwrap().operation);
        kill_next(&product).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::advance(product.context.timing.stall_after).await;
    let damaged = orders[0].server;
    let mut store = crate::mocks::MockStore::new();
    let [stalled, loads, commits] = [(); 3].map(|()| product.context.store.clone());
    store.expect_stalled().returning(move |after, ahead, most| now(stalled.stalled(after, ahead, most)));
    store.expect_load().returning(move |tenant, server| {
        let is_damaged = server == damaged;
        if is_damaged { Err(StoreError::Corrupt { source: "damaged".into() }) } else { now(loads.load(tenant, server)) }
    });
    store.expect_commit().returning(move |change| now(commits.commit(change)));
    // Without a client nothing is compared.
    let context = Context { store: Arc::new(store), providers: Arc::default(), ..product.context.clone() };
    let sweep = Sweep::new(context, SweepMode::Repair).unwrap();
    let report = sweep.once(&AccountId::default_account()).await.unwrap();
    assert_eq!(report.stalled, 2);
    assert_eq!(product.server(damaged).await.park_reason, None);
    assert_eq!(product.server(orders[1].server).await.park_reason, Some(ParkReason::HandlerFailed));
}
