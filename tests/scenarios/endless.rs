//! A cloud that never stops failing: lost answers, effects that come late, 504 on what exists, views that disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{
    Failure, Fault, FaultPlan, FaultRule, ForeignServer, Ledger, LedgerServer, RouteMatcher, Simulator,
};
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, VirtualClock};
use vip_core::model::{InstallationId, OWNER_LABEL, SERVER_LABEL, Server, ServerId, ServerState, Timestamp, Timing};
use vip_core::ports::{Clock, SeededRandomness};
use vip_core::worker::WorkerConfig;
use vip_tests::site::{pause, spec};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT};

/// Orders in the usual run; `VIP_TEST_ORDERS` asks for another number.
const ORDERS: usize = 160;
/// Orders that are sent between two pauses, and the pause.
const BATCH: (usize, Duration) = (20, Duration::from_secs(30));
/// Of so many orders one is deleted, half of these at once and half when they had time to run.
const DELETED_OF: usize = 8;
/// Longer than the product's landing allowance: some of what was denied lands after its order has ended.
const LATEST_EFFECT: Duration = Duration::from_secs(1_500);
const FOREIGN: usize = 250;
const OTHER_OWNERS: usize = 20;
/// Hours of virtual time after which all has to be settled.
const HOURS: u32 = 72;

/// Is a product in memory and its cloud, both on tokio's paused clock.
struct World {
    simulator: Simulator,
    provisioner: Provisioner,
}

impl World {
    async fn start(seed: u64) -> Self {
        let simulator =
            Simulator::builder().seed(seed).rate_limit_per_hour(10_000_000).project(PROJECT.0, PROJECT.1).build();
        let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let installation: InstallationId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let memory = MemoryBackend::new(clock.clone() as Arc<dyn Clock>, installation);
        let mut config = WorkerConfig::default();
        config.concurrency = 64;
        let provisioner = Provisioner::builder(memory)
            .timing(Timing::default())
            .worker(config)
            .clock(*clock)
            .randomness(SeededRandomness::new(seed))
            .provider(HetznerClient::in_process(&simulator, PROJECT.1).unwrap())
            .start()
            .await
            .unwrap();
        Self { simulator, provisioner }
    }

    /// Fills the project with servers of others; some carry the marks of another installation, and our record's id.
    fn settle_neighbours(&self, mark: ServerId) -> BTreeMap<u64, LedgerServer> {
        let foreign = (0..FOREIGN).map(|number| ForeignServer::named(format!("foreign-{number}")));
        let others = (0..OTHER_OWNERS).map(|number| {
            let owner = "0b1e6a3c-8a55-4cf4-9d5e-3f0c2b7a9e11";
            ForeignServer::named(format!("neighbour-{number}"))
                .label(OWNER_LABEL, owner)
                .label(SERVER_LABEL, mark.to_string())
        });
        let ids: Vec<u64> =
            foreign.chain(others).map(|it| self.simulator.put_server(it.in_project(PROJECT.0)).unwrap()).collect();
        let ledger = self.simulator.ledger();
        ids.into_iter().map(|id| (id, ledger.server(id).unwrap().clone())).collect()
    }

    /// Sends orders in batches and deletes some of them; returns the order ids.
    async fn order(&self, orders: usize) {
        let tenant = self.provisioner.tenant(TENANT);
        let mut to_delete = Vec::new();
        for number in 0..orders {
            if number % (2 * DELETED_OF) == 0 {
                // The order that is deleted at once is denied, and lands when nobody waits for it any more.
                let late = Fault::Late { failure: Some(Failure::Timeout), effect_after: LATEST_EFFECT };
                self.simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), late)).unwrap();
            }
            let order = tenant.create_server(spec(format!("web-{number}"))).await.unwrap();
            if number % DELETED_OF == 0 {
                // One in two is deleted while its create is in the air, the other one when it had time to run.
                if number % (2 * DELETED_OF) == 0 {
                    pause(Duration::from_millis(700)).await;
                    drop(tenant.delete_server(order.server_id()).await.unwrap());
                } else {
                    to_delete.push(order.server_id());
                }
            }
            if number % BATCH.0 == 0 {
                pause(BATCH.1).await;
            }
        }
        pause(Duration::from_secs(120)).await;
        for server in to_delete {
            drop(tenant.delete_server(server).await.unwrap());
        }
    }

    fn ours_live(&self) -> usize {
        let owner = self.provisioner.installation().to_string();
        self.simulator.ledger().live(PROJECT.0).filter(|it| it.labels.get(OWNER_LABEL) == Some(&owner)).count()
    }

    /// Lets hours pass until every order has ended as it was wished and nothing of ours is left over.
    async fn until_settled(&self) -> u32 {
        for hour in 0..HOURS {
            let servers = truth::all_servers(&self.provisioner, TENANT).await;
            let running = servers.iter().filter(|it| it.state == ServerState::Running).count();
            let gone = servers.iter().filter(|it| it.state == ServerState::Deleted).count();
            if running + gone == servers.len() && self.ours_live() == running {
                return hour;
            }
            pause(Duration::from_secs(3600)).await;
        }
        let servers = truth::all_servers(&self.provisioner, TENANT).await;
        let odd: Vec<_> = servers
            .iter()
            .filter(|it| !matches!(it.state, ServerState::Running | ServerState::Deleted))
            .map(|it| (it.provider_name.to_string(), it.state, it.wait_reason))
            .collect();
        panic!("not settled after {HOURS} h; {} of ours live, unsettled: {odd:?}", self.ours_live());
    }
}

fn orders_wanted() -> usize {
    std::env::var("VIP_TEST_ORDERS").map_or(ORDERS, |text| text.parse().unwrap())
}

/// What became of the servers that were ever made for us.
#[derive(Debug, Default)]
struct Fates {
    /// Made when their request had long been given up.
    late: usize,
    /// Not the server of their order, by its record: each has to be gone.
    orphans: usize,
}

impl Fates {
    fn of(ours: &Ledger, running: &BTreeSet<String>, recorded: &BTreeSet<String>) -> Self {
        let mut fates = Self::default();
        for server in &ours.servers {
            let id = server.id.to_string();
            assert_eq!(server.is_live(), running.contains(&id), "{server:?}");
            fates.late += usize::from(server.created_at > server.requested_at);
            fates.orphans += usize::from(!recorded.contains(&id));
        }
        fates
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_mix_of_faults_ends_in_one_server_for_each_order_and_touches_nobody_elses() {
    let orders = orders_wanted();
    let world = World::start(7).await;
    let owner = world.provisioner.installation().to_string();
    world.simulator.add_plan(FaultPlan::endless(LATEST_EFFECT)).unwrap();
    let began = tokio::time::Instant::now();
    let first = world.provisioner.tenant(TENANT).create_server(spec("first")).await.unwrap();
    let neighbours = world.settle_neighbours(first.server_id());
    world.order(orders.saturating_sub(1)).await;
    // The mix goes on: everything has to end under it, and not only when it is over.
    let hours = world.until_settled().await;
    pause(LATEST_EFFECT + Duration::from_secs(3 * 3600)).await;
    world.until_settled().await;

    let ledger = world.simulator.ledger();
    // One server for each order: neighbours that carry the same record's id are not ours and stand aside.
    let mut ours = ledger.clone();
    ours.servers.retain(|it| it.labels.get(OWNER_LABEL) == Some(&owner));
    truth::demand_agreement(&world.provisioner, &[TENANT], &ours).await;
    let servers = truth::all_servers(&world.provisioner, TENANT).await;
    assert_eq!(servers.len(), orders);
    let running: Vec<_> = servers.iter().filter(|it| it.state == ServerState::Running).cloned().collect();
    let ids =
        |servers: &[Server]| servers.iter().filter_map(|it| Some(it.provider_ref.as_ref()?.id.to_string())).collect();
    let (recorded, running) = (ids(&servers), ids(&running));
    let fates = Fates::of(&ours, &running, &recorded);
    for (id, before) in &neighbours {
        assert_eq!(ledger.server(*id), Some(before), "a server of somebody else was touched");
    }
    let requests = ledger.request_total();
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let each = requests as f64 / orders as f64;
    println!(
        "{orders} orders: {} running, {} deleted, {} servers that landed late, {} orphans found and removed, {} late effects, \
         {requests} requests ({each:.2} an order), {} neighbours untouched, settled {hours} h after the last order, \
         {:.1} h of virtual time",
        running.len(),
        servers.len() - running.len(),
        fates.late,
        fates.orphans,
        ledger.late_effects,
        neighbours.len(),
        began.elapsed().as_secs_f64() / 3600.0,
    );
    assert!(ledger.late_effects > 0 && fates.late > 0, "the mix was no mix");
    let report = world.provisioner.shutdown(Duration::from_secs(30)).await;
    assert!(report.is_clean(), "{report}");
}
