//! Removals that the provider refuses, by the hundred: what they leave to others, and that they end once it lets go.

use std::time::Duration;

use vip_adapters::hetzner::simulator::{Fault, FaultRule, RouteMatcher, Simulator, When};
use vip_core::Provisioner;
use vip_core::model::{ServerState, WaitReason};
use vip_tests::site::{pause, spec};
use vip_tests::truth;

use crate::cloud::{TENANT, in_virtual_time};

const SERVERS: usize = 100;

/// Waits until so many servers are in a state.
async fn until(product: &Provisioner, state: ServerState, count: usize, most: Duration) {
    let comes = async {
        while truth::all_servers(product, TENANT).await.iter().filter(|server| server.state == state).count() < count {
            pause(Duration::from_secs(5)).await;
        }
    };
    assert!(tokio::time::timeout(most, comes).await.is_ok(), "within {most:?} there are no {count} {state:?}");
}

/// Each is asked for again after five to ten minutes: that is 800 requests an hour, and 360 come back.
#[tokio::test(start_paused = true)]
async fn servers_that_stay_locked_leave_others_and_sweeps_their_requests_and_are_removed_once_they_are_not() {
    let simulator = Simulator::builder().create_time(Duration::from_secs(11)).rate_limit_per_hour(360).build();
    let product = in_virtual_time(&simulator).await;
    let tenant = product.tenant(TENANT);
    for number in 0..SERVERS {
        drop(tenant.create_server(spec(format!("web-{number}"))).await.unwrap());
    }
    until(&product, ServerState::Running, SERVERS, Duration::from_secs(600)).await;

    let locked = Fault::Refuse { status: 423, code: "locked".to_owned(), message: "an action hangs".to_owned() };
    simulator.add_fault(FaultRule::new(RouteMatcher::delete_server(), When::Always, locked)).unwrap();
    for server in truth::all_servers(&product, TENANT).await {
        drop(tenant.delete_server(server.id).await.unwrap());
    }
    pause(Duration::from_secs(2_700)).await;
    let order = tenant.create_server(spec("other")).await.unwrap();
    until(&product, ServerState::Running, 1, Duration::from_secs(120)).await;
    assert_eq!(order.progress().await.unwrap().server.state, ServerState::Running);
    let asked = |method, route| simulator.ledger().requests_of(method, route);
    let (sweeps, tries) = (asked("GET", "/servers"), asked("DELETE", "/servers/{id}"));
    pause(Duration::from_secs(1_800)).await;
    assert!(asked("GET", "/servers") > sweeps, "nothing was swept");
    // One of twenty.
    assert!(asked("DELETE", "/servers/{id}") >= tries + 8, "nobody asks whether they are still locked");
    let servers = truth::all_servers(&product, TENANT).await;
    let mut leaving = servers.iter().filter(|server| server.state == ServerState::Deleting);
    assert!(leaving.all(|server| server.wait_reason == Some(WaitReason::Busy)), "they are told what refuses them");
    assert_eq!(simulator.ledger().answered_with(Some(429)), 0);

    simulator.clear_faults();
    until(&product, ServerState::Deleted, SERVERS, Duration::from_secs(7_200)).await;
    truth::demand_agreement(&product, &[TENANT], &simulator.ledger()).await;
}
