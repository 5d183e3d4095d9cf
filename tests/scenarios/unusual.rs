//! What a provider does now and then: it forbids, has no room, fails after a create, shows a server that cannot be read, or several
//! under one name.

use std::time::Duration;

use bytes::Bytes;
use vip_adapters::hetzner::simulator::{
    Fault, FaultRule, ForeignServer, Outcome, Protection, RouteMatcher, SimInstant, Simulator, Stock, StockChange, When,
};
use vip_core::Provisioner;
use vip_core::model::{
    AccountId, Actor, Gate, OWNER_LABEL, ParkReason, SERVER_LABEL, SPEC_LABEL, Server, ServerId, ServerState,
    SightingClass, TenantId, WaitReason,
};
use vip_core::provisioning::sweep::SweepMode;
use vip_tests::site::{Site, patient, spec};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT, client, names, simulator};

fn live(simulator: &Simulator) -> usize {
    simulator.ledger().live(PROJECT.0).count()
}

fn forbid(simulator: &Simulator, route: RouteMatcher) {
    let fault = Fault::Refuse { status: 403, code: "forbidden".to_owned(), message: "no such right".to_owned() };
    simulator.add_fault(FaultRule::new(route, When::Always, fault)).unwrap();
}

async fn resume(product: &Provisioner, server: ServerId) {
    let actor = Actor::operator("olga").unwrap();
    product.operator().resume(&actor, &TenantId::new(TENANT).unwrap(), server).await.unwrap();
}

async fn demand_open(product: &Provisioner) {
    let account = product.operator().account(&AccountId::default_account()).await.unwrap();
    assert!(account.gates.iter().all(|entry| entry.gate == Gate::Open), "{account:?}");
}

/// Waits until a server is parked for a reason.
async fn until_parked(site: &Site, product: &Provisioner, server: ServerId, reason: ParkReason) {
    let is_parked = async || {
        let server = product.tenant(TENANT).server(server).await.unwrap();
        (server.state, server.park_reason) == (ServerState::Parked, Some(reason))
    };
    site.until("the server is parked", is_parked).await;
}

fn number(server: &Server) -> u64 {
    server.provider_ref.as_ref().unwrap().id.as_str().parse().unwrap()
}

/// Takes all labels from a server, as somebody would at the vendor's console.
fn strip(simulator: &Simulator, id: u64) {
    let request = http::Request::put(format!("/v1/servers/{id}"))
        .header("host", "sim.example")
        .header("authorization", format!("Bearer {}", PROJECT.1))
        .body(Bytes::from_static(br#"{"labels": {}}"#))
        .unwrap();
    let Outcome::Respond(answer) = simulator.handle(SimInstant::START, request).outcome else { panic!("it was cut") };
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forbidden_waits_for_a_person_and_the_rest_of_the_account_goes_on() {
    let (simulator, site) = (simulator(), Site::default());
    let product = site.start(client(&simulator)).await;
    let tenant = product.tenant(TENANT);
    site.running(&product, TENANT, names("web", 2)).await;
    let servers = truth::all_servers(&product, TENANT).await;

    forbid(&simulator, RouteMatcher::create_server());
    let order = tenant.create_server(spec("late")).await.unwrap();
    let late = order.progress().await.unwrap().server.id;
    until_parked(&site, &product, late, ParkReason::ProviderLimit).await;
    drop(tenant.delete_server(servers[0].id).await.unwrap());
    site.until("a server is removed meanwhile", async || live(&simulator) == 1).await;
    demand_open(&product).await;
    simulator.clear_faults();
    resume(&product, late).await;
    site.until_settled(&product, TENANT).await;

    forbid(&simulator, RouteMatcher::delete_server());
    drop(tenant.delete_server(servers[1].id).await.unwrap());
    until_parked(&site, &product, servers[1].id, ParkReason::Protected).await;
    let more = tenant.create_server(spec("more")).await.unwrap();
    let runs = async || more.progress().await.unwrap().server.state == ServerState::Running;
    site.until("a server is created meanwhile", runs).await;
    demand_open(&product).await;
    simulator.clear_faults();
    resume(&product, servers[1].id).await;
    site.until_settled(&product, TENANT).await;
    assert_eq!(live(&simulator), 2);
    truth::demand_agreement(&product, &[TENANT], &simulator.ledger()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_no_host_has_room_for_waits_as_for_stock() {
    let (simulator, site) = (simulator(), Site::default());
    simulator.change_stock(StockChange::everywhere(Stock::Unplaceable)).unwrap();
    let product = site.start(client(&simulator)).await;
    let order = product.tenant(TENANT).create_server(spec("web-1").location("nbg1")).await.unwrap();
    let waits = async || order.progress().await.unwrap().wait_reason == Some(WaitReason::NoStock);
    site.until("the order waits for stock", waits).await;
    simulator.change_stock(StockChange::of("cpx22", "nbg1", Stock::Available)).unwrap();
    site.until_settled(&product, TENANT).await;
    truth::demand_agreement(&product, &[TENANT], &simulator.ledger()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_start_failed_is_kept_and_runs_once_somebody_starts_it() {
    let (simulator, site) = (simulator(), Site::default());
    let fails = Fault::StartFails { code: "action_failed".to_owned(), message: "no host".to_owned() };
    simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), fails)).unwrap();
    let product = site.start(client(&simulator)).await;
    let order = product.tenant(TENANT).create_server(spec("web-1")).await.unwrap();
    let is_looked_at = async || {
        let server = order.progress().await.unwrap().server;
        let is_created = !matches!(server.state, ServerState::Requested | ServerState::Creating);
        is_created && server.actions.is_empty() && server.last_answer.is_some()
    };
    site.until("the server itself is looked at", is_looked_at).await;
    site.run(patient().sweep_grace).await;
    let server = order.progress().await.unwrap().server;
    assert_eq!((server.state, live(&simulator)), (ServerState::Confirming, 1));
    assert_eq!(simulator.ledger().requests_of("DELETE", "/servers/{id}"), 0);
    simulator.start_server(number(&server)).unwrap();
    site.until_settled(&product, TENANT).await;
    truth::demand_agreement(&product, &[TENANT], &simulator.ledger()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_kept_though_the_actions_of_its_create_never_end() {
    let (simulator, site) = (simulator(), Site::default());
    let hangs = Fault::ActionTakes { duration: Duration::from_secs(24 * 3600) };
    simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), hangs)).unwrap();
    let mut timing = patient();
    timing.create_timeout = Duration::from_secs(60);
    let product = site.builder().await.timing(timing).provider(client(&simulator)).start().await.unwrap();
    let order = product.tenant(TENANT).create_server(spec("web-1")).await.unwrap();
    let is_created = async || order.progress().await.unwrap().server.provider_ref.is_some();
    site.until("the server is created", is_created).await;
    simulator.start_server(number(&order.progress().await.unwrap().server)).unwrap();
    site.until_settled(&product, TENANT).await;
    assert_eq!(simulator.ledger().requests_of("DELETE", "/servers/{id}"), 0);
    truth::demand_agreement(&product, &[TENANT], &simulator.ledger()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_labels_is_deleted_by_its_id_and_is_not_gone_before() {
    let (simulator, site) = (simulator(), Site::default());
    let product = site.start(client(&simulator)).await;
    site.running(&product, TENANT, names("web", 1)).await;
    let server = truth::all_servers(&product, TENANT).await.remove(0);
    strip(&simulator, number(&server));
    simulator.protect_server(number(&server), Protection::On).unwrap();
    drop(product.tenant(TENANT).delete_server(server.id).await.unwrap());
    until_parked(&site, &product, server.id, ParkReason::Protected).await;
    site.run(patient().sweep_grace * 2).await;
    let still = product.tenant(TENANT).server(server.id).await.unwrap();
    assert_eq!((still.state, live(&simulator)), (ServerState::Parked, 1));
    simulator.protect_server(number(&server), Protection::Off).unwrap();
    resume(&product, server.id).await;
    site.until_settled(&product, TENANT).await;
    assert_eq!(live(&simulator), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_read_stops_no_other_and_is_not_given_up() {
    let (simulator, site) = (simulator(), Site::default());
    let product = site.start(client(&simulator)).await;
    site.running(&product, TENANT, names("web", 2)).await;
    let odd = truth::all_servers(&product, TENANT).await.remove(0);
    simulator.garble_server(number(&odd), Some("status")).unwrap();
    site.running(&product, TENANT, names("more", 4)).await;
    let sweep = async || {
        let report = product.operator().sweep(&AccountId::default_account(), SweepMode::Repair).await.unwrap();
        let seen: Vec<_> = report.sightings.iter().map(|it| (it.class, it.key.id.as_str().to_owned())).collect();
        (report.listed, seen)
    };
    assert_eq!(sweep().await, (5, vec![(SightingClass::Missing, number(&odd).to_string())]));
    // Its absence ripens and is looked into: no answer is no proof.
    for _ in 0..3 {
        site.run(patient().sweep_grace).await;
        assert_eq!(sweep().await.0, 5);
    }
    assert_eq!(product.tenant(TENANT).server(odd.id).await.unwrap().state, ServerState::Running);
    demand_open(&product).await;
    simulator.garble_server(number(&odd), None).unwrap();
    site.run(Duration::from_secs(2)).await;
    assert_eq!(sweep().await, (6, Vec::new()));
    truth::demand_agreement(&product, &[TENANT], &simulator.ledger()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_servers_of_one_name_one_is_adopted_and_a_deletion_ends_with_none() {
    let (simulator, site) = (simulator(), Site::default());
    simulator.change_stock(StockChange::everywhere(Stock::Exhausted)).unwrap();
    let product = site.start(client(&simulator)).await;
    let order = product.tenant(TENANT).create_server(spec("web-1")).await.unwrap();
    let waits = async || order.progress().await.unwrap().wait_reason == Some(WaitReason::NoStock);
    site.until("the order waits for stock", waits).await;
    // While it waits there are three, as if it had created them: its next create is told that the name is taken.
    let server = order.progress().await.unwrap().server;
    let first = ForeignServer::named(server.provider_name.as_str())
        .in_project(PROJECT.0)
        .label(OWNER_LABEL, product.installation().to_string())
        .label(SERVER_LABEL, server.id.to_string())
        .label(SPEC_LABEL, server.create_hash.as_str());
    let first = simulator.put_server(first).unwrap();
    for _ in 0..2 {
        simulator.put_twin(first).unwrap();
    }
    site.until_settled(&product, TENANT).await;
    let adopted = order.progress().await.unwrap().server;
    assert_eq!((adopted.state, number(&adopted), live(&simulator)), (ServerState::Running, first, 3));

    // Once the adopted one is gone two are left to be found by their name; the removal does not wait for a sweep.
    drop(product.tenant(TENANT).delete_server(server.id).await.unwrap());
    site.until_settled(&product, TENANT).await;
    assert_eq!(live(&simulator), 0);
}
