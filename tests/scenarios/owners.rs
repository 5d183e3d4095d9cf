//! Servers of others in the same project are never touched; what is ours and too many is found and removed.

use std::collections::BTreeSet;

use bytes::Bytes;
use vip_adapters::hetzner::simulator::{ForeignServer, Ledger, Origin, Outcome, SimInstant, Simulator};
use vip_core::Provisioner;
use vip_core::model::{
    AccountId, InstallationId, OWNER_LABEL, SERVER_LABEL, Server, ServerId, ServerState, SightingClass,
};
use vip_core::provisioning::sweep::SweepMode;
use vip_tests::site::{Site, patient};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT, changes, client, names, simulator};

fn put(simulator: &Simulator, name: &str, marks: Option<(InstallationId, ServerId)>) -> u64 {
    let mut server = ForeignServer::named(name).in_project(PROJECT.0);
    if let Some((owner, mark)) = marks {
        server = server.label(OWNER_LABEL, owner.to_string()).label(SERVER_LABEL, mark.to_string());
    }
    simulator.put_server(server).unwrap()
}

/// Gives a server all labels of another one, as somebody would at the vendor's console.
fn relabel(simulator: &Simulator, id: u64, like: u64) {
    let labels = simulator.ledger().server(like).unwrap().labels.clone();
    let request = http::Request::put(format!("/v1/servers/{id}"))
        .header("host", "sim.example")
        .header("authorization", format!("Bearer {}", PROJECT.1))
        .body(Bytes::from(serde_json::json!({ "labels": labels }).to_string()))
        .unwrap();
    let Outcome::Respond(answer) = simulator.handle(SimInstant::START, request).outcome else { panic!("it was cut") };
    assert_eq!(answer.status(), 200);
}

fn number(server: &Server) -> u64 {
    server.provider_ref.as_ref().unwrap().id.as_str().parse().unwrap()
}

fn live(ledger: &Ledger) -> BTreeSet<u64> {
    ledger.live(PROJECT.0).map(|server| server.id).collect()
}

fn other_installation() -> InstallationId {
    "0b1e6a3c-8a55-4cf4-9d5e-3f0c2b7a9e11".parse().unwrap()
}

/// Orders thirty servers and deletes half of them.
async fn half_deleted(site: &Site, provisioner: &Provisioner) -> Vec<Server> {
    site.running(provisioner, TENANT, names("web", 30)).await;
    for server in truth::all_servers(provisioner, TENANT).await.iter().take(15) {
        drop(provisioner.tenant(TENANT).delete_server(server.id).await.unwrap());
    }
    site.until_settled(provisioner, TENANT).await;
    truth::all_servers(provisioner, TENANT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_servers_only_ours_that_are_too_many_are_removed() {
    let (simulator, site) = (simulator(), Site::default());
    let provisioner = site.start(client(&simulator)).await;
    let ours = half_deleted(&site, &provisioner).await;
    let mut untouchable = live(&simulator.ledger());
    assert_eq!(untouchable.len(), 15);
    let running = ours.iter().find(|server| server.state == ServerState::Running).unwrap();
    for number in 0..50 {
        untouchable.insert(put(&simulator, &format!("foreign-{number}"), None));
    }
    for number in 0..5 {
        let marks = Some((other_installation(), running.id));
        untouchable.insert(put(&simulator, &format!("neighbour-{number}"), marks));
    }
    for (number, server) in ours.iter().enumerate() {
        put(&simulator, &format!("again-{number}"), Some((provisioner.installation(), server.id)));
    }
    assert_eq!(live(&simulator.ledger()).len(), 100);

    let report = provisioner.operator().sweep(&AccountId::default_account(), SweepMode::Repair).await.unwrap();
    let count = |class| report.sightings.iter().filter(|sighting| sighting.class == class).count();
    assert_eq!((count(SightingClass::Surplus), count(SightingClass::Resurfaced)), (15, 15));
    assert_eq!((report.listed, report.sightings.len()), (45, 30));
    site.until("all that are too many are gone", async || live(&simulator.ledger()).len() <= 70).await;
    site.run(patient().sweep_grace * 4).await;

    let ledger = simulator.ledger();
    assert_eq!(live(&ledger), untouchable);
    let removed = ledger.servers.iter().filter(|server| server.created_by == Origin::Console && !server.is_live());
    assert_eq!(removed.filter(|server| server.name.starts_with("again-")).count(), 30);
    let states = truth::all_servers(&provisioner, TENANT).await;
    assert!(states.iter().zip(&ours).all(|(now, then)| now.id == then.id && now.state == then.state));
    provisioner.operator().verify_audit(&running.tenant, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_in_one_project_do_not_touch_each_others_servers() {
    let (simulator, sites) = (simulator(), [Site::default(), Site::default()]);
    let one = sites[0].start(client(&simulator)).await;
    let two = sites[1].start(client(&simulator)).await;
    assert_ne!(one.installation(), two.installation());
    for (site, provisioner) in sites.iter().zip([&one, &two]) {
        site.running(provisioner, TENANT, names("web", 5)).await;
    }
    let before = simulator.ledger();
    for _ in 0..4 {
        for (site, provisioner) in sites.iter().zip([&one, &two]) {
            let account = AccountId::default_account();
            let report = provisioner.operator().sweep(&account, SweepMode::Repair).await.unwrap();
            assert_eq!((report.listed, report.recorded, report.sightings.len(), report.skipped), (5, 5, 0, None));
            site.run(patient().sweep_grace).await;
        }
    }
    let ledger = simulator.ledger();
    assert_eq!((changes(&ledger), live(&ledger).len()), (changes(&before), 10));
    // One takes all of its servers away; those of the other stay.
    for server in truth::all_servers(&one, TENANT).await {
        drop(one.tenant(TENANT).delete_server(server.id).await.unwrap());
    }
    sites[0].until_settled(&one, TENANT).await;
    sites[1].run(patient().sweep_grace * 2).await;
    for provisioner in [&one, &two] {
        truth::demand_agreement(provisioner, &[TENANT], &simulator.ledger()).await;
    }
    assert_eq!(live(&simulator.ledger()).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_given_the_labels_of_another_one_stays_and_so_does_the_other() {
    let (simulator, site) = (simulator(), Site::default());
    let provisioner = site.start(client(&simulator)).await;
    site.running(&provisioner, TENANT, names("web", 2)).await;
    let servers = truth::all_servers(&provisioner, TENANT).await;
    relabel(&simulator, number(&servers[0]), number(&servers[1]));
    let before = live(&simulator.ledger());
    for _ in 0..4 {
        let report = provisioner.operator().sweep(&AccountId::default_account(), SweepMode::Repair).await.unwrap();
        let found: Vec<_> = report.sightings.iter().map(|sighting| (sighting.class, sighting.server)).collect();
        assert_eq!(found, [(SightingClass::Drift, Some(servers[0].id))]);
        site.run(patient().sweep_grace).await;
    }
    let ledger = simulator.ledger();
    assert_eq!((live(&ledger), ledger.requests_of("DELETE", "/servers/{id}")), (before, 0));
    let states = truth::all_servers(&provisioner, TENANT).await;
    assert!(states.iter().all(|server| server.state == ServerState::Running), "{states:?}");
}
