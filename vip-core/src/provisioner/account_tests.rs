//! Several accounts in one product: where orders go, what they do without stock, and that one stopped account is alone.

use super::*;
use crate::memory::{
    MemoryBackend, MemoryProvider, MemoryStock, ProviderFault, ProviderMethod, VirtualClock, memory_backend,
};
use crate::model::{Gate, ServerSpec, ServerState, Timestamp, Timing, WaitReason};
use crate::ports::{Clock, ProviderClient, ProviderErrorKind, SeededRandomness, ServerView};
use crate::provisioning::sweep::SweepMode;

const CREATE_TIME: Duration = Duration::from_secs(10);
const TYPES: [&str; 2] = ["small", "large"];
const LOCATIONS: [&str; 2] = ["here", "there"];

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

pub(super) fn backend() -> MemoryBackend {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000_000)));
    MemoryBackend::new(clock, InstallationId::from_uuid(uuid::Uuid::from_u128(7)))
}

pub(super) fn cloud(token: &str) -> MemoryProvider {
    MemoryProvider::with_token(CREATE_TIME, token)
}

fn spec(name: &str) -> ServerSpec {
    let spec = ServerSpec::new(name).image("i").ssh_key("k");
    let spec = TYPES.iter().fold(spec, |spec, server_type| spec.server_type(*server_type));
    LOCATIONS.iter().fold(spec, |spec, location| spec.location(*location))
}

/// Starts a product with the accounts `a` and `b`.
pub(super) async fn start(
    backend: &MemoryBackend,
    a: &MemoryProvider,
    b: &MemoryProvider,
    placement: Placement,
) -> Provisioner {
    let builder = Provisioner::builder(backend.clone()).randomness(SeededRandomness::new(1)).placement(placement);
    builder.account(account("a"), a.clone()).account(account("b"), b.clone()).start().await.unwrap()
}

pub(super) async fn order_in(product: &Provisioner, name: &str, accounts: &[&str]) -> OperationHandle {
    let order = product.tenant("acme").create_server(spec(name));
    accounts.iter().fold(order, |order, name| order.account(account(name))).await.unwrap()
}

fn places(servers: &[ServerView]) -> Vec<(String, String)> {
    servers.iter().map(|server| (server.server_type.clone(), server.location.clone())).collect()
}

/// Lets the product work for a while.
async fn pass(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

pub(super) async fn stop(product: Provisioner) {
    assert_eq!(product.shutdown(Duration::from_secs(30)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_in_stock_is_taken_in_the_order_of_preference_and_each_is_asked_once() {
    let candidates: Vec<(&str, &str)> =
        LOCATIONS.iter().flat_map(|place| TYPES.iter().map(move |kind| (*kind, *place))).collect();
    // Every mix of sold-out candidates that leaves one.
    for mix in 0..15_u32 {
        let (a, b) = (cloud("a"), cloud("b"));
        for (bit, (server_type, location)) in candidates.iter().enumerate().filter(|(bit, _)| mix & (1 << bit) != 0) {
            assert!(bit < 4);
            a.stock(server_type, location, MemoryStock::SoldOut);
        }
        let first = mix.trailing_ones() as usize;
        let product = start(&backend(), &a, &b, Placement::Named).await;
        order_in(&product, "web-1", &["a"]).await.wait().await.unwrap();
        let (server_type, location) = candidates[first];
        assert_eq!(places(&a.servers()), [(server_type.to_owned(), location.to_owned())], "mix {mix:04b}");
        assert_eq!(a.calls(ProviderMethod::Create), first as u64 + 1, "mix {mix:04b}");
        assert_eq!(b.calls(ProviderMethod::Create), 0);
        stop(product).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_without_stock_anywhere_waits_visibly_and_is_fulfilled_when_there_is_some() {
    let (a, b) = (cloud("a"), cloud("b"));
    for cloud in [&a, &b] {
        for (server_type, location) in TYPES.iter().flat_map(|kind| LOCATIONS.iter().map(move |place| (kind, place))) {
            cloud.stock(server_type, location, MemoryStock::SoldOut);
        }
    }
    let product = start(&backend(), &a, &b, Placement::Named).await;
    let order = order_in(&product, "web-1", &["a", "b"]).await;
    let waited = tokio::time::timeout(Duration::from_secs(3600), order.wait()).await;
    assert!(waited.is_err(), "{waited:?}");
    let progress = order.progress().await.unwrap();
    assert_eq!(progress.wait_reason, Some(WaitReason::NoStock));
    assert!(progress.next_at.is_some(), "when it is tried again is said");
    // Both accounts are asked for all four candidates in each round, and a round is at most every 15 s.
    let (asked_a, asked_b) = (a.calls(ProviderMethod::Create), b.calls(ProviderMethod::Create));
    assert_eq!(asked_a, asked_b);
    assert!((24..=960).contains(&asked_a), "{asked_a}");
    b.stock("large", "there", MemoryStock::Available);
    order.wait().await.unwrap();
    assert_eq!((a.servers().len(), places(&b.servers())), (0, vec![("large".to_owned(), "there".to_owned())]));
    stop(product).await;
}

/// Orders in `a` and then `b`, where the first create in `a` has no answer and `a` is sold out afterwards.
async fn open_question(fault: ProviderFault) -> (MemoryProvider, MemoryProvider, Duration) {
    let (a, b) = (cloud("a"), cloud("b"));
    let product = start(&backend(), &a, &b, Placement::Named).await;
    a.fail_next(ProviderMethod::Create, fault);
    for _ in 0..8 {
        a.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Exhausted));
    }
    let begun = tokio::time::Instant::now();
    order_in(&product, "web-1", &["a", "b"]).await.wait().await.unwrap();
    let took = begun.elapsed();
    stop(product).await;
    (a, b, took)
}

#[tokio::test(start_paused = true)]
async fn c4_a_create_that_lands_late_in_one_account_meets_no_create_in_another() {
    let (a, b, _) = open_question(ProviderFault::HappenLater(Duration::from_secs(120))).await;
    assert_eq!((a.ever_created().len(), b.ever_created().len()), (1, 0));
    assert_eq!(b.calls(ProviderMethod::Create), 0);
}

#[tokio::test(start_paused = true)]
async fn c4_another_account_is_tried_once_a_look_after_the_last_landing_found_nothing() {
    // It would land in two days: never, as far as the allowance goes.
    let (a, b, took) = open_question(ProviderFault::HappenLater(Duration::from_secs(2 * 86400))).await;
    assert_eq!((a.ever_created().len(), b.ever_created().len()), (0, 1));
    assert!(took >= Timing::default().landing_allowance, "{took:?}");
    assert!(a.calls(ProviderMethod::Find) >= 3, "looked for after each create and once more after the landing");
}

#[tokio::test(start_paused = true)]
async fn orders_go_to_the_account_that_is_listed_first_unless_the_least_loaded_is_wanted() {
    let backend = backend();
    let (a, b) = (cloud("a"), cloud("b"));
    let named = start(&backend, &a, &b, Placement::Named).await;
    for number in 0..4 {
        order_in(&named, &format!("named-{number}"), &[]).await.wait().await.unwrap();
    }
    assert_eq!((a.servers().len(), b.servers().len()), (4, 0));
    stop(named).await;

    let least = start(&backend, &a, &b, Placement::LeastLoaded).await;
    let mut orders = Vec::new();
    for number in 0..8 {
        orders.push(order_in(&least, &format!("least-{number}"), &[]).await);
    }
    for order in orders {
        order.wait().await.unwrap();
    }
    assert_eq!((a.servers().len(), b.servers().len()), (6, 6));
    // An order that names its account is placed as it says.
    for number in 0..3 {
        order_in(&least, &format!("own-{number}"), &["a"]).await.wait().await.unwrap();
    }
    assert_eq!((a.servers().len(), b.servers().len()), (9, 6));
    stop(least).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_project_stops_its_account_alone() {
    let backend = backend();
    let (a, b) = (cloud("a"), cloud("b"));
    let before = start(&backend, &a, &b, Placement::Named).await;
    for name in ["a", "b"] {
        order_in(&before, &format!("old-{name}"), &[name]).await.wait().await.unwrap();
    }
    stop(before).await;

    let elsewhere = cloud("another project");
    let product = start(&backend, &elsewhere, &b, Placement::Named).await;
    let stopped = order_in(&product, "new-a", &["a"]).await;
    order_in(&product, "new-b", &["b"]).await.wait().await.unwrap();
    pass(Duration::from_secs(3600)).await;
    assert!(matches!(stopped.wait().await, Err(WaitError::Parked { .. })), "it reads as parked while it is stopped");
    assert_eq!(stopped.progress().await.unwrap().wait_reason, Some(WaitReason::AccountBlocked));
    assert_eq!((elsewhere.ever_created().len(), b.servers().len()), (0, 2));
    assert!(product.catalog(&account("a")).await.is_err() && product.catalog(&account("b")).await.is_ok());
    for method in [ProviderMethod::Create, ProviderMethod::Find, ProviderMethod::Get, ProviderMethod::Catalog] {
        assert_eq!(elsewhere.calls(method), 0, "{method:?}");
    }
    let gate = |state: crate::model::Account, digest| state.gate(&digest).unwrap().gate.clone();
    let operator = product.operator();
    let of_a = gate(operator.account(&account("a")).await.unwrap(), elsewhere.token_digest());
    assert!(matches!(of_a, Gate::Suspect { .. }), "{of_a:?}");
    assert_eq!(gate(operator.account(&account("b")).await.unwrap(), b.token_digest()), Gate::Open);
    stop(product).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_suddenly_shows_another_project_is_stopped_alone() {
    let (a, b) = (cloud("a"), cloud("b"));
    let product = start(&backend(), &a, &b, Placement::Named).await;
    let mut servers = Vec::new();
    for number in 0..3 {
        servers.push(order_in(&product, &format!("a-{number}"), &["a"]).await.wait().await.unwrap().id);
        order_in(&product, &format!("b-{number}"), &["b"]).await.wait().await.unwrap();
    }
    for server in a.servers() {
        assert!(a.vanish(&server.id));
    }
    product.operator().sweep(&account("a"), SweepMode::Repair).await.unwrap();
    let stopped = order_in(&product, "a-new", &["a"]).await;
    order_in(&product, "b-new", &["b"]).await.wait().await.unwrap();
    pass(Duration::from_secs(3600)).await;
    assert!(matches!(stopped.wait().await, Err(WaitError::Parked { .. })), "it reads as parked while it is stopped");
    assert_eq!(stopped.progress().await.unwrap().wait_reason, Some(WaitReason::AccountBlocked));
    assert_eq!((a.ever_created().len(), b.servers().len()), (3, 4));
    for server in servers {
        assert_eq!(product.tenant("acme").server(server).await.unwrap().state, ServerState::Running);
    }
    let parts = product.health().await.parts;
    let status = |name: &str| parts.iter().find(|part| part.name == name).unwrap().status;
    assert_eq!(status("account:a"), crate::runtime::HealthStatus::Degraded);
    assert_eq!(status("account:b"), crate::runtime::HealthStatus::Ok);
    stop(product).await;
}

#[tokio::test(start_paused = true)]
async fn health_names_an_account_that_servers_need_and_nobody_here_can_ask() {
    let backend = backend();
    let (a, b) = (cloud("a"), cloud("b"));
    let both = start(&backend, &a, &b, Placement::Named).await;
    let server = order_in(&both, "web-1", &["b"]).await.wait().await.unwrap().id;
    stop(both).await;

    let parts = |health: crate::runtime::HealthReport| -> Vec<(String, crate::runtime::HealthStatus)> {
        let of_b = health.parts.into_iter().filter(|part| part.name == "account:b");
        of_b.map(|part| (part.name, part.status)).collect()
    };
    let without = Provisioner::builder(backend.clone()).account(account("a"), a.clone()).start().await.unwrap();
    let degraded = vec![("account:b".to_owned(), crate::runtime::HealthStatus::Degraded)];
    assert_eq!(parts(without.health().await), degraded);
    stop(without).await;
    let accepting = Provisioner::builder(backend.clone()).account(account("a"), a.clone()).client_only().await.unwrap();
    assert_eq!(parts(accepting.health().await), [], "it asks no provider");

    let again = start(&backend, &a, &b, Placement::Named).await;
    again.tenant("acme").delete_server(server).await.unwrap().wait().await.unwrap();
    stop(again).await;
    let empty = Provisioner::builder(backend).account(account("a"), a).start().await.unwrap();
    assert_eq!(parts(empty.health().await), [], "nothing is there any more");
    stop(empty).await;
}

/// Returns the names under which a process says that it cannot ask an account.
async fn not_asked(product: &Provisioner) -> Vec<String> {
    let parts = product.health().await.parts.into_iter();
    let degraded = parts.filter(|part| part.status == crate::runtime::HealthStatus::Degraded);
    degraded.map(|part| part.name).filter(|name| name.starts_with("account:")).collect()
}

#[tokio::test(start_paused = true)]
async fn health_names_an_account_that_orders_wait_for_though_nothing_was_ever_announced_in_it() {
    let (backend, a) = (backend(), cloud("a"));
    // Who accepts and names no account means `default`; who works has another name for it.
    let accepting = Provisioner::builder(backend.clone()).client_only().await.unwrap();
    let order = order_in(&accepting, "web-1", &[]).await;
    let working = Provisioner::builder(backend).account(account("a"), a.clone()).start().await.unwrap();
    pass(Duration::from_secs(3600)).await;
    assert_eq!(order.progress().await.unwrap().wait_reason, Some(WaitReason::AccountBlocked));
    assert_eq!(not_asked(&working).await, ["account:default"]);
    assert!(not_asked(&accepting).await.is_empty(), "it asks no provider");
    assert_eq!(a.calls(ProviderMethod::Create), 0);
    stop(working).await;
}

#[tokio::test(start_paused = true)]
async fn health_names_the_account_that_an_order_has_moved_on_to_and_nobody_here_can_ask() {
    let (backend, a, b) = (backend(), cloud("a"), cloud("b"));
    let accepting = Provisioner::builder(backend.clone()).account(account("a"), a.clone()).account(account("b"), b);
    let accepting = accepting.client_only().await.unwrap();
    let order = order_in(&accepting, "web-1", &["a", "b"]).await;
    a.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::AccountLimit));
    let working = Provisioner::builder(backend).account(account("a"), a.clone()).start().await.unwrap();
    pass(Duration::from_secs(3600)).await;
    assert_eq!(order.progress().await.unwrap().wait_reason, Some(WaitReason::AccountBlocked));
    assert_eq!(not_asked(&working).await, ["account:b"]);
    assert_eq!(a.calls(ProviderMethod::Create), 1);
    stop(working).await;
}

#[tokio::test(start_paused = true)]
async fn health_names_an_account_whose_sweeps_fail_for_long_and_no_more_once_one_succeeds() {
    let (a, b) = (cloud("a"), cloud("b"));
    let product = start(&backend(), &a, &b, Placement::Named).await;
    let degraded = async |name: &str| {
        let is_it = |part: &crate::runtime::PartHealth| {
            part.name == name && part.status == crate::runtime::HealthStatus::Degraded
        };
        product.health().await.parts.into_iter().find(is_it).map(|part| part.detail.unwrap_or_default())
    };
    // The first sweeps are made at once. Then those of `a` fail, each a minute after the one before, for a good hour.
    pass(Duration::from_secs(10)).await;
    for _ in 0..60 {
        a.fail_next(ProviderMethod::Inventory, ProviderFault::Refuse(ProviderErrorKind::Busy));
    }
    pass(Duration::from_secs(1790)).await;
    assert_eq!(degraded("sweep:a").await, None, "it has not lasted for half an hour");
    pass(Duration::from_secs(1800)).await;
    assert!(degraded("sweep:a").await.is_some_and(|detail| detail.contains("told_to")), "the cause is named");
    for name in ["sweep:b", "account:a", "breaker:a", "queue"] {
        assert_eq!(degraded(name).await, None, "{name}");
    }
    let age = |name: &str| product.operator().last_sweep_age(&account(name)).unwrap();
    assert!(age("a") > Duration::from_secs(3580) && age("b") < Duration::from_secs(330), "{:?}", (age("a"), age("b")));
    pass(Duration::from_secs(1800)).await;
    assert_eq!(degraded("sweep:a").await, None);
    assert!(age("a") < Duration::from_secs(330), "{:?}", age("a"));
    stop(product).await;
}

#[tokio::test(start_paused = true)]
async fn one_project_under_two_names_is_reported_and_keeps_its_servers() {
    let backend = backend();
    let a = cloud("a");
    let renamed = Provisioner::builder(backend).account(account("a"), a.clone()).account(account("b"), a.clone());
    let product = renamed.start().await.unwrap();
    for number in 0..3 {
        order_in(&product, &format!("web-{number}"), &["a"]).await.wait().await.unwrap();
    }
    for _ in 0..3 {
        product.operator().sweep(&account("b"), SweepMode::Repair).await.unwrap();
        pass(2 * Timing::default().sweep_grace).await;
    }
    let report = product.operator().sweep(&account("b"), SweepMode::Report).await.unwrap();
    let classes: Vec<_> = report.findings.iter().map(|finding| finding.class).collect();
    assert_eq!(classes, [crate::model::SightingClass::Drift; 3]);
    assert_eq!((a.servers().len(), a.calls(ProviderMethod::Delete)), (3, 0));
    stop(product).await;
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_an_order_is_answered_by_its_key_also_when_its_account_is_gone() {
    let backend = backend();
    let (a, b) = (cloud("a"), cloud("b"));
    let keyed = |product: &Provisioner, name: &str| {
        product.tenant("acme").create_server(spec("web-1")).account(account(name)).idempotency_key("order-1")
    };
    let both = start(&backend, &a, &b, Placement::Named).await;
    let first = keyed(&both, "b").await.unwrap();
    first.wait().await.unwrap();
    stop(both).await;

    let without = Provisioner::builder(backend).account(account("a"), a.clone()).start().await.unwrap();
    let repeat = keyed(&without, "b").await.unwrap();
    assert_eq!((repeat.id(), repeat.is_replayed()), (first.id(), true));
    drop(keyed(&without, "b").prepare().await.unwrap());
    let elsewhere = keyed(&without, "a").await;
    assert!(matches!(elsewhere, Err(CommandError::IdempotencyConflict)), "{elsewhere:?}");
    let new = keyed(&without, "b").idempotency_key("order-2").await;
    assert!(matches!(new, Err(CommandError::Invalid(_))), "{new:?}");
    assert_eq!((a.ever_created().len(), b.ever_created().len()), (0, 1));
    stop(without).await;
}

#[tokio::test(start_paused = true)]
async fn who_only_accepts_orders_in_accounts_of_which_others_have_the_client() {
    let (backend, eu) = (backend(), cloud("eu"));
    let accepting = Provisioner::builder(backend.clone()).account_elsewhere(account("eu")).client_only().await.unwrap();
    let working = Provisioner::builder(backend).account(account("eu"), eu.clone()).start().await.unwrap();
    order_in(&accepting, "web-1", &[]).await.wait().await.unwrap();
    order_in(&accepting, "web-2", &["eu"]).await.wait().await.unwrap();
    assert_eq!(eu.servers().len(), 2);
    stop(accepting).await;
    stop(working).await;
}

#[tokio::test(start_paused = true)]
async fn an_account_that_this_product_does_not_have_is_refused() {
    let product = Provisioner::builder(memory_backend()).provider(cloud("a")).start().await.unwrap();
    let refused = product.tenant("acme").create_server(spec("web-1")).account(account("z")).await;
    assert!(matches!(refused, Err(CommandError::Invalid(_))), "{refused:?}");
    assert!(matches!(product.catalog(&account("z")).await, Err(CatalogError::UnknownAccount { .. })));
    stop(product).await;
}
