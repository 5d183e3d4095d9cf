//! Frugal: what many orders at once cost in requests to the provider, counted from the first to the last, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, Ledger, Simulator};
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, VirtualClock};
use vip_core::model::{AccountId, InstallationId, ServerState, Timestamp};
use vip_core::ports::{ProviderClient, RequestContext, SeededRandomness};
use vip_core::provisioning::sweep::SweepMode;
use vip_core::worker::WorkerConfig;
use vip_tests::site::{pause, spec};
use vip_tests::truth;

use crate::cloud::TENANT;

const ORDERS: usize = 500;
const REQUESTS_PER_SERVER: f64 = 1.3;

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
    let report = product.operator().sweep(&AccountId::default_account(), SweepMode::default()).await.unwrap();
    assert_eq!((report.listed, report.sightings.len()), (ORDERS, 0));
    let ledger: Ledger = simulator.ledger();
    let per_server = ledger.request_total() as f64 / ORDERS as f64;
    println!("{ORDERS} servers in {} s: {} requests, {per_server:.3} a server", took.as_secs(), ledger.request_total());
    for count in &ledger.requests {
        println!("  {} {} {:?}: {}", count.method, count.route, count.status, count.count);
    }
    assert_eq!(ledger.answered_with(Some(429)), 0);
    assert!(per_server <= REQUESTS_PER_SERVER, "{per_server}");
}
