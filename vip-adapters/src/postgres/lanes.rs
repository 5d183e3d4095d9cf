//! Connections by purpose: leases never wait behind commits and reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool, Postgres};
use tokio::time::{Instant, timeout_at};
use vip_core::ports::PoolFigures;

use super::config::{BoundedLoss, Pooler, PostgresConfig};
use super::error::{Failure, Obstacle};

/// Statements that a connection keeps prepared; there are fewer than this in all.
const STATEMENTS: usize = 128;
/// Connections for claims and rescues: a worker has two claims under way, of which one waits for the disk while the other one
/// searches, and a rescue waits behind neither.
const CLAIM_CONNECTIONS: u32 = 3;
/// Connections for orders and enqueues, of which many go along in one commit.
const ORDER_CONNECTIONS: u32 = 4;
/// Longest wait for a row of an order with which others go along: whoever is held up then tries by itself.
const ORDER_LOCK_WAIT: Duration = Duration::from_millis(100);
/// Connections for heartbeats and settlements.
const LEASE_CONNECTIONS: u32 = 2;
/// A connection is renewed now and then, so that the memory of its process at the server does not grow for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// A transaction of ours waits for nothing but the server; one that stands still is a lost process.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// Plans made for an empty table stay in use while it grows; this way through a table is never right here.
/// A way that is forbidden counts as very expensive, and what is expensive would be compiled each time: so `jit` is off, too.
const PLANS: [&str; 2] = ["enable_seqscan", "jit"];
/// The same for a few statements that take rows one by one: here no other way than the index is right, either.
const CLAIM_PLANS: [&str; 4] = ["enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"];

/// Lets a commit wait for the disk where the session does not. What waits for more, as for a standby, goes on doing so.
const DURABLE: &str =
    " SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';";

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
    waiting: AtomicU64,
    timed_out: AtomicU64,
    longest_micros: AtomicU64,
}

/// Is the connections of one purpose.
#[derive(Debug)]
struct Pool {
    lane: Lane,
    pool: PgPool,
    waits: Waits,
    /// Whose sessions they are: what is the host's is not closed by us.
    owner: Owner,
    /// How a transaction begins: its level, its time-outs where the session has none, and the server's time.
    begin: String,
}

/// Holds the connections of a backend. Not to be shown: the options of a connection show their password.
pub(super) struct Lanes {
    pools: [Pool; 4],
    pool_wait: Duration,
    closed: AtomicBool,
    /// How a connection for listening is made; none behind a pooler that shares sessions.
    hints: Option<(PgPoolOptions, PgConnectOptions)>,
    /// How a transaction begins with which others go along.
    begin_hurried: String,
    /// Whether statements are prepared under a name; a pooler in transaction mode forbids it.
    pub(super) named: bool,
}

/// Is a connection on loan; unless it is given back sound, it is closed.
#[derive(Debug)]
pub(super) struct Loan {
    connection: Option<sqlx::pool::PoolConnection<Postgres>>,
    /// Whether each call has to be a transaction, because the session is not ours alone.
    pub(super) shared: bool,
}

impl Loan {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, Failure> {
        self.connection.as_deref_mut().ok_or_else(|| Failure::unavailable(Obstacle::Closed))
    }

    /// Gives it back for others.
    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Loan {
    /// Closes what was not given back: a caller that went away may have left a transaction open.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// Counts a caller that waits, for as long as it does: one that goes away meanwhile waits no more.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    /// Makes the pools; connections are opened when they are needed.
    pub(super) fn new(options: &PgConnectOptions, config: &PostgresConfig) -> Self {
        let session = session_options(options, config);
        let pool = |lane, most, options| Pool::new(lane, pool_of(most, config).connect_lazy_with(options), config);
        let claims = match config.pooler {
            Pooler::None => session.clone().options(without(&CLAIM_PLANS)),
            Pooler::Transaction => session.clone(),
        };
        let lock_wait = millis(ORDER_LOCK_WAIT.min(config.lock_wait).min(config.call_deadline));
        let orders = match config.pooler {
            Pooler::None => claims.clone().options([("lock_timeout", lock_wait)]),
            Pooler::Transaction => claims.clone(),
        };
        let hints = match config.pooler {
            Pooler::None => Some((pool_of(1, config), session.clone())),
            Pooler::Transaction => None,
        };
        let pools = [
            pool(Lane::Work, config.connections, session),
            pool(Lane::Order, ORDER_CONNECTIONS, orders),
            pool(Lane::Claim, CLAIM_CONNECTIONS, claims.clone()),
            pool(Lane::Lease, LEASE_CONNECTIONS, claims),
        ];
        Self {
            begin_hurried: hurried(pools.iter().find(|pool| pool.lane == Lane::Order), config),
            pools,
            pool_wait: config.pool_wait,
            closed: AtomicBool::new(false),
            hints,
            named: config.pooler == Pooler::None,
        }
    }

    /// Makes commits and reads use the pool of the host.
    pub(super) fn with_host_pool(mut self, pool: PgPool, config: &PostgresConfig) -> Self {
        let [work, ..] = &mut self.pools;
        let begin = begin_text(config, Session::Foreign, Lane::Work);
        *work = Pool { lane: Lane::Work, pool, waits: Waits::default(), owner: Owner::Host, begin };
        self
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
        // The pool of a host stays open; nobody is to get something from a closed backend.
        if self.closed.load(Ordering::SeqCst) {
            return Err(Failure::unavailable(Obstacle::Closed));
        }
        let pool = self.pool(lane);
        let begun = Instant::now();
        let waiting = Waiting::begin(&pool.waits.waiting);
        let found = timeout_at(deadline.min(begun + self.pool_wait), pool.pool.acquire()).await;
        drop(waiting);
        let waited = begun.elapsed();
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        pool.waits.longest_micros.fetch_max(micros, Ordering::Relaxed);
        match found {
            Ok(Ok(connection)) => {
                let shared = pool.begin.contains("SET LOCAL");
                Ok(Loan { connection: Some(connection), shared })
            }
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
    pub(super) fn hints(&self) -> Option<PgPool> {
        self.hints.as_ref().map(|(pool, session)| pool.clone().connect_lazy_with(session.clone()))
    }

    /// Shows how busy the connections are.
    pub(super) fn figures(&self) -> Vec<PoolFigures> {
        self.pools.iter().map(Pool::figures).collect()
    }

    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for pool in self.pools.iter().filter(|pool| pool.owner == Owner::Us) {
            pool.pool.close().await;
        }
    }
}

/// Says who opens and closes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Us,
    Host,
}

/// Says whose settings a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    Ours,
    Foreign,
}

impl Pool {
    fn new(lane: Lane, pool: PgPool, config: &PostgresConfig) -> Self {
        let session = match config.pooler {
            Pooler::None => Session::Ours,
            Pooler::Transaction => Session::Foreign,
        };
        Self { lane, pool, waits: Waits::default(), owner: Owner::Us, begin: begin_text(config, session, lane) }
    }

    fn figures(&self) -> PoolFigures {
        let mut figures = PoolFigures::default();
        figures.purpose = self.lane.purpose();
        figures.most = self.pool.options().get_max_connections();
        figures.open = self.pool.size();
        figures.idle = u32::try_from(self.pool.num_idle()).unwrap_or(u32::MAX);
        figures.waiting = self.waits.waiting.load(Ordering::Relaxed);
        figures.timed_out = self.waits.timed_out.load(Ordering::Relaxed);
        figures.longest_wait = Duration::from_micros(self.waits.longest_micros.load(Ordering::Relaxed));
        figures
    }
}

fn millis(time: Duration) -> String {
    time.as_millis().max(1).to_string()
}

/// Returns our time-outs, in milliseconds, as the server names them.
fn time_outs(config: &PostgresConfig) -> [(&'static str, String); 3] {
    [
        ("statement_timeout", millis(config.call_deadline)),
        ("lock_timeout", millis(config.lock_wait.min(config.call_deadline))),
        ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION)),
    ]
}

/// Forbids ways through a table.
fn without<'a>(plans: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'static str)> {
    plans.iter().map(|plan| (*plan, "off"))
}

/// Returns how a transaction begins. One way to the server and back.
fn begin_text(config: &PostgresConfig, session: Session, lane: Lane) -> String {
    // Said here, because a role may have another default; READ WRITE finds out at once if this is a standby.
    let mut text = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;".to_owned();
    if session == Session::Foreign {
        if config.bounded_loss == BoundedLoss::Refused {
            // Whoever else uses the session may have switched it off since the server was asked.
            text.push_str(DURABLE);
        }
        for (name, millis) in time_outs(config) {
            text.push_str(&format!(" SET LOCAL {name} = {millis};"));
        }
        let more: &[&str] = if lane == Lane::Work { &[] } else { &CLAIM_PLANS };
        for (plan, off) in without(&PLANS).chain(without(more)) {
            text.push_str(&format!(" SET LOCAL {plan} = {off};"));
        }
    }
    text.push_str(" SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now");
    text
}

/// Shortens the wait for locks in how a transaction begins.
fn hurried(pool: Option<&Pool>, config: &PostgresConfig) -> String {
    let wait = millis(ORDER_LOCK_WAIT.min(config.lock_wait).min(config.call_deadline));
    let begin = pool.map_or("", |pool| &pool.begin);
    // Before the last statement, whose row is the time.
    begin.replace(" SELECT (", &format!(" SET LOCAL lock_timeout = {wait}; SELECT ("))
}

/// Takes away what a pooler does not let through.
pub(super) fn plain_options(options: PgConnectOptions, pooler: Pooler) -> PgConnectOptions {
    match pooler {
        Pooler::None => options,
        Pooler::Transaction => options.statement_cache_capacity(0).extra_float_digits(None),
    }
}

/// Adds what all our sessions have.
fn session_options(options: &PgConnectOptions, config: &PostgresConfig) -> PgConnectOptions {
    let options = options.clone().application_name("vip").disable_statement_logging();
    match config.pooler {
        Pooler::Transaction => options,
        Pooler::None => options
            .statement_cache_capacity(STATEMENTS)
            .options(time_outs(config))
            .options(without(&PLANS))
            .options([("default_transaction_isolation", "read committed")]),
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
