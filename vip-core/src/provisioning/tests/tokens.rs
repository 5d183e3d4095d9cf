//! When a refused token is probed, what makes a new one believed, and how many servers may be missing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::mocks::{MockProviderClient, MockStore};
use crate::model::{Account, Gate, Labels, ProviderServerId, ServerState, TokenDigest};
use crate::ports::{InventoryPage, Outlook, ProviderError, ProviderErrorKind, RateLimit, ServerView};
use crate::provisioning::sweep::{Sweep, SweepMode};
use crate::provisioning::{TokenCheck, check_token, close_gate};
use crate::resilience::{Budget, BudgetSettings, Budgeted};

const LONG: Duration = Duration::from_secs(4 * 3600);

fn account() -> AccountId {
    AccountId::default_account()
}

async fn with_running(count: usize) -> Product {
    let product = Product::new().await;
    for number in 0..count {
        let order = product.order(&format!("web-{number}"), None).await.unwrap().operation;
        product.settle_within(LONG).await;
        assert_eq!(product.server(order.server).await.state, ServerState::Running);
    }
    product
}

/// Checks a token that nobody has seen before and that shows these servers.
async fn check_new(product: &Product, token: &'static str, shows: Vec<ServerView>) -> TokenCheck {
    let mut client = MockProviderClient::new();
    client.expect_token_digest().returning(move || TokenDigest::of(token));
    client
        .expect_inventory()
        .returning(move |_owner, _page, _context| Ok(InventoryPage { servers: shows.clone(), next: None }));
    let client: Arc<dyn ProviderClient> = Arc::new(client);
    let providers = Arc::new(BTreeMap::from([(account(), client)]));
    check_token(&Context { providers, ..product.context.clone() }, &account()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_believed_if_it_shows_one_of_our_servers_and_suspect_if_it_shows_none() {
    let product = with_running(2).await;
    let servers = product.provider.servers();
    let [first, second] = &servers[..] else { panic!("{servers:?}") };
    assert_eq!(check_new(&product, "both", servers.clone()).await, TokenCheck::Open);
    assert_eq!(check_new(&product, "first", vec![first.clone()]).await, TokenCheck::Open);
    assert_eq!(check_new(&product, "second", vec![second.clone()]).await, TokenCheck::Open);
    let unlabelled = ServerView { labels: Labels::new(), ..first.clone() };
    let exchanged = ServerView { labels: second.labels.clone(), ..first.clone() };
    for (token, shows) in [("none", vec![]), ("unlabelled", vec![unlabelled]), ("exchanged", vec![exchanged])] {
        let check = check_new(&product, token, shows).await;
        assert!(matches!(check, TokenCheck::Suspect { .. }), "{token}: {check:?}");
    }
    let nothing_recorded = Product::new().await;
    assert_eq!(check_new(&nothing_recorded, "first", vec![first.clone()]).await, TokenCheck::Open);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_believed_for_want_of_servers_has_to_show_the_first_one() {
    let product = Product::new().await;
    for token in ["same", "other"] {
        assert_eq!(check_new(&product, token, vec![]).await, TokenCheck::Open);
    }
    drop(product.order("web-1", None).await.unwrap());
    product.settle_within(LONG).await;
    assert_eq!(check_new(&product, "same", product.provider.servers()).await, TokenCheck::Open);
    assert_eq!(check_new(&product, "same", vec![]).await, TokenCheck::Open, "it has shown it");
    assert!(matches!(check_new(&product, "other", vec![]).await, TokenCheck::Suspect { .. }), "and this one has not");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_suspect_for_a_server_that_it_has_just_made_and_does_not_list_yet() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    drop(product.run(product.claim().await.unwrap()).await);
    assert_eq!(product.server(order.server).await.state, ServerState::Confirming);
    close_gate(&product.context, &account(), false).await.unwrap();
    tokio::time::advance(product.context.timing.probe_first * 2).await;
    assert_eq!(product.provider.token_digest(), TokenDigest::of("memory"));
    assert_eq!(check_new(&product, "memory", vec![]).await, TokenCheck::Open);
}

/// Checks a new token whose answers say, each of them, that few of many requests are left; a page that is none fails.
async fn check_when_short(product: &Product, pages: Vec<Option<Vec<ServerView>>>) -> TokenCheck {
    let answers = Arc::new(AtomicU64::new(0));
    let counted = answers.clone();
    let mut client = MockProviderClient::new();
    client.expect_token_digest().returning(|| TokenDigest::of("short"));
    client.expect_outlook().returning(move || {
        let rate = RateLimit { limit_per_hour: 3600, remaining: 100, answers: answers.load(Ordering::SeqCst) };
        Outlook { rate: Some(rate), ..Outlook::default() }
    });
    client.expect_inventory().returning(move |_owner, page, _context| {
        counted.fetch_add(1, Ordering::SeqCst);
        let place = usize::try_from(page).unwrap();
        let next = Some(page + 1).filter(|_| place < pages.len());
        let cut = || ProviderError::new(ProviderErrorKind::Unknown, "cut");
        Ok(InventoryPage { servers: pages[place - 1].clone().ok_or_else(cut)?, next })
    });
    let budget = Arc::new(Budget::new(&BudgetSettings::default()).unwrap());
    let client: Arc<dyn ProviderClient> = Arc::new(Budgeted::new(Arc::new(client), budget));
    let providers = Arc::new(BTreeMap::from([(account(), client)]));
    check_token(&Context { providers, ..product.context.clone() }, &account()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_checked_although_others_use_up_the_requests_of_its_project() {
    let product = with_running(1).await;
    let ours = product.provider.servers();
    let (id, labels) = (ProviderServerId::new("99").unwrap(), Labels::new());
    let strange = vec![ServerView { id, labels, ..ours[0].clone() }];
    assert_eq!(check_when_short(&product, vec![Some(strange), Some(ours)]).await, TokenCheck::Open);
}

#[tokio::test(start_paused = true)]
async fn a_check_reads_no_page_behind_the_one_that_shows_a_recorded_server() {
    let product = with_running(1).await;
    let ours = product.provider.servers();
    assert_eq!(check_when_short(&product, vec![Some(ours), None]).await, TokenCheck::Open);
}

/// Checks a new token; when its list has been read, which is empty, the records show what they do not show before.
pub(super) async fn check_while_an_order_ends(product: &Product) -> TokenCheck {
    let recorded = product.context.store.references(&account()).await.unwrap();
    let now = product.context.store.now().await.unwrap();
    let is_read = Arc::new(AtomicBool::new(false));
    let mut client = MockProviderClient::new();
    client.expect_token_digest().returning(|| TokenDigest::of("new"));
    let reads = is_read.clone();
    client.expect_inventory().returning(move |_owner, _page, _context| {
        reads.store(true, Ordering::SeqCst);
        Ok(InventoryPage { servers: vec![], next: None })
    });
    let mut store = MockStore::new();
    let known = product.context.store.account(&account()).await.unwrap();
    store.expect_account().returning(move |_id| Ok(known.clone()));
    store.expect_now().returning(move || Ok(now));
    store.expect_save_account().returning(|_account| Ok(()));
    store
        .expect_references()
        .returning(move |_id| Ok(if is_read.load(Ordering::SeqCst) { recorded.clone() } else { vec![] }));
    let client: Arc<dyn ProviderClient> = Arc::new(client);
    let providers = Arc::new(BTreeMap::from([(account(), client)]));
    let context = Context { providers, store: Arc::new(store), ..product.context.clone() };
    check_token(&context, &account()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_ends_while_a_new_token_is_checked_does_not_speak_against_it() {
    let product = with_running(1).await;
    assert_eq!(check_while_an_order_ends(&product).await, TokenCheck::Open);
    assert!(
        matches!(check_new(&product, "none", vec![]).await, TokenCheck::Suspect { .. }),
        "what was there before does"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_probed_when_its_time_has_come_and_not_before() {
    let product = Product::new().await;
    let (context, digest) = (&product.context, product.provider.token_digest());
    let known = async || context.store.account(&account()).await.unwrap();
    let gate = |account: &Account| account.gate(&digest).map(|entry| (entry.gate.clone(), entry.probes)).unwrap();
    let inventories = || product.provider.calls(ProviderMethod::Inventory);
    let minute = context.timing.probe_first;
    let probe_at = context.store.now().await.unwrap().plus(minute);
    let blocked = Gate::Blocked { probe_at };
    context.store.save_account(&known().await.with_gate(&digest, blocked.clone(), 3)).await.unwrap();
    let before = inventories();
    tokio::time::advance(minute - Duration::from_millis(1)).await;
    assert_eq!(check_token(context, &account()).await.unwrap(), TokenCheck::Blocked { probe_at });
    assert_eq!(inventories(), before, "not even asked");

    tokio::time::advance(Duration::from_millis(1)).await;
    product.provider.fail_next(ProviderMethod::Inventory, ProviderFault::Refuse(ProviderErrorKind::Busy));
    assert_eq!(check_token(context, &account()).await.unwrap(), TokenCheck::Unanswered);
    assert_eq!((inventories(), gate(&known().await)), (before + 1, (blocked, 3)), "another error says nothing of it");

    product.provider.fail_next(ProviderMethod::Inventory, ProviderFault::Refuse(ProviderErrorKind::Unauthorized));
    let refused = check_token(context, &account()).await.unwrap();
    let TokenCheck::Blocked { probe_at: told } = refused else { panic!("{refused:?}") };
    assert!(told.since(probe_at) >= minute && told.since(probe_at) <= minute.mul_f64(1.1), "{told:?}");
    let (Gate::Blocked { probe_at: next }, 4) = gate(&known().await) else { panic!("{:?}", known().await) };
    let delay = next.since(probe_at);
    assert!(delay > minute * 8 && delay <= (minute * 8).mul_f64(1.1), "three probes before it: {delay:?}");

    tokio::time::advance(delay).await;
    assert_eq!(check_token(context, &account()).await.unwrap(), TokenCheck::Open);
    assert_eq!(gate(&known().await), (Gate::Open, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_no_list_has_to_show_does_not_make_a_list_without_any_of_the_others_believed() {
    let product = with_running(5).await;
    let vanish = |server: &ServerView| assert!(product.provider.vanish(&server.id));
    let servers = product.provider.servers();
    vanish(&servers[0]);
    let sweep = Sweep::new(product.context.clone(), SweepMode::Report).unwrap();
    for _ in 0..3 {
        drop(sweep.once(&account()).await.unwrap());
        product.settle_within(LONG).await;
        tokio::time::advance(product.context.timing.sweep_grace).await;
    }
    let states = product.context.store.references(&account()).await.unwrap();
    assert_eq!(states.iter().filter(|record| record.state == ServerState::Lost).count(), 1);
    servers[1..].iter().for_each(vanish);
    drop(sweep.once(&account()).await.unwrap());
    let known = product.context.store.account(&account()).await.unwrap();
    let gate = known.gate(&product.provider.token_digest()).map(|entry| entry.gate.clone());
    assert!(matches!(gate, Some(Gate::Suspect { .. })), "all four that run are missing: {gate:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_shows_one_of_ours_is_believed_although_all_that_should_run_are_missing() {
    let product = with_running(3).await;
    let servers = product.provider.servers();
    let wanted = servers[0].server_label().unwrap();
    drop(product.delete(wanted).await.unwrap());
    servers[1..].iter().for_each(|server| assert!(product.provider.vanish(&server.id)));
    let sweep = Sweep::new(product.context.clone(), SweepMode::Report).unwrap();
    drop(sweep.once(&account()).await.unwrap());
    let known = product.context.store.account(&account()).await.unwrap();
    let gate = known.gate(&product.provider.token_digest()).map(|entry| entry.gate.clone());
    assert_eq!(gate, Some(Gate::Open), "two of three are missing, and the third is there");
}

/// Five, or a fifth of what is recorded, are what somebody may have removed; all of two or more are another project.
#[tokio::test(start_paused = true)]
async fn one_server_more_than_may_be_missing_makes_the_account_suspect() {
    for (recorded, missing, is_suspect) in
        [(1, 1, false), (2, 2, true), (8, 5, false), (8, 6, true), (35, 7, false), (35, 8, true)]
    {
        let product = with_running(recorded).await;
        for gone in product.provider.servers().iter().take(missing) {
            assert!(product.provider.vanish(&gone.id));
        }
        let sweep = Sweep::new(product.context.clone(), SweepMode::Report).unwrap();
        drop(sweep.once(&account()).await.unwrap());
        let known = product.context.store.account(&account()).await.unwrap();
        let gate = known.gate(&product.provider.token_digest()).map(|entry| entry.gate.clone());
        assert_eq!(gate != Some(Gate::Open), is_suspect, "{missing} of {recorded}: {gate:?}");
    }
}
