//! Frugal: what many orders at once cost in requests to the provider, counted from the first to the last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, Ledger, Simulator};
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, VirtualClock};
use vip_core::model::{AccountId, InstallationId, ServerState, Timestamp, Timing};
use vip_core::ports::{ProviderClient, RequestContext, SeededRandomness};
use vip_core::provisioning::sweep::SweepMode;
use vip_core::worker::WorkerConfig;
use vip_tests::site::{pause, spec};
use vip_tests::truth;

use crate::cloud::TENANT;

const ORDERS: usize = 500;
const REQUESTS_PER_SERVER: f64 = 1.3;
/// The slower the machine, the less looks come together: a bound for one that is busy.
const REQUESTS_PER_SERVER_OVER_SOCKETS: f64 = 1.6;

#[tokio::test(start_paused = true)]
async fn five_hundred_orders_at_once_cost_at_most_one_point_three_requests_each() {
    let simulator = Simulator::builder().create_time(Duration::from_secs(11)).rate_limit_per_hour(3_600).build();
    let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let backend = MemoryBackend::new(clock.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(7)));
    let client = HetznerClient::in_process(&simulator, DEFAULT_TOKEN).unwrap();
    client.catalog(&RequestContext::new(Duration::from_secs(30))).await.unwrap();
    let product = Provisioner::builder(backend)
        .provider(client)
        .clock(*clock)
        .randomness(SeededRandomness::new(7))
        .worker(WorkerConfig::default())
        .start()
        .await
        .unwrap();
    let began = Instant::now();
    for number in 0..ORDERS {
        drop(product.tenant(TENANT).create_server(spec(format!("web-{number}"))).await.unwrap());
    }
    let running = async {
        loop {
            let servers = truth::all_servers(&product, TENANT).await;
            if servers.iter().filter(|server| server.state == ServerState::Running).count() == ORDERS {
                return began.elapsed();
            }
            pause(Duration::from_secs(1)).await;
        }
    };
    let took = tokio::time::timeout(Duration::from_secs(3600), running).await.unwrap();
    demand_frugality(&product, &simulator, took, REQUESTS_PER_SERVER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_sockets_and_twice_as_fast_they_cost_little_more() {
    let simulator = Simulator::builder().create_time(Duration::from_millis(5_500)).rate_limit_per_hour(7_200).build();
    let server = simulator.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let client = HetznerClient::at(format!("{}/v1", server.url()), DEFAULT_TOKEN).unwrap();
    client.catalog(&RequestContext::new(Duration::from_secs(15))).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("vip.db").display());
    let acceptor = Provisioner::builder(vip_adapters::connect(&store).await.unwrap()).timing(twice_as_fast());
    let acceptor = acceptor.client_only().await.unwrap();
    for number in 0..ORDERS {
        drop(acceptor.tenant(TENANT).create_server(spec(format!("web-{number}"))).await.unwrap());
    }
    // All at once is what the workers find when they begin.
    let builder = Provisioner::builder(vip_adapters::connect(&store).await.unwrap()).provider(client);
    let product = builder.timing(twice_as_fast()).start().await.unwrap();
    let began = Instant::now();
    while truth::all_servers(&product, TENANT).await.iter().any(|server| server.state != ServerState::Running) {
        assert!(began.elapsed() < Duration::from_secs(120), "it takes too long");
        pause(Duration::from_millis(200)).await;
    }
    demand_frugality(&product, &simulator, began.elapsed(), REQUESTS_PER_SERVER_OVER_SOCKETS).await;
    for product in [product, acceptor] {
        assert!(product.shutdown(Duration::from_secs(5)).await.within_deadline);
    }
    server.shutdown().await;
}

/// Returns the default timings in half of their time, but those that have a bound.
fn twice_as_fast() -> Timing {
    let mut timing = Timing::default();
    for time in [
        &mut timing.lease,
        &mut timing.heartbeat,
        &mut timing.request_deadline,
        &mut timing.commit_deadline,
        &mut timing.margin,
        &mut timing.landing_allowance,
        &mut timing.sweep_interval,
        &mut timing.sweep_grace,
        &mut timing.stall_after,
        &mut timing.backoff_first,
        &mut timing.backoff_most,
        &mut timing.look_first,
        &mut timing.look_again,
        &mut timing.probe_first,
    ] {
        *time /= 2;
    }
    timing
}

/// Sweeps once, finds nothing amiss, and counts every request that came to the provider.
async fn demand_frugality(product: &Provisioner, simulator: &Simulator, took: Duration, most: f64) {
    let report = product.operator().sweep(&AccountId::default_account(), SweepMode::default()).await.unwrap();
    assert_eq!((report.listed, report.sightings.len()), (ORDERS, 0));
    let ledger: Ledger = simulator.ledger();
    let per_server = ledger.request_total() as f64 / ORDERS as f64;
    println!("{ORDERS} servers in {} s: {} requests, {per_server:.3} a server", took.as_secs(), ledger.request_total());
    for count in &ledger.requests {
        println!("  {} {} {:?}: {}", count.method, count.route, count.status, count.count);
    }
    assert_eq!(ledger.answered_with(Some(429)), 0);
    assert!(per_server <= most, "{per_server}");
}
