//! Stock, several accounts and prices over the real protocol: candidates in the order of preference, one server each.

use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{
    Effect, Failure, Fault, FaultRule, ForeignServer, RouteMatcher, Simulator, When,
};
use vip_core::Provisioner;
use vip_core::model::{AccountId, OWNER_LABEL, ServerSpec, ServerState, WaitReason};
use vip_core::provisioning::sweep::SweepMode;
use vip_tests::site::{Site, patient, pause, spec};
use vip_tests::truth;

use crate::cloud::{OTHER_PROJECT, PROJECT, TENANT, client, in_virtual_time, simulator};

fn choice(name: &str) -> ServerSpec {
    spec(name).server_type("cpx32").location("nbg1")
}

fn sell_out(simulator: &Simulator, server_type: Option<&str>, location: Option<&str>, when: When) {
    let fault =
        Fault::StockExhausted { server_type: server_type.map(str::to_owned), location: location.map(str::to_owned) };
    simulator.add_fault(FaultRule::new(RouteMatcher::create_server(), when, fault)).unwrap();
}

async fn two_accounts(site: &Site, simulator: &Simulator) -> Provisioner {
    let builder = site.builder().await.account(AccountId::new("a").unwrap(), client(simulator));
    let other = HetznerClient::in_process(simulator, OTHER_PROJECT.1).unwrap();
    builder.account(AccountId::new("b").unwrap(), other).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_then_locations_are_tried_in_the_order_of_preference_and_a_server_is_made_once() {
    let (simulator, site) = (simulator(), Site::default());
    sell_out(&simulator, None, Some("fsn1"), When::Always);
    let product = site.start(client(&simulator)).await;
    let order = product.tenant(TENANT).create_server(choice("web-1")).await.unwrap();
    site.until_settled(&product, TENANT).await;
    let ledger = simulator.ledger();
    // cpx22 and cpx32 in fsn1 are refused, cpx22 in nbg1 is there.
    assert_eq!((ledger.requests_of("POST", "/servers"), ledger.servers.len()), (3, 1));
    let server = order.progress().await.unwrap().server;
    assert_eq!(server.candidate().map(|it| (it.server_type.as_str(), it.location.as_str())), Some(("cpx22", "nbg1")));
    truth::demand_agreement(&product, &[TENANT], &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_stock_with_a_reason_and_a_time_and_runs_when_there_is_some() {
    let (simulator, site) = (simulator(), Site::default());
    sell_out(&simulator, None, None, When::Always);
    let product = two_accounts(&site, &simulator).await;
    let order = product.tenant(TENANT).create_server(choice("web-1")).await.unwrap();
    let waits = async || order.progress().await.unwrap().wait_reason == Some(WaitReason::NoStock);
    site.until("the order waits for stock", waits).await;
    assert!(order.progress().await.unwrap().next_at.is_some());
    assert_eq!(simulator.ledger().servers.len(), 0);
    simulator.clear_faults();
    sell_out(&simulator, Some("cpx22"), None, When::Always);
    site.until_settled(&product, TENANT).await;
    let ledger = simulator.ledger();
    assert_eq!((ledger.servers.len(), ledger.live(PROJECT.0).count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_create_in_one_account_is_settled_before_another_account_is_tried() {
    let (simulator, site) = (simulator(), Site::default());
    let lost = Fault::Fail { failure: Failure::Timeout, effect: Effect::None };
    simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), lost)).unwrap();
    // The lost request meets it too; then the four candidates of the first account.
    sell_out(&simulator, None, None, When::Next { requests: 5 });
    let product = two_accounts(&site, &simulator).await;
    let order = product.tenant(TENANT).create_server(choice("web-1")).await.unwrap();
    let created_at = order.progress().await.unwrap().server.created_at;
    site.until_settled(&product, TENANT).await;
    let ledger = simulator.ledger();
    let (first, second) = (ledger.live(PROJECT.0).count(), ledger.live(OTHER_PROJECT.0).count());
    assert_eq!((first, second, ledger.requests_of("POST", "/servers")), (0, 1, 6));
    let server = order.progress().await.unwrap().server;
    let found_at = server.provider_ref.map(|found| found.at).unwrap();
    assert!(found_at.since(created_at) >= patient().landing_allowance, "{found_at} after {created_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_has_prices_and_a_sweep_says_what_a_server_costs_that_nobody_recorded() {
    let (simulator, site) = (simulator(), Site::default());
    let product = site.start(client(&simulator)).await;
    let account = AccountId::default_account();
    let catalog = product.catalog(&account).await.unwrap();
    let price = catalog.value.price("cpx22", "fsn1").unwrap();
    assert_eq!(
        (price.monthly.net.to_string(), price.monthly.gross.to_string()),
        ("6.49 EUR".into(), "7.7231 EUR".into())
    );
    assert_eq!(catalog.value.price("cax11", "ash"), None, "it is not offered there");

    let owner = product.installation().to_string();
    let stray = ForeignServer::named("stray").in_project(PROJECT.0).label(OWNER_LABEL, owner);
    simulator.put_server(stray).unwrap();
    let beyond_pages = || simulator.ledger().request_total() - simulator.ledger().requests_of("GET", "/servers");
    let before = beyond_pages();
    let report = product.operator().sweep(&account, SweepMode::Report).await.unwrap();
    assert_eq!(beyond_pages(), before, "the prices are kept");
    let extra = report.extra_cost().unwrap();
    assert_eq!((extra.priced, extra.unpriced, report.unpriced_because), (1, 0, None));
    assert!(extra.gross.is_some_and(|gross| gross.micros > 1_000_000));
}

/// They may ask 800 times in ten minutes, in which 600 requests come back.
#[tokio::test(start_paused = true)]
async fn orders_that_wait_for_stock_leave_others_and_sweeps_their_requests() {
    let simulator = Simulator::builder().create_time(Duration::from_secs(11)).rate_limit_per_hour(3_600).build();
    sell_out(&simulator, Some("cpx22"), None, When::Always);
    sell_out(&simulator, Some("cpx32"), None, When::Always);
    let product = in_virtual_time(&simulator).await;
    for number in 0..100 {
        let anywhere = choice(&format!("web-{number}")).location("hel1").location("ash");
        drop(product.tenant(TENANT).create_server(anywhere).await.unwrap());
    }
    pause(Duration::from_secs(1_500)).await;
    let asked = |method| simulator.ledger().requests_of(method, "/servers");
    let (sweeps, tries) = (asked("GET"), asked("POST"));
    // Two intervals.
    pause(Duration::from_secs(600)).await;
    assert!(asked("GET") > sweeps, "nothing was swept");
    assert!(asked("POST") >= tries + 300, "whether there is stock is asked with what is left over");

    let other = ServerSpec::new("other").server_type("cx23").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let order = product.tenant(TENANT).create_server(other).await.unwrap();
    let running = async {
        while order.progress().await.unwrap().server.state != ServerState::Running {
            pause(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), running).await.unwrap();
    assert_eq!(simulator.ledger().answered_with(Some(429)), 0);
}
