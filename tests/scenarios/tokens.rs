//! A token of another project on the same store: no look through it is believed, and nothing is done with it.

use std::collections::BTreeSet;
use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{ForeignServer, Ledger};
use vip_core::model::{AccountId, Gate, OWNER_LABEL, SERVER_LABEL, ServerState, WaitReason};
use vip_core::ports::ProviderClient;
use vip_core::provisioning::sweep::SweepMode;
use vip_core::runtime::HealthStatus;
use vip_tests::site::{Site, patient, spec};
use vip_tests::truth;

use crate::cloud::{OTHER_PROJECT, PROJECT, TENANT, client, names, simulator};

fn live(ledger: &Ledger, project: &str) -> BTreeSet<u64> {
    ledger.live(project).map(|server| server.id).collect()
}

/// Counts all requests but those that list servers.
fn beyond_lists(ledger: &Ledger) -> u64 {
    ledger.request_total() - ledger.requests_of("GET", "/servers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_project_is_not_believed_and_has_no_effect() {
    let (simulator, site) = (simulator(), Site::default());
    let first = site.start(client(&simulator)).await;
    site.running(&first, TENANT, names("web", 3)).await;
    let servers = truth::all_servers(&first, TENANT).await;
    drop(first.shutdown(Duration::from_secs(5)).await);
    // The other project even holds a server with the marks of one of ours, and one that we could remove.
    for (name, mark) in [("decoy", servers[0].id.to_string()), ("lost", "1".to_owned())] {
        let decoy = ForeignServer::named(name).in_project(OTHER_PROJECT.0);
        let decoy = decoy.label(OWNER_LABEL, first.installation().to_string()).label(SERVER_LABEL, mark);
        simulator.put_server(decoy).unwrap();
    }
    let before = simulator.ledger();

    let elsewhere = HetznerClient::in_process(&simulator, OTHER_PROJECT.1).unwrap();
    let digest = elsewhere.token_digest();
    let moved = site.start(elsewhere).await;
    let tenant = moved.tenant(TENANT);
    let order = tenant.create_server(spec("new")).await.unwrap();
    drop(tenant.delete_server(servers[0].id).await.unwrap());
    for _ in 0..4 {
        let report = moved.operator().sweep(&AccountId::default_account(), SweepMode::Repair).await.unwrap();
        assert!(report.skipped.is_some() && report.sightings.is_empty(), "{report:?}");
        site.run(patient().sweep_grace).await;
    }
    let account = moved.operator().account(&AccountId::default_account()).await.unwrap();
    assert!(matches!(account.gate(&digest).unwrap().gate, Gate::Suspect { .. }), "{account:?}");
    let health = moved.health().await;
    assert_eq!(health.parts.iter().find(|part| part.name == "account:default").unwrap().status, HealthStatus::Degraded);
    assert_eq!(order.progress().await.unwrap().wait_reason, Some(WaitReason::AccountBlocked));
    let deleting = tenant.server(servers[0].id).await.unwrap();
    assert_eq!((deleting.state, deleting.wait_reason), (ServerState::Deleting, Some(WaitReason::AccountBlocked)));
    for server in &servers[1..] {
        assert_eq!(tenant.server(server.id).await.unwrap().state, ServerState::Running);
    }
    let during = simulator.ledger();
    assert_eq!(beyond_lists(&during), beyond_lists(&before), "{:?}", during.requests);
    assert_eq!(during.servers, before.servers);
    drop(moved.shutdown(Duration::from_secs(5)).await);

    // With the right token everything goes on as ordered.
    let back = site.start(client(&simulator)).await;
    site.until_settled(&back, TENANT).await;
    truth::demand_agreement(&back, &[TENANT], &only(&simulator.ledger(), PROJECT.0)).await;
    assert_eq!(live(&simulator.ledger(), OTHER_PROJECT.0), live(&before, OTHER_PROJECT.0));
    assert_eq!(live(&simulator.ledger(), PROJECT.0).len(), 3);
}

/// Returns the ledger without the servers of other projects.
fn only(ledger: &Ledger, project: &str) -> Ledger {
    let mut part = ledger.clone();
    part.servers.retain(|server| server.project == project);
    part
}
