//! Connections by purpose: leases never wait behind commits and reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, timeout_at};
use vip_core::ports::PoolFigures;

use super::config::{Pooler, PostgresConfig};
use super::error::{Failure, Obstacle};
use super::settings::{self, Session, begin_text, hurried};
use super::warm::{Lent, Warm};

/// Connections for claims and rescues: a worker has two claims under way, of which one waits for the disk while the other one
/// searches, and a rescue waits behind neither.
const CLAIM_CONNECTIONS: u32 = 3;
/// Connections for orders and enqueues, of which many go along in one commit.
const ORDER_CONNECTIONS: u32 = 4;
/// Connections for heartbeats and settlements.
const LEASE_CONNECTIONS: u32 = 2;
/// Share of the wait for a connection after which those for claims are used for leases: a quarter.
const LEASE_SHARE: u32 = 4;
/// A connection is renewed now and then, so that the memory of its process at the server does not grow for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// Says what a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Commits, reads, upkeep.
    Work,
    /// Orders and enqueues.
    Order,
    /// Claims and rescues.
    Claim,
    /// Heartbeats and settlements: reserved, so that no lease is lost because others are busy.
    Lease,
}

impl Lane {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Work => "commits and reads",
            Self::Order => "orders and enqueues",
            Self::Claim => "claims",
            Self::Lease => "leases",
        }
    }
}

/// Counts how callers fared who wanted a connection.
#[derive(Debug, Default)]
struct Waits {
    timed_out: AtomicU64,
    longest_micros: AtomicU64,
}

/// Is the connections of one purpose.
#[derive(Debug)]
struct Pool {
    lane: Lane,
    pool: PgPool,
    /// What was given back and goes on to the next caller. Of the host's connections none: others wait for them as well.
    warm: Arc<Warm>,
    waits: Waits,
    /// Whose sessions they are: what is the host's is not closed by us.
    owner: Owner,
    /// How a transaction begins: its level, its time-outs where the session has none, and the server's time.
    begin: String,
}

/// Is the pool of a host, and how it opened connections when it was handed over.
pub(super) type HostPool = (PgPool, Arc<PgConnectOptions>);

/// Holds the connections of a backend. Not to be shown: the options of a connection show their password.
pub(super) struct Lanes {
    pools: [Pool; 4],
    closed: AtomicBool,
    config: PostgresConfig,
    /// The pool of the host, if commits and reads use it, and how it opens connections as far as ours were told.
    host: Option<PgPool>,
    known: Mutex<Arc<PgConnectOptions>>,
    /// How a transaction begins with which others go along.
    begin_hurried: String,
    /// Whether statements are prepared under a name; a pooler in transaction mode forbids it.
    pub(super) named: bool,
}

/// Is a connection on loan; unless it is given back sound, it is closed.
#[derive(Debug)]
pub(super) struct Loan {
    lent: Option<Lent>,
    /// Where it may be kept for the next caller.
    warm: Option<Arc<Warm>>,
    /// Whether each call has to be a transaction, because the session is not ours alone.
    pub(super) shared: bool,
}

impl Loan {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, Failure> {
        self.lent.as_mut().map(|lent| &mut *lent.connection).ok_or_else(|| Failure::unavailable(Obstacle::Closed))
    }

    /// Gives it to the next caller: whoever does has read the server's last answer on it.
    pub(super) fn give_back(mut self) {
        match (&self.warm, self.lent.take()) {
            (Some(warm), Some(lent)) => warm.give_back(lent),
            (None, lent) => drop(lent),
            (Some(_), None) => {}
        }
    }

    /// Gives it back to its pool, which asks whether it still answers.
    pub(super) fn give_back_to_pool(mut self) {
        drop(self.lent.take());
    }
}

impl Drop for Loan {
    /// Closes what was not given back: a caller that went away may have left a transaction open.
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.close();
        }
    }
}

impl Lanes {
    /// Makes the pools; connections are opened when they are needed. Commits and reads use the pool of the host, if there is one.
    pub(super) fn new(options: PgConnectOptions, config: &PostgresConfig, host: Option<HostPool>) -> Self {
        let (host, known) = host.unzip();
        let pool = |lane, most| {
            let session = settings::options_of(lane, &options, config);
            Pool::new(lane, pool_of(most, config).connect_lazy_with(session), config)
        };
        let work = match &host {
            None => pool(Lane::Work, config.connections),
            Some(host) => {
                let begin = begin_text(config, Session::Foreign, Lane::Work);
                let (warm, waits) = (Arc::default(), Waits::default());
                Pool { lane: Lane::Work, pool: host.clone(), warm, waits, owner: Owner::Host, begin }
            }
        };
        let order = pool(Lane::Order, ORDER_CONNECTIONS);
        Self {
            begin_hurried: hurried(&order.begin, config),
            pools: [work, order, pool(Lane::Claim, CLAIM_CONNECTIONS), pool(Lane::Lease, LEASE_CONNECTIONS)],
            closed: AtomicBool::new(false),
            named: config.pooler == Pooler::None,
            config: config.clone(),
            known: Mutex::new(known.unwrap_or_else(|| Arc::new(options))),
            host,
        }
    }

    /// Gives our pools what the host's has been told since, such as another password.
    fn follow_host(&self) {
        let Some(host) = &self.host else { return };
        let now = host.connect_options();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&known, &now) {
            return;
        }
        let plain = settings::plain_options(now.as_ref().clone(), self.config.pooler);
        for pool in self.pools.iter().filter(|pool| pool.owner == Owner::Us) {
            pool.pool.set_connect_options(settings::options_of(pool.lane, &plain, &self.config));
        }
        *known = now;
    }

    fn pool(&self, lane: Lane) -> &Pool {
        let [work, order, claim, lease] = &self.pools;
        match lane {
            Lane::Work => work,
            Lane::Order => order,
            Lane::Claim => claim,
            Lane::Lease => lease,
        }
    }

    /// Returns how a transaction begins.
    pub(super) fn begin(&self, lane: Lane) -> &str {
        &self.pool(lane).begin
    }

    /// Returns how a transaction begins that waits for no row for long, because others go along with it.
    pub(super) fn begin_hurried(&self) -> &str {
        &self.begin_hurried
    }

    /// Waits for a connection, at most as long as is set and until the deadline.
    pub(super) async fn lend(&self, lane: Lane, deadline: Instant) -> Result<Loan, Failure> {
        let first = if lane == Lane::Lease {
            // Time is left for the second one: a server that is full lets whoever connects wait for all of it.
            deadline.min(Instant::now() + self.config.pool_wait / LEASE_SHARE)
        } else {
            deadline
        };
        let found = self.lend_of(lane, first).await;
        match found {
            // Who can claim can prolong and end what was claimed, also where the server gives no further connection: else jobs
            // would be claimed whose leases expire, again and again.
            Err(Failure::Unavailable(first)) if lane == Lane::Lease => {
                let second = self.lend_of(Lane::Claim, deadline).await;
                second.map_err(|second| {
                    tracing::debug!(error = ?second, "there is no connection for claims either");
                    Failure::Unavailable(first)
                })
            }
            found => found,
        }
    }

    async fn lend_of(&self, lane: Lane, deadline: Instant) -> Result<Loan, Failure> {
        // The pool of a host stays open; nobody is to get something from a closed backend.
        if self.closed.load(Ordering::SeqCst) {
            return Err(Failure::unavailable(Obstacle::Closed));
        }
        self.follow_host();
        let pool = self.pool(lane);
        let shared = pool.begin.contains("SET LOCAL");
        let warm = Some(Arc::clone(&pool.warm)).filter(|_| pool.owner == Owner::Us && !shared);
        let waiting = match pool.warm.take() {
            Ok(lent) => return Ok(Loan { lent: Some(lent), warm, shared }),
            Err(waiting) => waiting,
        };
        let begun = Instant::now();
        let found = timeout_at(deadline.min(begun + self.config.pool_wait), pool.pool.acquire()).await;
        drop(waiting);
        let waited = begun.elapsed();
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        pool.waits.longest_micros.fetch_max(micros, Ordering::Relaxed);
        match found {
            Ok(Ok(connection)) => Ok(Loan { lent: Some(Lent::new(connection)), warm, shared }),
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                pool.waits.timed_out.fetch_add(1, Ordering::Relaxed);
                let most = pool.pool.options().get_max_connections();
                let is_full = pool.pool.size() >= most && pool.pool.num_idle() == 0;
                let obstacle = if is_full {
                    Obstacle::Exhausted { most, purpose: lane.purpose(), waited }
                } else {
                    Obstacle::NoConnection { waited }
                };
                tracing::warn!(error = %obstacle, duration_ms = micros / 1000, "no connection to the database");
                Err(Failure::unavailable(obstacle))
            }
            Ok(Err(sqlx::Error::PoolClosed)) => Err(Failure::unavailable(Obstacle::Closed)),
            // Nothing was sent.
            Ok(Err(error)) => Err(Failure::from(error).of_nothing_sent()),
        }
    }

    /// Makes a pool of one connection that listens: a new one each time, because one that does not answer cannot be given back.
    /// None behind a pooler that shares sessions.
    pub(super) fn hints(&self) -> Option<PgPool> {
        if self.config.pooler == Pooler::Transaction {
            return None;
        }
        self.follow_host();
        let known = Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner));
        let session = settings::options_of(Lane::Work, &known, &self.config);
        Some(pool_of(1, &self.config).connect_lazy_with(session))
    }

    /// Shows how busy the connections are.
    pub(super) fn figures(&self) -> Vec<PoolFigures> {
        self.pools.iter().map(Pool::figures).collect()
    }

    /// Closes what is ours, for no longer than a call takes: one whose other end is gone without a word never answers.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + self.config.call_deadline;
        for pool in self.pools.iter().filter(|pool| pool.owner == Owner::Us) {
            // A pool that is closed asks no connection whether it still answers.
            let closing = pool.pool.close();
            pool.warm.close();
            if timeout_at(deadline, closing).await.is_err() {
                tracing::debug!(purpose = pool.lane.purpose(), "connections did not answer when they were closed");
            }
        }
    }
}

/// Says who opens and closes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Us,
    Host,
}

impl Pool {
    fn new(lane: Lane, pool: PgPool, config: &PostgresConfig) -> Self {
        let session = match config.pooler {
            Pooler::None => Session::Ours,
            Pooler::Transaction => Session::Foreign,
        };
        let (warm, waits) = (Arc::default(), Waits::default());
        Self { lane, pool, warm, waits, owner: Owner::Us, begin: begin_text(config, session, lane) }
    }

    fn figures(&self) -> PoolFigures {
        let mut figures = PoolFigures::default();
        figures.purpose = self.lane.purpose();
        figures.most = self.pool.options().get_max_connections();
        figures.open = self.pool.size();
        let (kept, waiting) = self.warm.figures();
        figures.idle = u32::try_from(self.pool.num_idle().saturating_add(kept)).unwrap_or(u32::MAX);
        figures.waiting = waiting;
        figures.timed_out = self.waits.timed_out.load(Ordering::Relaxed);
        figures.longest_wait = Duration::from_micros(self.waits.longest_micros.load(Ordering::Relaxed));
        figures
    }
}

fn pool_of(most: u32, config: &PostgresConfig) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(config.pool_wait)
        // One more way to the server and back for each call; a dead connection is noticed and the call tried again.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(CONNECTION_AGE)
}
