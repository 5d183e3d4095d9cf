//! An effect that has no turn is not announced: waiting writes one note and no version.

use super::*;
use crate::memory::{MemoryStock, ProviderFault, ProviderMethod};
use crate::model::{Effect, WaitReason};
use crate::ports::{ProviderErrorKind, RequestContext};
use crate::resilience::{Budget, BudgetSettings, Budgeted};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Makes a product that may have one create without an answer.
async fn product_with_one_place() -> (Product, Arc<dyn ProviderClient>) {
    let product = Product::new().await;
    let budget = Arc::new(Budget::new(&BudgetSettings { creates_unanswered: 1 }).unwrap());
    let client: Arc<dyn ProviderClient> = Arc::new(Budgeted::new(Arc::new(product.provider.clone()), budget));
    let providers = Arc::new(BTreeMap::from([(AccountId::default_account(), client.clone())]));
    let context = Context { providers, ..product.context.clone() };
    (Product { converge: Converge::new(context.clone()).unwrap(), context, ..product }, client)
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_place_for_its_create_announces_nothing_and_goes_on_when_there_is_one() {
    let (product, client) = product_with_one_place().await;
    let create = Effect::Create { candidate: 0 };
    let taken = client.reserve(&create, RequestContext::new(seconds(30))).await.unwrap();

    let order = product.order("web-1", None).await.unwrap();
    let before = product.server(order.operation.server).await;
    for _ in 0..3 {
        let attempt = product.claim().await.unwrap();
        let JobOutcome::Snooze { delay } = product.run(attempt).await else { panic!("it waits") };
        assert!(delay >= seconds(1), "{delay:?}");
        tokio::time::advance(delay).await;
        let waiting = product.server(order.operation.server).await;
        assert_eq!((waiting.version, &waiting.intent, waiting.attempt), (before.version, &None, before.attempt));
        assert_eq!(waiting.wait_reason, Some(WaitReason::Throttled), "the provider is well");
    }
    assert_eq!(product.provider.servers().len(), 0);

    drop(taken);
    product.settle_within(seconds(600)).await;
    assert_eq!(product.provider.servers().len(), 1);
    product.demand_audit().await;
}

/// Else its next try would be as urgent as one of an order that has not been refused.
#[tokio::test(start_paused = true)]
async fn an_order_that_waits_for_stock_says_so_also_while_it_has_no_turn_to_try_again() {
    let (product, client) = product_with_one_place().await;
    product.provider.stock("a", "l", MemoryStock::SoldOut);
    let order = product.order("web-1", None).await.unwrap().operation;
    // Nothing is in stock, and then the provider is away.
    for (is_away, expected) in [(false, WaitReason::NoStock), (true, WaitReason::ProviderUnavailable)] {
        if is_away {
            product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::NotSent));
        }
        let attempt = product.claim().await.unwrap();
        let JobOutcome::Snooze { delay } = product.run(attempt).await else { panic!("it waits") };
        assert_eq!(product.server(order.server).await.wait_reason, Some(expected));
        tokio::time::advance(delay).await;
    }

    let create = Effect::Create { candidate: 0 };
    let taken = client.reserve(&create, RequestContext::new(seconds(30))).await.unwrap();
    let (began, attempt) = (Instant::now(), product.claim().await.unwrap());
    let JobOutcome::Snooze { delay } = product.run(attempt).await else { panic!("it waits") };
    assert!(began.elapsed() < seconds(1), "it takes what is left over, and keeps no worker");
    assert_eq!(product.server(order.server).await.wait_reason, Some(WaitReason::NoStock));
    assert_eq!(product.provider.calls(ProviderMethod::Create), 2);

    drop(taken);
    product.provider.stock("a", "l", MemoryStock::Available);
    tokio::time::advance(delay).await;
    product.settle_within(seconds(600)).await;
    assert_eq!(product.provider.servers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_set_aside_is_used_by_its_own_create_and_free_after_it() {
    let (product, _client) = product_with_one_place().await;
    for name in ["web-1", "web-2", "web-3"] {
        drop(product.order(name, None).await.unwrap());
    }
    product.settle_within(seconds(600)).await;
    assert_eq!(product.provider.servers().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_turn_that_it_would_not_use() {
    let (product, client) = product_with_one_place().await;
    let create = Effect::Create { candidate: 0 };
    let taken = client.reserve(&create, RequestContext::new(seconds(30))).await.unwrap();
    drop(product.order("web-1", None).await.unwrap());
    let attempt = product.claim().await.unwrap();
    let began = Instant::now();
    let stops = async {
        assert!(tokio::time::timeout(seconds(2), std::future::pending::<()>()).await.is_err());
        attempt.stop();
        std::future::pending::<()>().await
    };
    let payload = attempt.job().payload.decode().unwrap();
    let outcome = tokio::select! {
        outcome = product.converge.run(payload, &attempt) => outcome,
        () = stops => unreachable!(),
    };
    assert!(matches!(outcome, JobOutcome::Release), "{outcome:?}");
    assert_eq!(began.elapsed(), seconds(2));
    drop(taken);
}
