//! Refusals that end no order: after a create whose answer was lost, and for want of stock before and after an outage.

use super::*;
use crate::memory::{MemoryStock, ProviderFault, ProviderMethod};
use crate::model::{OperationStatus, ParkReason, ServerState, WaitReason};
use crate::ports::ProviderErrorKind;

const LONG: Duration = Duration::from_secs(4 * 3600);
/// Longer than patience with stock.
const OUTAGE: Duration = Duration::from_secs(25 * 3600);

/// Runs the order's job, which is due, and lets the time pass until it is due again; says whether it will be.
async fn goes_on(product: &Product) -> bool {
    let attempt = product.claim().await.unwrap();
    let outcome = product.run(attempt).await;
    if let JobOutcome::Snooze { delay } = outcome {
        tokio::time::advance(delay).await;
        return true;
    }
    assert_eq!(outcome, JobOutcome::Done);
    false
}

/// Refuses the next creates.
fn refuse(product: &Product, kind: ProviderErrorKind, times: usize) {
    (0..times).for_each(|_| product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(kind)));
}

/// The server is there and has taken the last place; the provider says so before it compares names.
#[tokio::test(start_paused = true)]
async fn a_server_that_landed_late_is_found_though_no_further_create_is_told_that_its_name_is_taken() {
    for refusal in [None, Some(ProviderErrorKind::AccountLimit), Some(ProviderErrorKind::InvalidInput)] {
        let product = Product::new().await;
        let late = ProviderFault::HappenLater(Duration::from_secs(20));
        product.provider.fail_next(ProviderMethod::Create, late);
        match refusal {
            Some(kind) => refuse(&product, kind, 10),
            None => product.provider.stock("a", "l", MemoryStock::SoldOut),
        }
        let order = product.order("web-1", None).await.unwrap().operation;
        product.settle_within(LONG).await;
        let server = product.server(order.server).await;
        assert_eq!(server.state, ServerState::Running, "{refusal:?}, {server:#?}");
        assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
        assert_eq!((product.provider.servers().len(), product.provider.ever_created().len()), (1, 1));
        assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
        product.demand_audit().await;
    }
}

/// The first answer was lost and nothing was made: what is refused then ends the order once a look has said so.
#[tokio::test(start_paused = true)]
async fn an_order_that_is_refused_again_once_nothing_can_land_any_more_has_failed() {
    let product = Product::new().await;
    refuse(&product, ProviderErrorKind::Unknown, 1);
    refuse(&product, ProviderErrorKind::InvalidInput, 2);
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(60)).await;
    let waiting = product.server(order.server).await;
    assert_eq!((waiting.state, waiting.wait_reason), (ServerState::Creating, Some(WaitReason::LookingForCreate)));
    product.settle_within(LONG).await;
    let ended = product.operation(order.id).await;
    assert_eq!((ended.status, ended.code.as_deref()), (OperationStatus::Failed, Some("rejected")));
    let calls = |method| product.provider.calls(method);
    assert_eq!((calls(ProviderMethod::Create), calls(ProviderMethod::Delete)), (3, 0));
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_does_not_wait_for_a_refused_order_and_removes_what_lands_late() {
    let product = Product::new().await;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::HappenLater(Duration::from_secs(90)));
    refuse(&product, ProviderErrorKind::InvalidInput, 1);
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(60)).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Creating);
    let deletion = product.delete(order.server).await.unwrap().operation;
    product.settle_within(LONG).await;
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
    assert_eq!((product.provider.servers().len(), product.provider.ever_created().len()), (0, 1));
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_uses_up_no_patience_with_stock_and_answers_do() {
    let product = Product::new().await;
    product.provider.stock("a", "l", MemoryStock::SoldOut);
    let order = product.order("web-1", None).await.unwrap().operation;
    assert!(goes_on(&product).await);
    assert_eq!(product.server(order.server).await.wait_reason, Some(WaitReason::NoStock));
    let began = Instant::now();
    while began.elapsed() < OUTAGE {
        product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::NotSent));
        assert!(goes_on(&product).await);
    }
    assert!(goes_on(&product).await);
    let server = product.server(order.server).await;
    assert_eq!((server.state, server.wait_reason), (ServerState::Creating, Some(WaitReason::NoStock)));

    let began = Instant::now();
    while goes_on(&product).await {}
    let ended = product.operation(order.id).await;
    assert_eq!((ended.status, ended.code.as_deref()), (OperationStatus::Failed, Some("no_stock")));
    let patience = product.context.timing.stock_patience;
    assert!(began.elapsed() >= patience - Duration::from_secs(1200), "after {:?}", began.elapsed());
}

/// Each empty look begins after the last create could land, and is no proof that the name is free: the provider says otherwise.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_said_to_be_taken_for_an_hour_parks_its_order_also_if_creates_land_at_once() {
    let mut product = Product::new().await;
    let mut timing = (*product.context.timing).clone();
    timing.landing_allowance = Duration::from_secs(20);
    product.context.timing = Arc::new(timing);
    product.converge = Converge::new(product.context.clone()).unwrap();
    for _ in 0..1000 {
        let taken = ProviderFault::Refuse(ProviderErrorKind::AlreadyExists);
        product.provider.fail_next(ProviderMethod::Create, taken);
    }
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(2 * 3600)).await;
    let server = product.server(order.server).await;
    assert_eq!((server.state, server.park_reason), (ServerState::Parked, Some(ParkReason::NameTakenUnseen)));
}
