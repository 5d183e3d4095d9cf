//! Orders whose queue is killed without saving, emptied, paused and put back: each ends in one server all the same.
//!
//! `VIP_TEST_ORDERS` says how many orders, `VIP_TEST_FAULTS` how many faults on the way; forty and five unless they say
//! more.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code fails by panicking")]

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::Simulator;
use vip_adapters::redis::{RedisConfig, RedisQueue};
use vip_core::Provisioner;
use vip_core::model::Timing;
use vip_core::ports::{Backend, Retryability};
use vip_core::provisioner::OperationHandle;
use vip_core::worker::WorkerConfig;
use vip_tests::redis_server::RedisServer;
use vip_tests::site::{pause, spec};
use vip_tests::truth;

const TOKEN: &str = "first0000token00000000000000000000000000000000000000000000000000";
const TENANTS: [&str; 2] = ["acme", "globex"];
/// Products with workers, each with connections of its own.
const PRODUCTS: usize = 2;
/// Longest time for the orders of a round to end; what was forgotten is woken after `stall_after`.
const PATIENCE: Duration = Duration::from_secs(90);
/// Most repeats of an order whose outcome is unknown.
const REPEATS: u32 = 20;
/// How long the server stands still when it is paused.
const STILL: Duration = Duration::from_secs(2);

/// Is what happens to the server in the middle of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Killed, and started again with what its file had.
    Killed,
    /// Killed, and started again without any file.
    Wiped,
    /// Emptied while it runs.
    Flushed,
    /// Stopped in the middle of its work, and let go on.
    Paused,
    /// Killed, and started again with the files of the round before.
    PutBack,
}

const FAULTS: [Fault; 5] = [Fault::Wiped, Fault::Killed, Fault::PutBack, Fault::Flushed, Fault::Paused];

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Returns the proportions of production in a few seconds.
fn timing() -> Timing {
    let millis = Duration::from_millis;
    let mut timing = vip_tests::timing::quick();
    timing.lease = millis(4_000);
    timing.heartbeat = millis(1_000);
    timing.request_deadline = millis(1_000);
    timing.commit_deadline = millis(1_200);
    timing.stall_after = millis(5_500);
    timing
}

struct World {
    folder: tempfile::TempDir,
    server: RedisServer,
    simulator: Simulator,
    products: Vec<Provisioner>,
    client: Provisioner,
    /// Files of the server from the round before.
    old: Option<tempfile::TempDir>,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = RedisServer::start();
        let simulator = Simulator::builder()
            .create_time(Duration::from_millis(200))
            .delete_time(Duration::from_millis(50))
            .rate_limit_per_hour(1_000_000)
            .project("first", TOKEN)
            .build();
        let store = folder.path().join("vip.db");
        let client = Provisioner::builder(backend(&store, &server).await).timing(timing()).client_only();
        let client = client.await.unwrap();
        let mut products = Vec::new();
        for _ in 0..PRODUCTS {
            let mut config = WorkerConfig::default();
            config.poll_interval = Duration::from_millis(100);
            config.reap_interval = Duration::from_millis(500);
            let product = Provisioner::builder(backend(&store, &server).await)
                .provider(HetznerClient::in_process(&simulator, TOKEN).unwrap())
                .timing(timing())
                .worker(config)
                .start();
            products.push(product.await.unwrap());
        }
        Self { folder, server, simulator, products, client, old: None }
    }

    fn strike(&mut self, fault: Fault) -> Struck {
        match fault {
            Fault::Killed => self.server.restart(),
            Fault::Wiped => {
                self.server.kill_and_wipe();
                self.server.restart();
            }
            Fault::Flushed => self.server.flush(),
            Fault::Paused => {
                self.server.pause();
                return Struck::StandsStill;
            }
            Fault::PutBack => {
                let old = self.old.take().unwrap();
                self.server.restore_data(old.path());
                self.server.restart();
            }
        }
        Struck::Runs
    }

    fn keep_files(&mut self) {
        let old = tempfile::tempdir_in(self.folder.path()).unwrap();
        self.server.copy_data(old.path());
        self.old = Some(old);
    }

    /// Orders as a host does: what may have been accepted is sent again with the same key.
    async fn order(&self, tenant: &str, name: &str) -> OperationHandle {
        for _ in 0..REPEATS {
            match self.client.tenant(tenant).create_server(spec(name)).idempotency_key(name).await {
                Ok(accepted) => return accepted,
                Err(error) => assert_ne!(error.retryability(), Retryability::Permanent, "{error}"),
            }
        }
        panic!("the store did not answer {REPEATS} times in a row");
    }

    /// Orders some servers with a fault in the middle, waits until all have ended; returns how long that took from the
    /// fault on.
    async fn round(&mut self, fault: Fault, names: Vec<String>) -> Duration {
        let mut orders: Vec<OperationHandle> = Vec::new();
        let middle = names.len() / 2;
        let mut struck_at = Instant::now();
        for (place, name) in names.into_iter().enumerate() {
            if place == middle {
                // So that some are under way, some wait, and some have ended.
                pause(Duration::from_millis(150)).await;
                struck_at = Instant::now();
                if self.strike(fault) == Struck::StandsStill {
                    pause(STILL).await;
                    self.server.resume();
                }
            }
            orders.push(self.order(TENANTS.get(place % TENANTS.len()).unwrap(), &name).await);
            if place == middle / 2 {
                self.keep_files();
            }
        }
        for order in &orders {
            let left = PATIENCE.saturating_sub(struck_at.elapsed());
            let ended = timeout(left, order.wait()).await;
            let server = ended.unwrap_or_else(|_| panic!("{fault:?}: an order has not ended in {PATIENCE:?}"));
            assert!(server.is_ok(), "{fault:?}: {server:?}");
        }
        struck_at.elapsed()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Struck {
    Runs,
    StandsStill,
}

/// Returns a store in a file with the queue on Redis beside it: the one line of a host.
async fn backend(store: &Path, server: &RedisServer) -> Backend {
    let url = format!("sqlite://{}", store.display());
    let config = RedisConfig::queue().answer_deadline(Duration::from_millis(800));
    vip_adapters::connect(&url).await.unwrap().with_queue(RedisQueue::open(&server.url(), config).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_end_in_one_server_each_whatever_happens_to_the_queue() {
    let (orders, faults) = (number("VIP_TEST_ORDERS", 40), number("VIP_TEST_FAULTS", FAULTS.len()));
    let mut world = World::start().await;
    let begin = Instant::now();
    let mut recovered: Vec<(Fault, Duration)> = Vec::new();
    let each = orders.div_ceil(faults);
    for (round, fault) in (0..faults).zip(FAULTS.into_iter().cycle()) {
        let names = (round * each..orders.min((round + 1) * each)).map(|number| format!("web-{number}")).collect();
        recovered.push((fault, world.round(fault, names).await));
    }
    let ended = begin.elapsed();
    for product in &world.products {
        let report = product.shutdown(Duration::from_secs(20)).await;
        assert!(report.within_deadline, "{report}");
    }
    let ledger = world.simulator.ledger();
    truth::demand_agreement(&world.client, &TENANTS, &ledger).await;
    assert_eq!(ledger.servers.len(), orders, "one server for each order, and none besides");
    for fault in FAULTS {
        let times: Vec<_> = recovered.iter().filter(|(of, _)| *of == fault).map(|(_, time)| *time).collect();
        println!("{fault:?}: all orders of the round ended {times:.1?} after it");
    }
    println!(
        "{orders} orders, {faults} faults of the queue: {} servers, {} requests, ended after {ended:.1?}",
        ledger.servers.len(),
        ledger.request_total(),
    );
    assert!(world.client.shutdown(Duration::from_secs(5)).await.within_deadline);
}
