//! When a sweep comes again, and what one says that had nothing to price.

use std::error::Error;

use async_trait::async_trait;

use super::commits::Extreme;
use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::ports::{Catalog, ProviderErrorKind};
use crate::provisioning::kinds::SweepPayload;
use crate::provisioning::sweep::{Prices, Sweep, SweepEnds, SweepMode};

/// Runs a sweep as its job does.
async fn run(product: &Product, sweep: &Sweep) -> JobOutcome {
    drop(product.order("any", None).await.unwrap());
    let attempt = product.claim().await.unwrap();
    let payload = SweepPayload { account: AccountId::default_account() };
    sweep.run(payload, &attempt).await
}

/// Runs a sweep as its job does; returns when it comes again. `highest` is what chance draws.
async fn comes_again(product: &Product, highest: bool) -> Duration {
    let context = Context { randomness: Arc::new(Extreme(highest)), ..product.context.clone() };
    let outcome = run(product, &Sweep::new(context, SweepMode::Report).unwrap()).await;
    let JobOutcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
    delay
}

#[tokio::test(start_paused = true)]
async fn a_sweep_comes_again_after_its_interval_give_or_take_a_twentieth() {
    let product = Product::new().await;
    let interval = product.context.timing.sweep_interval;
    let near = |delay: Duration, share| delay.abs_diff(interval.mul_f64(share)) < Duration::from_millis(1);
    for (highest, share) in [(false, 0.95), (true, 1.05)] {
        let delay = comes_again(&product, highest).await;
        assert!(near(delay, share), "{delay:?} of {interval:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_failed_comes_again_sooner() {
    let product = Product::new().await;
    let (most, interval) = (product.context.timing.backoff_most, product.context.timing.sweep_interval);
    product.provider.fail_next(ProviderMethod::Inventory, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    let delay = comes_again(&product, false).await;
    assert_eq!(delay, most.min(interval.mul_f64(0.95)));
    assert!(delay < interval.mul_f64(0.95), "the pause of a failure is the shorter one: {delay:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_finds_no_client_is_not_made_and_comes_to_other_processes_within_thirty_seconds() {
    let product = Product::new().await;
    let (account, timing) = (AccountId::default_account(), &product.context.timing);
    for has_client in [false, true] {
        let providers = if has_client { product.context.providers.clone() } else { Arc::default() };
        let context = Context { providers, ..product.context.clone() };
        let ends = Arc::new(SweepEnds::new(timing));
        let sweep = Sweep::new(context, SweepMode::Report).unwrap().with_ends(ends.clone());
        let outcome = run(&product, &sweep).await;
        let JobOutcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
        assert_eq!(delay == Duration::from_secs(30), !has_client, "{delay:?}");
        assert_eq!(ends.age(&account).is_some(), has_client);
    }
}

/// Fails whoever asks for a price.
#[derive(Debug)]
struct Unasked;

#[async_trait]
impl Prices for Unasked {
    async fn catalog(&self, _account: &AccountId) -> Result<Arc<Catalog>, Box<dyn Error + Send + Sync>> {
        Err("there was nothing to price".into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_found_nothing_to_price_asks_for_no_prices_and_misses_none() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(3600)).await;
    let sweep = Sweep::new(product.context.clone(), SweepMode::Report).unwrap();
    let priced = sweep.clone().with_prices(Arc::new(Unasked));
    for sweep in [sweep, priced] {
        let report = sweep.once(&AccountId::default_account()).await.unwrap();
        assert_eq!((report.recorded, report.listed), (1, 1), "{order:?}");
        assert_eq!((report.findings, report.unpriced_because), (vec![], None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_finds_as_many_missing_as_before_writes_nothing_of_it() {
    let product = Product::new().await;
    let account = AccountId::default_account();
    let before = product.context.store.account(&account).await.unwrap().version;
    assert!(comes_again(&product, false).await > Duration::ZERO);
    assert_eq!(product.context.store.account(&account).await.unwrap().version, before);
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_what_is_missing_is_woken_whoever_is_recorded_before_it() {
    let product = Product::new().await;
    let mut orders = Vec::new();
    for name in ["acme", "globex", "initech"] {
        let caller = Caller { tenant: TenantId::new(name).unwrap(), ..Product::caller(None) };
        let command =
            CreateServer { spec: spec(name), accounts: vec![AccountId::default_account()], ..CreateServer::default() };
        orders.push(create_server(&product.context, &caller, &command).await.unwrap().operation);
        product.settle_within(Duration::from_secs(3600)).await;
    }
    let missing = &orders[1];
    let loaded = product.context.store.load(&missing.tenant, missing.server).await.unwrap().unwrap();
    let gone = loaded.server.provider_ref.unwrap().id;
    assert!(product.provider.vanish(&gone));
    let sweep = Sweep::new(product.context.clone(), SweepMode::Repair).unwrap();
    for _ in 0..2 {
        drop(sweep.once(&AccountId::default_account()).await.unwrap());
        tokio::time::advance(product.context.timing.sweep_grace).await;
    }
    assert_eq!(sweep.once(&AccountId::default_account()).await.unwrap().woken, 1);
    let key = crate::model::JobKey::new(format!("converge:{}", missing.server)).unwrap();
    let job = product.context.queue.find(&key).await.unwrap().unwrap();
    assert_eq!(job.tenant.as_ref(), Some(&missing.tenant));
}

#[tokio::test(start_paused = true)]
async fn a_record_without_a_server_is_not_counted_among_those_of_the_account() {
    let product = Product::new().await;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::LoseAnswer);
    product.provider.fail_next(ProviderMethod::Find, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    drop(product.order("web-1", None).await.unwrap());
    drop(product.run(product.claim().await.unwrap()).await);
    let sweep = Sweep::new(product.context.clone(), SweepMode::Report).unwrap();
    let report = sweep.once(&AccountId::default_account()).await.unwrap();
    assert_eq!((report.recorded, report.listed), (0, 1), "{report:?}");
}
