//! Servers of orders that know nothing of them: their creates landed when nobody expected them any more.

use super::*;
use crate::memory::{MemoryStock, ProviderFault, ProviderMethod};
use crate::model::{JobKey, OperationStatus, ParkReason, ServerState, Verb};
use crate::ports::ProviderErrorKind;
use crate::provisioning::accept::provider_labels;
use crate::provisioning::converge::resume;
use crate::provisioning::sweep::{Consequence, Sweep, SweepMode, SweepReport};

const HOUR: Duration = Duration::from_secs(3600);
/// How long the worker of the first create stands still before it sends it.
const FROZEN: Duration = Duration::from_secs(2 * 3600);
/// More creates than an order has time for.
const ALL_CREATES: usize = 100;

async fn sweep(product: &Product, mode: SweepMode) -> SweepReport {
    Sweep::new(product.context.clone(), mode).unwrap().once(&AccountId::default_account()).await.unwrap()
}

/// Lets an order go on for so long, with a sweep every five minutes.
async fn goes_on(product: &Product, most: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < most {
        for _ in 0..10 {
            while let Some(attempt) = product.claim().await {
                drop(product.run(attempt).await);
            }
            tokio::time::advance(product.context.timing.sweep_interval / 10).await;
        }
        sweep(product, SweepMode::Repair).await;
    }
}

/// Makes a product with an order whose first create lands late, and whose other creates are refused: by a limit, or for want of stock.
async fn ordered(limit: bool) -> (Product, Operation) {
    let product = Product::new().await;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::HappenLater(FROZEN));
    if limit {
        let refused = ProviderFault::Refuse(ProviderErrorKind::AccountLimit);
        (0..ALL_CREATES).for_each(|_| product.provider.fail_next(ProviderMethod::Create, refused));
    } else {
        product.provider.stock("a", "l", MemoryStock::SoldOut);
    }
    let order = product.order("web-1", None).await.unwrap().operation;
    (product, order)
}

/// The server takes the last place, or is not counted as stock: no further create is told that its name is taken.
#[tokio::test(start_paused = true)]
async fn an_order_that_waits_or_is_parked_adopts_its_own_server_that_landed_after_all_looks() {
    for (limit, most) in [(true, 8 * HOUR), (false, 25 * HOUR)] {
        let (product, order) = ordered(limit).await;
        goes_on(&product, HOUR + HOUR / 2).await;
        let waiting = product.server(order.server).await;
        assert!(waiting.land.is_empty() && waiting.unsettled.is_none(), "nobody expects it any more: {waiting:#?}");
        assert_eq!(product.provider.ever_created().len(), 0);

        goes_on(&product, most).await;
        let server = product.server(order.server).await;
        assert_eq!(server.state, ServerState::Running, "{server:#?}");
        assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
        assert_eq!((product.provider.servers().len(), product.provider.ever_created().len()), (1, 1));
        assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
        let left = product.context.store.sightings(&AccountId::default_account()).await.unwrap();
        assert_eq!(left, []);
        product.demand_audit().await;
    }
}

/// Also where sweeps remove nothing: it is the deletion that does.
#[tokio::test(start_paused = true)]
async fn a_deletion_removes_what_a_sweep_has_seen_of_its_order_before_it_ends() {
    let (product, order) = ordered(true).await;
    product.settle_within(FROZEN + Duration::from_secs(60)).await;
    let parked = product.server(order.server).await;
    assert_eq!((parked.park_reason, product.provider.servers().len()), (Some(ParkReason::ProviderLimit), 1));
    let report = sweep(&product, SweepMode::Report).await;
    let found: Vec<_> = report.findings.iter().map(|it| (it.server, it.consequence)).collect();
    assert_eq!(found, [(Some(order.server), Consequence::Look)]);

    drop(product.delete(order.server).await.unwrap());
    product.settle_within(HOUR).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
    assert_eq!(product.provider.servers().len(), 0);
    product.demand_audit().await;
    let sealed = product.context.store.sealed(&tenant(), 0, 500).await.unwrap();
    let is_reopening = sealed.iter().any(|sealed| sealed.record().unwrap().draft.verb == Verb::Reopen);
    assert!(!is_reopening, "it ended, and its server was there");
}

/// A sweep that comes between a deletion and its look goes on telling of the server.
#[tokio::test(start_paused = true)]
async fn a_deletion_whose_look_fails_forgets_nothing_of_what_sweeps_see() {
    let (product, order) = ordered(true).await;
    product.settle_within(FROZEN + Duration::from_secs(60)).await;
    sweep(&product, SweepMode::Report).await;
    drop(product.delete(order.server).await.unwrap());
    product.provider.fail_next(ProviderMethod::Find, ProviderFault::Refuse(ProviderErrorKind::NotSent));
    let attempt = product.claim().await.unwrap();
    drop(product.run(attempt).await);
    assert_eq!(product.server(order.server).await.state, ServerState::Deleting, "its look failed");
    sweep(&product, SweepMode::Report).await;
    product.settle_within(HOUR).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
    assert_eq!(product.provider.servers().len(), 0);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_a_person_does_not_go_on_because_a_sweep_sees_its_server() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let attempt = product.claim().await.unwrap();
    let verdict = Verdict::Dead { code: "panic".to_owned() };
    product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap();
    tokio::time::advance(product.context.timing.stall_after + Duration::from_secs(1)).await;
    sweep(&product, SweepMode::Repair).await;
    let parked = product.server(order.server).await;
    assert_eq!(parked.park_reason, Some(ParkReason::HandlerFailed));

    // The queue loses the dead job, which no wake would have moved.
    let key = JobKey::new(format!("converge:{}", order.server)).unwrap();
    assert!(product.context.queue.cancel(&key).await.unwrap());
    let labels = provider_labels(&parked, product.context.installation);
    product.provider.put(parked.provider_name.as_str(), labels).unwrap();
    let report = sweep(&product, SweepMode::Repair).await;
    assert_eq!((report.sightings.len(), report.woken), (1, 0));
    product.settle_within(HOUR).await;
    assert_eq!(product.server(order.server).await.park_reason, Some(ParkReason::HandlerFailed));

    resume(&product.context, &Actor::operator("ops").unwrap(), &tenant(), order.server).await.unwrap();
    product.settle_within(HOUR).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
    assert_eq!(product.provider.calls(ProviderMethod::Create), 0, "it is there already");
    product.demand_audit().await;
}
