//! Tokens that were believed because there was nothing to see, once there is something.

use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::model::{Gate, GateEntry, Labels, ServerState, WaitReason};
use crate::ports::ProviderErrorKind;
use crate::provisioning::sweep::{Sweep, SweepMode};
use crate::provisioning::{TokenCheck, check_token};

const LONG: Duration = Duration::from_secs(600);

fn account() -> AccountId {
    AccountId::default_account()
}

/// Starts with another token on the store of a product.
async fn started(product: &Product, provider: &MemoryProvider) -> (Product, TokenCheck) {
    let client: Arc<dyn ProviderClient> = Arc::new(provider.clone());
    let context = Context { providers: Arc::new(BTreeMap::from([(account(), client)])), ..product.context.clone() };
    let converge = Converge::new(context.clone()).unwrap();
    let check = check_token(&context, &account()).await.unwrap();
    (Product { context, provider: provider.clone(), memory: product.memory.clone(), converge }, check)
}

async fn entry(product: &Product) -> Option<GateEntry> {
    let known = product.context.store.account(&account()).await.unwrap();
    known.gate(&product.provider.token_digest()).cloned()
}

async fn running(product: &Product) -> ServerId {
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(LONG).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
    order.server
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_project_that_was_believed_on_the_first_day_deletes_nothing_later() {
    let production = Product::new().await;
    let staging = MemoryProvider::with_token(Duration::from_secs(10), "staging");
    assert_eq!(started(&production, &staging).await.1, TokenCheck::Open);
    let server = running(&production).await;
    tokio::time::advance(production.context.timing.landing_allowance).await;

    let (back, check) = started(&production, &staging).await;
    assert!(matches!(check, TokenCheck::Suspect { .. }), "{check:?}");
    drop(back.delete(server).await.unwrap());
    back.settle_within(LONG).await;
    assert!(matches!(entry(&back).await.unwrap().gate, Gate::Suspect { .. }));
    let waiting = back.server(server).await;
    assert_eq!((waiting.state, waiting.wait_reason), (ServerState::Deleting, Some(WaitReason::AccountBlocked)));
    for method in [ProviderMethod::Create, ProviderMethod::Delete, ProviderMethod::Find, ProviderMethod::Get] {
        assert_eq!(staging.calls(method), 0, "{method:?}");
    }
    assert_eq!(production.provider.servers().len(), 1);

    production.settle_within(LONG).await;
    assert_eq!(production.server(server).await.state, ServerState::Deleted);
    assert_eq!(production.provider.servers().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_project_that_is_in_use_is_used_no_more_once_another_has_shown_a_server() {
    let production = Product::new().await;
    let staging = MemoryProvider::with_token(Duration::from_secs(10), "staging");
    let (wrong, check) = started(&production, &staging).await;
    assert_eq!(check, TokenCheck::Open);
    let server = running(&production).await;
    drop(production.delete(server).await.unwrap());
    drop(wrong.run(wrong.claim().await.unwrap()).await);
    assert_eq!(wrong.server(server).await.state, ServerState::Deleting);
    assert_eq!((entry(&wrong).await, staging.calls(ProviderMethod::Delete)), (None, 0));
    assert!(entry(&production).await.unwrap().is_known());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_believed_while_an_account_was_empty_again_is_checked_once_it_is_not() {
    let production = Product::new().await;
    let first = running(&production).await;
    drop(production.delete(first).await.unwrap());
    production.settle_within(LONG).await;
    assert_eq!(production.server(first).await.state, ServerState::Deleted);
    assert!(entry(&production).await.unwrap().is_known(), "by a server that is gone");
    let staging = MemoryProvider::with_token(Duration::from_secs(10), "staging");
    let (wrong, check) = started(&production, &staging).await;
    assert_eq!(check, TokenCheck::Open);

    let server = running(&production).await;
    assert_eq!(entry(&wrong).await, None);
    drop(production.delete(server).await.unwrap());
    drop(wrong.run(wrong.claim().await.unwrap()).await);
    assert_eq!(wrong.server(server).await.state, ServerState::Deleting);
    assert_eq!((staging.calls(ProviderMethod::Delete), production.provider.servers().len()), (0, 1));
    let (_back, check) = started(&production, &staging).await;
    assert!(matches!(check, TokenCheck::Suspect { .. }), "{check:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_known_by_the_servers_that_it_has_made_and_no_list_is_read_for_that() {
    let product = Product::new().await;
    let lists = product.provider.calls(ProviderMethod::Inventory);
    assert!(!entry(&product).await.unwrap().is_known());
    running(&product).await;
    assert!(entry(&product).await.unwrap().is_known());
    assert_eq!(check_token(&product.context, &account()).await.unwrap(), TokenCheck::Open);
    assert_eq!(product.provider.calls(ProviderMethod::Inventory), lists);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_lists_a_recorded_server_makes_its_token_known() {
    let product = Product::new().await;
    running(&product).await;
    let mut earlier = product.context.store.account(&account()).await.unwrap();
    earlier.gates.iter_mut().for_each(|entry| entry.shown = false);
    product.context.store.save_account(&earlier).await.unwrap();
    assert!(!entry(&product).await.unwrap().is_known(), "as an earlier version wrote it");
    Sweep::new(product.context.clone(), SweepMode::default()).unwrap().once(&account()).await.unwrap();
    assert!(entry(&product).await.unwrap().is_known());
}

#[tokio::test(start_paused = true)]
async fn until_a_token_has_shown_the_first_server_it_is_not_used() {
    let production = Product::new().await;
    let staging = MemoryProvider::with_token(Duration::from_secs(10), "staging");
    drop(started(&production, &staging).await);
    running(&production).await;
    staging.fail_next(ProviderMethod::Inventory, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    let (back, check) = started(&production, &staging).await;
    assert_eq!((check, entry(&back).await), (TokenCheck::Unanswered, None), "as one that nobody has checked");
    assert!(matches!(started(&production, &staging).await.1, TokenCheck::Suspect { .. }));
}

/// A look whose token could not be noted is made again.
#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn no_server_is_recorded_to_run_before_its_token_is_known() {
    use futures_util::FutureExt as _;

    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    drop(product.run(product.claim().await.unwrap()).await);
    tokio::time::advance(Duration::from_secs(60)).await;
    let mut store = crate::mocks::MockStore::new();
    let (loads, accounts) = (product.context.store.clone(), product.context.store.clone());
    store.expect_load().returning(move |tenant, server| loads.load(tenant, server).now_or_never().unwrap());
    store.expect_account().returning(move |id| accounts.account(id).now_or_never().unwrap());
    let away = || crate::ports::StoreError::Unavailable { source: "away".into() };
    store.expect_save_account().times(1).returning(move |_account| Err(away()));
    let context = Context { store: Arc::new(store), ..product.context.clone() };
    let attempt = product.claim().await.unwrap();
    let outcome = Converge::new(context).unwrap().run(attempt.job().payload.decode().unwrap(), &attempt).await;
    assert!(matches!(outcome, JobOutcome::Snooze { .. }), "{outcome:?}");
    assert_eq!(product.server(order.server).await.state, ServerState::Confirming);

    product.settle_within(LONG).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Running);
    assert!(entry(&product).await.unwrap().is_known());
}

/// Another project has a server of somebody else under the id that is recorded.
#[tokio::test(start_paused = true)]
async fn a_server_without_our_labels_under_the_recorded_id_makes_no_token_known() {
    let production = Product::new().await;
    let staging = MemoryProvider::with_token(Duration::from_secs(10), "staging");
    let foreign = staging.put("foreign", Labels::new()).unwrap();
    let (wrong, check) = started(&production, &staging).await;
    assert_eq!(check, TokenCheck::Open);
    let order = production.order("web-1", None).await.unwrap().operation;
    drop(production.run(production.claim().await.unwrap()).await);
    assert_eq!(production.server(order.server).await.provider_ref.unwrap().id, foreign);
    tokio::time::advance(Duration::from_secs(60)).await;
    drop(wrong.run(wrong.claim().await.unwrap()).await);
    assert_eq!((staging.calls(ProviderMethod::Get), production.provider.calls(ProviderMethod::Get)), (1, 0));
    assert!(!entry(&wrong).await.unwrap().is_known());
    assert_eq!(entry(&production).await.map(|entry| entry.gate), Some(Gate::Open), "no other is shut out by it");
}
