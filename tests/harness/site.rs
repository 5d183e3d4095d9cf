//! A place of installation for the suites: one SQLite file and one clock that moves only when told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig};
use vip_core::Provisioner;
use vip_core::memory::ManualClock;
use vip_core::model::{Desired, Server, ServerSpec, ServerState, Timestamp, Timing};
use vip_core::provisioner::Builder;
use vip_core::worker::WorkerConfig;

use crate::{timing, truth};

/// How far the clock moves in one step, and how much real time a step leaves to the workers.
const STEP: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(10));
/// Steps until something has to have happened: some 20 s of real time.
const STEPS: u32 = 2_000;
/// How long something may take that others do in real time, and how often it is looked for: far longer than it takes on a busy machine.
const UNTIL: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(5));

/// Is a folder with one store, and the clock of that store.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

/// Returns quick timings with a lease that outlasts jumps of the clock.
#[must_use]
pub fn patient() -> Timing {
    let mut timing = timing::quick();
    timing.lease = Duration::from_secs(120);
    timing.stall_after = Duration::from_secs(125);
    timing
}

/// Describes a small server.
pub fn spec(name: impl Into<String>) -> ServerSpec {
    ServerSpec::new(name).server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops")
}

/// Lets real time pass, for work that has no other sign of its progress.
pub async fn pause(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

/// Looks, in real time, until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let came = async {
        while !holds().await {
            pause(UNTIL.1).await;
        }
    };
    assert!(tokio::time::timeout(UNTIL.0, came).await.is_ok(), "in {:?} it did not come to pass: {what}", UNTIL.0);
}

impl Default for Site {
    fn default() -> Self {
        let start = Timestamp::from_micros(1_800_000_000_000_000);
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::new(start)) }
    }
}

impl Site {
    /// Returns the file of the store.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("vip.db")
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the store.
    pub async fn open(&self) -> SqliteBackend {
        self.open_with(SqliteConfig::default()).await
    }

    /// Opens the store with settings, but with this place's clock.
    pub async fn open_with(&self, config: SqliteConfig) -> SqliteBackend {
        let config = config.clock(self.clock.clone()).poll_interval(Duration::from_millis(20));
        SqliteBackend::open(self.file().to_str().unwrap(), config).await.unwrap()
    }

    /// Begins to build a product on the store.
    pub async fn builder(&self) -> Builder {
        let mut config = WorkerConfig::default();
        config.poll_interval = Duration::from_millis(20);
        Provisioner::builder(self.open().await.backend()).timing(patient()).worker(config)
    }

    /// Starts a product with workers.
    pub async fn start(&self, client: HetznerClient) -> Provisioner {
        self.builder().await.provider(client).start().await.unwrap()
    }

    /// Moves the clock at once.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the clock in small steps.
    pub async fn run(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP.0);
            self.clock.advance(step);
            pause(STEP.1).await;
            left -= step;
        }
    }

    /// Moves the clock in small steps until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..STEPS {
            if holds().await {
                return;
            }
            self.run(STEP.0).await;
        }
        panic!("in {STEPS} steps it did not come to pass: {what}");
    }

    /// Moves the clock until all servers of a tenant are running, or gone, as they are wished to be.
    pub async fn until_settled(&self, provisioner: &Provisioner, tenant: &str) {
        let settled = async || {
            let servers = truth::all_servers(provisioner, tenant).await;
            let wished = |server: &Server| match server.desired {
                Desired::Present => server.state == ServerState::Running,
                Desired::Absent => server.state == ServerState::Deleted,
            };
            servers.iter().all(wished)
        };
        self.until("all servers are as they are wished to be", settled).await;
    }

    /// Orders servers and waits until they run.
    pub async fn running(&self, provisioner: &Provisioner, tenant: &str, names: impl IntoIterator<Item = String>) {
        for name in names {
            drop(provisioner.tenant(tenant).create_server(spec(name)).await.unwrap());
        }
        self.until_settled(provisioner, tenant).await;
    }
}
