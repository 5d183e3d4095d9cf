//! Store, queue and audit in one PostgreSQL database: the backend for production.
//!
//! Everything of ours is in the schema `vip`, so that a host may keep its own tables beside it. For people there are
//! views with times that can be read, such as `vip.servers_readable`. Times are the database's: all processes share
//! one clock, whatever their own say.

mod bell;
mod commit;
mod config;
mod error;
mod host_transaction;
mod job_queue;
mod jobs;
mod lanes;
mod migration;
mod queries;
mod rows;
mod seal;
mod session;
mod store;
mod transaction;
mod upkeep;
mod watcher;

use std::str::FromStr;
use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use vip_core::model::InstallationId;
use vip_core::ports::{Backend, Connections, Durability};

use bell::Bell;
use config::BoundedLoss;
pub use config::{OlderSchema, Pooler, PostgresConfig};
pub use error::OpenError;
use error::{Failure, Obstacle};
use lanes::Lanes;
use queries::Queries;
use session::{Sessions, Write};
use upkeep::Install;
pub use vip_core::ports::PoolFigures;
use watcher::Watcher;

/// Keeps orders, jobs and audit records in one PostgreSQL database; a clone is the same backend.
///
/// # Guarantees
///
/// * A change is committed whole or not at all, also if its future is dropped or the process is killed.
/// * A commit is on the server's disk when it is answered (`fsync` and `synchronous_commit` are checked).
/// * What may pass is tried again until the deadline of the call: deadlocks, lost connections, a server that starts.
///   A commit of unknown outcome is repeated under its own id, which resolves it.
///
/// # Assumptions
///
/// PostgreSQL 15 or newer, and a primary: a standby is refused by each write until the primary is back.
#[derive(Debug, Clone)]
pub struct PostgresBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: Arc<Sessions>,
    watcher: Watcher,
    durability: Durability,
    closing: watch::Sender<bool>,
    /// Calls under way, which a caller that goes away does not cut in the middle, and both sides of the bell.
    calls: TaskTracker,
}

impl PostgresBackend {
    /// Connects to a database; creates the schema `vip` if there is none, and checks it if there is one.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn connect(url: &str, config: PostgresConfig) -> Result<Self, OpenError> {
        Self::open(options_of(url)?, config, None).await
    }

    /// Uses the pool of the host for commits and reads; claims, heartbeats and settlements get connections of their own
    /// with the same options, so that a busy host costs no lease.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn with_pool(pool: PgPool, config: PostgresConfig) -> Result<Self, OpenError> {
        let options = pool.connect_options().as_ref().clone();
        Self::open(options, config, Some(pool)).await
    }

    /// Brings the schema up to date, for a step of a deployment; the role needs the right to create it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn migrate(url: &str) -> Result<(), OpenError> {
        migration::prepare(&options_of(url)?, OlderSchema::Migrate, migration::migrations()).await.map(drop)
    }

    async fn open(
        options: PgConnectOptions,
        config: PostgresConfig,
        host_pool: Option<PgPool>,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let options = lanes::plain_options(options, config.pooler);
        let settings = migration::prepare(&options, config.older_schema, migration::migrations()).await?;
        let durability = durability(settings, config.bounded_loss)?;
        let mut lanes = Lanes::new(&options, &config);
        if let Some(pool) = host_pool {
            lanes = lanes.with_host_pool(pool, &config);
        }
        let sessions = Arc::new(Sessions {
            lanes,
            queries: Queries::load(&config.filter),
            clock: config.clock.clone(),
            randomness: Arc::clone(&config.randomness),
            call_deadline: config.call_deadline,
            arrivals: watch::Sender::new(0),
            rung: watch::Sender::new(()),
        });
        let (closing, closing_seen) = watch::channel(false);
        let watcher = Watcher::new(Arc::clone(&sessions), config.poll_interval, closing_seen.clone());
        let calls = TaskTracker::new();
        if let Some(pool) = sessions.lanes.hints() {
            let (rung, name) = (sessions.rung.subscribe(), config.randomness.uuid().to_string());
            let bell = Bell {
                sessions: Arc::clone(&sessions),
                pool,
                name,
                rung,
                closing: closing_seen,
                wanted: watcher.wanted(),
            };
            calls.spawn(bell.clone().ring());
            calls.spawn(bell.listen());
        }
        let shared = Shared { sessions, watcher, durability, closing, calls };
        let backend = Self { shared: Arc::new(shared) };
        let id = InstallationId::from_uuid(config.randomness.uuid());
        match backend.write(Install(id)).await {
            Ok(()) => Ok(backend),
            Err(failure) => {
                backend.close_all().await;
                Err(OpenError::Migration { source: Box::new(vip_core::ports::StoreError::from(failure)) })
            }
        }
    }

    /// Returns store and queue for a builder.
    #[must_use]
    pub fn backend(&self) -> Backend {
        Backend::new(Arc::new(self.clone()), Arc::new(self.clone())).with_connections(Arc::new(self.clone()))
    }

    /// Shows how busy the connections are, for metrics: one entry for each purpose.
    #[must_use]
    pub fn pool_figures(&self) -> Vec<PoolFigures> {
        self.shared.sessions.lanes.figures()
    }

    /// Runs a write in a task of its own: a caller that goes away does not cut it.
    async fn write<W: Write>(&self, write: W) -> Result<W::Answer, Failure> {
        if *self.shared.closing.borrow() {
            return Err(Failure::unavailable(Obstacle::Closed));
        }
        let sessions = Arc::clone(&self.shared.sessions);
        let call = self.shared.calls.spawn(async move { sessions.write(&write).await });
        call.await.unwrap_or_else(|lost| {
            tracing::error!(error = %lost, "a database call ended before it answered");
            Err(Failure::Unknown(Arc::new(Obstacle::AnswerLost)))
        })
    }

    fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    fn watcher(&self) -> &Watcher {
        &self.shared.watcher
    }

    fn kept(&self) -> Durability {
        self.shared.durability
    }

    async fn close_all(&self) {
        self.shared.closing.send_replace(true);
        self.shared.calls.close();
        self.shared.calls.wait().await;
        self.shared.sessions.lanes.close().await;
    }
}

impl Connections for PostgresBackend {
    fn figures(&self) -> Vec<PoolFigures> {
        self.pool_figures()
    }
}

fn options_of(url: &str) -> Result<PgConnectOptions, OpenError> {
    PgConnectOptions::from_str(url).map_err(|error| {
        tracing::debug!(%error, "the URL of the database cannot be read");
        OpenError::Address
    })
}

/// Says whether the server keeps what it answers.
fn durability(settings: migration::Settings, bounded_loss: BoundedLoss) -> Result<Durability, OpenError> {
    let found = [("fsync", settings.fsync), ("synchronous_commit", settings.synchronous_commit)];
    let Some((setting, found)) = found.into_iter().find(|(_, value)| value == "off") else {
        return Ok(Durability::Durable);
    };
    match bounded_loss {
        BoundedLoss::Refused => Err(OpenError::NotDurable { setting, found }),
        BoundedLoss::Allowed => Ok(Durability::BoundedLoss { because: "the server does not wait for its disk" }),
    }
}
