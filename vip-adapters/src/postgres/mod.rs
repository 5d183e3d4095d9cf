//! Store, queue and audit in one PostgreSQL database: the backend for production.
//!
//! Everything of ours is in the schema `vip`, so that a host may keep its own tables beside it. For people there are
//! views with times that can be read, such as `vip.servers_readable`. Times are the database's: all processes share
//! one clock, whatever their own say.

mod bell;
mod claims;
mod commit;
mod config;
mod error;
mod gather;
mod host_transaction;
mod job_queue;
mod jobs;
mod keys;
mod lanes;
mod leases;
mod migration;
mod orders;
mod queries;
mod rows;
mod seal;
mod session;
mod settings;
mod store;
mod transaction;
mod upkeep;
mod url;
mod warm;
mod watcher;
mod writable;

use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use vip_core::model::{InstallationId, NewJob, Timestamp};
use vip_core::ports::{
    Backend, ChangeSet, ClaimRequest, Claimed, Clock, Committed, Connections, Durability, Enqueued, KeyRecord,
    SystemClock,
};
use vip_core::telemetry;

use crate::broken_chains::BrokenChains;
use crate::missing::Missing;
use crate::unread_accounts::UnreadAccounts;

use bell::Bell;
use claims::{Claim, Floors};
use config::BoundedLoss;
pub use config::{OlderSchema, Pooler, PostgresConfig};
pub use error::OpenError;
use error::{Failure, Obstacle};
use gather::{Gather, Shared as Outcome, Turn};
use jobs::{EnqueueJobs, EnqueueTogether};
use keys::Wanted;
use lanes::{HostPool, Lanes};
use migration::Wish;
use orders::{Held, counter_of};
use queries::Queries;
use session::{Sessions, Write};
use upkeep::Install;
pub(crate) use url::check_url;
use url::options_of;
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
/// PostgreSQL 15 or newer, and a primary: a standby refuses each write until the primary is back, and health says so.
#[derive(Debug, Clone)]
pub struct PostgresBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sessions: Arc<Sessions>,
    watcher: Watcher,
    durability: Durability,
    broken_chains: BrokenChains,
    unread_accounts: UnreadAccounts,
    closing: watch::Sender<bool>,
    /// How far the claims of this process have come; behind a pooler nobody remembers.
    floors: Option<Arc<Floors>>,
    /// Single enqueues and new orders that wait for the next commit.
    enqueues: Arc<Gather<NewJob, Enqueued>>,
    orders: Arc<Gather<ChangeSet, Result<Committed, Held>>>,
    /// Those of them whose counter somebody else holds: waiting for it holds up no other.
    held_orders: Arc<Gather<ChangeSet, Committed>>,
    /// Keys that are looked for with the next statement.
    keys: Arc<Gather<Wanted, Option<KeyRecord>>>,
    /// Calls under way, which a caller that goes away does not cut in the middle, and both sides of the bell.
    calls: TaskTracker,
}

impl PostgresBackend {
    /// Connects to a database; creates the schema `vip` if there is none, unless it [has to be
    /// there](PostgresConfig::must_exist), and checks it if there is one.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn connect(url: &str, config: PostgresConfig) -> Result<Self, OpenError> {
        Self::open(options_of(url)?, config, None).await
    }

    /// Uses the pool of the host for commits and reads; new orders, enqueues, claims, heartbeats and settlements get
    /// connections of their own with the same options, so that a busy host costs no lease. An order whose key or
    /// quota is taken, or whose tenant's counter somebody else holds, waits for the pool of the host.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn with_pool(pool: PgPool, config: PostgresConfig) -> Result<Self, OpenError> {
        let known = pool.connect_options();
        Self::open(known.as_ref().clone(), config, Some((pool, known))).await
    }

    /// Brings the schema up to date, for a step of a deployment; the role needs the right to create it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub async fn migrate(url: &str) -> Result<(), OpenError> {
        let wish = Wish { older: OlderSchema::Migrate, missing: Missing::Made };
        migration::prepare(&options_of(url)?, wish, migration::migrations()).await.map(drop)
    }

    async fn open(
        options: PgConnectOptions,
        mut config: PostgresConfig,
        host: Option<HostPool>,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let options = settings::plain_options(options, config.pooler);
        settings::check_session(&options, &config).await?;
        let wish = Wish { older: config.older_schema, missing: config.missing };
        let found = migration::prepare(&options, wish, migration::migrations_with(&config.later)).await?;
        let durability = durability(&found, config.bounded_loss)?;
        if durability == Durability::Durable {
            config.synchronous_commit = Some(found.synchronous_commit);
        }
        let lanes = Lanes::new(options, &config, host);
        let sessions = Arc::new(Sessions {
            lanes,
            queries: Queries::load(&config.filter),
            clock: config.clock.clone(),
            randomness: Arc::clone(&config.randomness),
            call_deadline: config.call_deadline,
            arrivals: watch::Sender::new(0),
            rung: watch::Sender::new(false),
        });
        let (closing, closing_seen) = watch::channel(false);
        let watcher = Watcher::new(Arc::clone(&sessions), config.poll_interval, closing_seen.clone());
        let calls = TaskTracker::new();
        if sessions.lanes.named {
            let (rung, name) = (sessions.rung.subscribe(), config.randomness.uuid().to_string());
            let bell =
                Bell { sessions: Arc::clone(&sessions), name, rung, closing: closing_seen, wanted: watcher.wanted() };
            calls.spawn(bell.clone().ring());
            calls.spawn(bell.listen());
        }
        let floors = sessions.lanes.named.then(Arc::default);
        let shared = Shared {
            sessions,
            watcher,
            durability,
            broken_chains: BrokenChains::default(),
            unread_accounts: UnreadAccounts::default(),
            closing,
            floors,
            enqueues: Arc::default(),
            orders: Arc::new(Gather::with_rows(counter_of)),
            held_orders: Arc::new(Gather::with_rows(counter_of)),
            keys: Arc::default(),
            calls,
        };
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
        self.call(|sessions| async move { sessions.write(&write).await }).await
    }

    /// Makes a call that goes on to its end if its caller goes away.
    async fn call<T, F>(&self, call: impl FnOnce(Arc<Sessions>) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        if *self.shared.closing.borrow() {
            return Err(Failure::unavailable(Obstacle::Closed));
        }
        let call = self.shared.calls.spawn(call(Arc::clone(&self.shared.sessions)));
        joined(call.await)
    }

    /// Enqueues a job in one commit with those of other callers; by itself if that came to nothing.
    async fn enqueue_together(&self, job: &NewJob) -> Result<Vec<Enqueued>, Failure> {
        let (_call, deadline) = self.begin()?;
        match self.gathered(&self.shared.enqueues, job.clone(), EnqueueTogether::new, deadline).await? {
            Outcome::Answer(enqueued) => Ok(vec![enqueued]),
            Outcome::Alone(failure) => self.alone(EnqueueJobs::new(vec![job.clone()]), deadline, failure).await,
        }
    }

    /// Looks for a key in one statement with those of other callers; by itself if that came to nothing.
    async fn key_together(&self, wanted: Wanted) -> Result<Option<KeyRecord>, Failure> {
        let sessions = &self.shared.sessions;
        let deadline = sessions.deadline();
        if !*self.shared.closing.borrow()
            && let Some((answered, turn)) = self.shared.keys.join(wanted.clone())
        {
            if let Some(turn) = turn {
                self.shared.calls.spawn(keys::find_for_all(Arc::clone(sessions), turn));
            }
            match timeout_at(sessions.early_deadline(), answered).await {
                Ok(Ok(Outcome::Answer(found))) => return Ok(found),
                // Somebody has to put something right first.
                Ok(Ok(Outcome::Alone(failure))) if failure.waits_for_somebody() => return Err(failure),
                Ok(Ok(Outcome::Alone(_)) | Err(_)) | Err(_) => {}
            }
        }
        let found = timeout_at(deadline + session::CUT_AFTER, keys::find(sessions, wanted)).await;
        found.unwrap_or_else(|_elapsed| Err(Failure::unavailable(Obstacle::Silent)))
    }

    /// Claims jobs, behind those that this process has claimed before.
    async fn claim_next(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, Failure> {
        self.write(Claim { request: request.clone(), floors: self.shared.floors.clone() }).await
    }

    /// Begins a call, for whose end whoever closes waits; returns when it has to have answered.
    fn begin(&self) -> Result<(TaskTrackerToken, Instant), Failure> {
        if *self.shared.closing.borrow() {
            return Err(Failure::unavailable(Obstacle::Closed));
        }
        Ok((self.shared.calls.token(), self.sessions().deadline()))
    }

    /// Goes along with the next commit, or makes it.
    async fn gathered<I, O, G>(
        &self,
        gather: &Arc<Gather<I, O>>,
        item: I,
        make: fn(Vec<I>) -> G,
        deadline: Instant,
    ) -> Result<Outcome<O>, Failure>
    where
        I: Clone + Send + 'static,
        O: Send + 'static,
        G: Write<Answer = Vec<Option<O>>>,
    {
        let Some((answered, turn)) = gather.join(item) else {
            return Err(Failure::unavailable(Obstacle::TooManyWait { most: gather::WAITING_MOST }));
        };
        if let Some(turn) = turn {
            self.shared.calls.spawn(write_for_all(Arc::clone(&self.shared.sessions), turn, make));
        }
        let lost = || Failure::Unknown(Arc::new(Obstacle::AnswerLost));
        match timeout_at(deadline + session::CUT_AFTER, answered).await {
            // If it is lost, the writer is gone in the middle of it.
            Ok(outcome) => Ok(outcome.unwrap_or_else(|_gone| Outcome::Alone(lost()))),
            // It does not come to an end, and there is no time left to try alone.
            Err(_) => Err(lost()),
        }
    }

    /// Writes by itself what was not written with others, or what nobody knows of.
    async fn alone<W: Write>(&self, write: W, deadline: Instant, failure: Failure) -> Result<W::Answer, Failure> {
        let unknown = Some(failure).filter(|it| matches!(it, Failure::Unknown(_)));
        let sessions = Arc::clone(&self.shared.sessions);
        let call = self.shared.calls.spawn(async move { sessions.write_until(&write, deadline, unknown).await });
        joined(call.await)
    }

    fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    fn watcher(&self) -> &Watcher {
        &self.shared.watcher
    }

    fn broken_chains(&self) -> &BrokenChains {
        &self.shared.broken_chains
    }

    fn unread_accounts(&self) -> &UnreadAccounts {
        &self.shared.unread_accounts
    }

    /// Returns the time by which this process measures for itself, without asking the server.
    fn time(&self) -> Timestamp {
        self.sessions().clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now())
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

/// Writes for all who wait, until nobody does: one try for each commit, and whoever it does not help goes on alone.
async fn write_for_all<I, O, G>(sessions: Arc<Sessions>, mut turn: Turn<I, O>, make: fn(Vec<I>) -> G)
where
    I: Clone + Send + 'static,
    O: Send + 'static,
    G: Write<Answer = Vec<Option<O>>>,
{
    loop {
        let waiting = turn.take();
        if waiting.is_empty() {
            return;
        }
        let items = waiting.iter().map(|one| one.item.clone()).collect();
        // Ended early, so that whoever it does not help has the most of its time left.
        let outcomes: Vec<Outcome<O>> = match sessions.attempt(&make(items), sessions.early_deadline()).await {
            Ok(answers) => answers.into_iter().map(Outcome::of).collect(),
            Err(failure) => waiting.iter().map(|_| Outcome::Alone(failure.clone())).collect(),
        };
        let answered = waiting.len();
        for (one, outcome) in waiting.into_iter().zip(outcomes) {
            if one.answer.send(outcome).is_err() {
                telemetry::tell(|| tracing::debug!("the caller of a call that was written went away"));
            }
        }
        turn.come_back(answered).await;
    }
}

fn joined<T>(ended: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    ended.unwrap_or_else(|lost| {
        telemetry::tell(|| tracing::error!(error = %lost, "a database call ended before it answered"));
        Err(Failure::Unknown(Arc::new(Obstacle::AnswerLost)))
    })
}

/// Says whether the server keeps what it answers.
fn durability(settings: &migration::Settings, bounded_loss: BoundedLoss) -> Result<Durability, OpenError> {
    let found = [("fsync", &settings.fsync), ("synchronous_commit", &settings.synchronous_commit)];
    let Some((setting, found)) = found.into_iter().find(|(_, value)| *value == "off") else {
        return Ok(Durability::Durable);
    };
    let found = found.clone();
    match bounded_loss {
        BoundedLoss::Refused => Err(OpenError::NotDurable { setting, found }),
        BoundedLoss::Allowed => Ok(Durability::BoundedLoss { because: "the server does not wait for its disk" }),
    }
}
