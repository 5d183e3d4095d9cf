//! Two API and two worker processes of the reference server on one PostgreSQL, while things go wrong around them.
//!
//! `VIP_TEST_DEPLOYMENT_ORDERS` says how many orders; 120 unless it says more.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code fails by panicking"
)]

mod outages;
mod rolling_restart;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use vip_adapters::postgres::PostgresBackend;
use vip_core::Provisioner;
use vip_tests::actors::CloudActor;
use vip_tests::deployment::{Deployment, Process, TENANT};
use vip_tests::loader::{Heard, Loader};
use vip_tests::postgres::Server;
use vip_tests::truth;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
const DEPLOYED: &str = env!("CARGO_BIN_EXE_deployed");

/// Is everything that runs.
struct Scene {
    postgres: Server,
    database: String,
    cloud: CloudActor,
    deployment: Deployment,
    /// Two that accept, then two that work.
    processes: Vec<Process>,
    loader: Loader,
}

impl Scene {
    async fn new() -> Self {
        Self::with(None).await
    }

    /// Sets the scene, with a queue on a Redis server if there is one.
    async fn with(redis: Option<String>) -> Self {
        let postgres = Server::start(Path::new(ACTOR));
        let database = postgres.new_database().await;
        // Before servers that cost money a process makes no database.
        PostgresBackend::migrate(&postgres.url(&database)).await.unwrap();
        let cloud = CloudActor::start(Path::new(ACTOR), 4711, "calm").await;
        let mut deployment = Deployment::new(Path::new(DEPLOYED), postgres.url(&database), cloud.url());
        if let Some(url) = redis {
            deployment = deployment.variable("VIP_REDIS_URL", url);
        }
        let mut processes = Vec::new();
        for role in ["api", "api", "worker", "worker"] {
            processes.push(deployment.start(role).await);
        }
        let apis = processes[..2].iter().map(Process::url).collect();
        let loader = Loader::new(apis, deployment.key.clone());
        Self { postgres, database, cloud, deployment, processes, loader }
    }

    /// Demands that every order that was accepted has exactly one server, which runs, and that nobody else has one.
    async fn demand_one_server_each(&self, orders: u32) {
        let told = self.loader.told();
        assert_eq!(told.len(), usize::try_from(orders).unwrap());
        let twice: Vec<_> = told.iter().filter(|(_, told)| told.len() != 1).collect();
        assert!(twice.is_empty(), "one key, several orders: {twice:?}");
        let servers: BTreeSet<&str> = told.values().map(|told| told[0].server.as_str()).collect();
        assert_eq!(servers.len(), told.len(), "two orders with one server");
        let statuses = self.loader.statuses();
        let others: BTreeMap<_, _> = statuses.iter().filter(|(_, status)| *status != "succeeded").collect();
        assert!(others.is_empty(), "{others:?}");

        let ledger = self.cloud.ledger().await;
        let live: Vec<&str> =
            ledger.servers.iter().filter(|it| it.is_live()).map(|it| it.labels["vip-server"].as_str()).collect();
        assert_eq!(live.len(), told.len(), "as many servers as orders");
        assert_eq!(live.into_iter().collect::<BTreeSet<_>>(), servers, "at the provider, and as it was answered");
        let backend = vip_adapters::connect(&self.postgres.url(&self.database)).await.unwrap();
        let provisioner = Provisioner::builder(backend).client_only().await.unwrap();
        truth::demand_agreement(&provisioner, &[TENANT], &ledger).await;
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    }

    /// Counts what was heard, in words.
    fn heard(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for exchange in self.loader.exchanges() {
            let what = match exchange.heard {
                Heard::Answer { status, code, .. } => format!("{status} {code}").trim().to_owned(),
                Heard::Refused => "refused".to_owned(),
                Heard::Broken => "broken".to_owned(),
            };
            *counts.entry(format!("{:?} {what}", exchange.ask)).or_default() += 1;
        }
        counts
    }

    async fn end(mut self) {
        for process in &mut self.processes {
            self.deployment.end(process).await;
        }
        self.cloud.stop().await;
        self.postgres.stop();
    }
}

/// Returns how many servers are ordered.
fn orders() -> u32 {
    std::env::var("VIP_TEST_DEPLOYMENT_ORDERS").map_or(120, |text| text.parse().unwrap())
}
