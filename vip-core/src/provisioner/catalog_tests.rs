//! The catalog as a host sees it: kept, shared, stale within bounds, and in the way of no order.

use super::*;
use crate::memory::{MemoryBackend, MemoryCache, MemoryProvider, ProviderFault, ProviderMethod, VirtualClock};
use crate::model::{ServerSpec, Timestamp};
use crate::ports::{CatalogLocation, Clock, ProviderErrorKind, SeededRandomness};
use crate::resilience::cached::{Ages, Freshness, LoadError, StaleReason};
use crate::runtime::HealthStatus;

const DOWN: ProviderFault = ProviderFault::Refuse(ProviderErrorKind::Unknown);

fn clock() -> Arc<dyn Clock> {
    Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000_000)))
}

fn default_account() -> AccountId {
    AccountId::default_account()
}

fn offering(locations: &[&str]) -> MemoryProvider {
    let provider = MemoryProvider::default();
    offer(&provider, locations);
    provider
}

fn offer(provider: &MemoryProvider, locations: &[&str]) {
    let location = |name: &&str| CatalogLocation { name: (*name).to_owned(), network_zone: "zone".to_owned() };
    provider.offer(Catalog { locations: locations.iter().map(location).collect(), ..Catalog::default() });
}

fn builder(clock: &Arc<dyn Clock>, provider: &MemoryProvider) -> Builder {
    let memory = MemoryBackend::new(clock.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(7)));
    Provisioner::builder(memory).provider(provider.clone()).randomness(SeededRandomness::new(1))
}

async fn locations(product: &Provisioner) -> Vec<String> {
    let catalog = product.catalog(&default_account()).await.unwrap();
    catalog.value.locations.iter().map(|location| location.name.clone()).collect()
}

/// Lets tasks that are ready run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn fail_catalogs(provider: &MemoryProvider, times: usize) {
    for _ in 0..times {
        provider.fail_next(ProviderMethod::Catalog, DOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_the_last_catalog_is_shown_as_stale_with_the_reason_and_only_up_to_its_hard_age() {
    let provider = offering(&["here"]);
    let product = builder(&clock(), &provider).start().await.unwrap();
    assert_eq!(locations(&product).await, ["here"]);
    assert_eq!((locations(&product).await.len(), provider.calls(ProviderMethod::Catalog)), (1, 1));
    fail_catalogs(&provider, 100_000);
    tokio::time::advance(Ages::CATALOG.soft()).await;
    drop(product.catalog(&default_account()).await.unwrap());
    settle().await;
    let stale = product.tenant("acme").catalog(&default_account()).await.unwrap();
    assert!(matches!(stale.freshness, Freshness::Stale { why: StaleReason::RefreshFailed(_) }), "{stale:?}");
    let health = product.health().await;
    let part = health.parts.iter().find(|part| part.name == "catalog:default").unwrap();
    assert_eq!(part.status, HealthStatus::Degraded, "{part:?}");
    tokio::time::advance(Ages::CATALOG.hard() - Ages::CATALOG.soft()).await;
    let error = product.catalog(&default_account()).await.unwrap_err();
    let CatalogError::Unavailable { source: LoadError::Failed(error) } = error else { panic!("{error:?}") };
    assert_eq!(error.kind, ProviderErrorKind::Unknown);
    assert_eq!(product.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn no_order_asks_for_the_catalog_or_waits_for_it() {
    let provider = offering(&[]);
    fail_catalogs(&provider, 100);
    let product = builder(&clock(), &provider).start().await.unwrap();
    assert!(product.catalog(&default_account()).await.is_err());
    let asked = provider.calls(ProviderMethod::Catalog);
    let spec = ServerSpec::new("web-1").server_type("unlisted").image("i").location("l").ssh_key("k");
    product.tenant("acme").create_server(spec).await.unwrap().wait().await.unwrap();
    assert_eq!(provider.calls(ProviderMethod::Catalog), asked);
    assert_eq!(product.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn processes_share_a_catalog_and_one_that_could_not_be_forgotten_is_not_shown() {
    let clock = clock();
    let cache = MemoryCache::new(clock.clone());
    let (one, two) = (offering(&["here"]), offering(&["here"]));
    let first = builder(&clock, &one).cache(cache.clone()).client_only().await.unwrap();
    let second = builder(&clock, &two).cache(cache.clone()).client_only().await.unwrap();
    assert_eq!(locations(&first).await, ["here"]);
    settle().await;
    assert_eq!(locations(&second).await, ["here"]);
    assert_eq!((one.calls(ProviderMethod::Catalog), two.calls(ProviderMethod::Catalog)), (1, 0));

    offer(&two, &["here", "there"]);
    cache.fail_next(1);
    let refused = second.operator().forget_catalog(&default_account()).await;
    assert!(matches!(refused, Err(CatalogError::NotInvalidated(_))), "{refused:?}");
    assert_eq!(locations(&second).await, ["here", "there"]);
    settle().await;
    second.operator().forget_catalog(&default_account()).await.unwrap();
    drop((first.shutdown(Duration::ZERO).await, second.shutdown(Duration::ZERO).await));
    assert!(second.catalog(&default_account()).await.is_err(), "after the shutdown nothing is loaded");
}
