//! Connections by purpose: leases never wait behind commits and reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use vip_core::ports::PoolFigures;
use vip_core::telemetry;

use super::config::{Pooler, PostgresConfig};
use super::error::{Failure, Obstacle};
use super::settings::{self, Session, begin_text, hurried, waiting};
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

/// Counts a caller that waits, for as long as it does: one that goes away meanwhile waits no more.
#[derive(Debug)]
struct Waiting<'w>(&'w AtomicU64);

impl<'w> Waiting<'w> {
    fn of(waits: &'w Waits) -> Self {
        waits.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&waits.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Is the connections of one purpose.
#[derive(Debug)]
struct Pool {
    lane: Lane,
    /// Opens and closes connections. Of ours none rests in it.
    pool: PgPool,
    /// Who may have one, and what was given back and goes on to the next caller. Of the host's connections none is kept: others wait
    /// for them as well.
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
    begin_waiting: String,
    /// Whether statements are prepared under a name; a pooler in transaction mode forbids it.
    pub(super) named: bool,
}

/// Is a connection on loan; unless it is given back sound, it is cut.
#[derive(Debug)]
pub(super) struct Loan {
    /// With the turn of its call.
    lent: Option<(Lent, OwnedSemaphorePermit)>,
    warm: Arc<Warm>,
    owner: Owner,
    /// Whether each call has to be a transaction, because the session is not ours alone.
    pub(super) shared: bool,
}

impl Loan {
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, Failure> {
        self.lent
            .as_mut()
            .map(|(lent, _turn)| &mut *lent.connection)
            .ok_or_else(|| Failure::unavailable(Obstacle::Closed))
    }

    /// Gives it to the next caller: whoever does has read the server's last answer on it.
    pub(super) fn give_back(mut self) {
        let Some((lent, turn)) = self.lent.take() else { return };
        match self.owner {
            Owner::Us => self.warm.give_back(lent),
            Owner::Host => drop(lent),
        }
        // Last, so that whoever is next finds it.
        drop(turn);
    }
}

impl Drop for Loan {
    /// Cuts what was not given back: a caller that went away may have left a transaction open.
    fn drop(&mut self) {
        if let Some((lent, turn)) = self.lent.take() {
            self.warm.cut(lent, turn);
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
                Pool::of(Owner::Host, Lane::Work, host.clone(), begin)
            }
        };
        let order = pool(Lane::Order, ORDER_CONNECTIONS);
        Self {
            begin_hurried: hurried(&order.begin, config),
            begin_waiting: waiting(&work.begin, config),
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

    /// Returns how a transaction begins on a connection for commits that waits for the counters of orders.
    pub(super) fn begin_waiting(&self) -> &str {
        &self.begin_waiting
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
                    telemetry::tell(|| tracing::debug!(error = ?second, "there is no connection for claims either"));
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
        let begun = Instant::now();
        let found = pool.find(begun, deadline.min(begun + self.config.pool_wait)).await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        pool.waits.longest_micros.fetch_max(micros, Ordering::Relaxed);
        let shared = pool.begin.contains("SET LOCAL");
        Ok(Loan { lent: Some(found?), warm: Arc::clone(&pool.warm), owner: pool.owner, shared })
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
        for pool in &self.pools {
            // A pool that is closed asks no connection whether it still answers.
            let closing = (pool.owner == Owner::Us).then(|| pool.pool.close());
            let close = async {
                pool.warm.close().await;
                if let Some(closing) = closing {
                    closing.await;
                }
            };
            if timeout_at(deadline, close).await.is_err() {
                telemetry::tell(|| {
                    tracing::debug!(purpose = pool.lane.purpose(), "connections did not answer when they were closed");
                });
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
        Self::of(Owner::Us, lane, pool, begin_text(config, session, lane))
    }

    fn of(owner: Owner, lane: Lane, pool: PgPool, begin: String) -> Self {
        let warm = Arc::new(Warm::new(pool.options().get_max_connections()));
        Self { lane, pool, warm, waits: Waits::default(), owner, begin }
    }

    /// Waits for the turn of a call, then takes a connection that is kept, or opens one.
    async fn find(&self, begun: Instant, until: Instant) -> Result<(Lent, OwnedSemaphorePermit), Failure> {
        let _waiting = Waiting::of(&self.waits);
        let turn = match timeout_at(until, self.warm.turn()).await {
            Ok(turn) => turn.ok_or_else(|| Failure::unavailable(Obstacle::Closed))?,
            Err(_elapsed) => return Err(self.missed(self.busy(begun), begun)),
        };
        if let Some(lent) = self.warm.take() {
            return Ok((lent, turn));
        }
        match timeout_at(until, self.pool.acquire()).await {
            Ok(Ok(connection)) => Ok((Lent::new(connection), turn)),
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                // Of the host's the others may have all.
                let is_full = self.pool.size() >= self.most() && self.pool.num_idle() == 0;
                let unopened = Obstacle::NoConnection { waited: begun.elapsed() };
                Err(self.missed(if is_full { self.busy(begun) } else { unopened }, begun))
            }
            Ok(Err(sqlx::Error::PoolClosed)) => Err(Failure::unavailable(Obstacle::Closed)),
            // Nothing was sent.
            Ok(Err(error)) => Err(Failure::from(error).of_nothing_sent()),
        }
    }

    fn most(&self) -> u32 {
        self.pool.options().get_max_connections()
    }

    /// Says what all connections are busy with.
    fn busy(&self, begun: Instant) -> Obstacle {
        let (most, purpose, waited) = (self.most(), self.lane.purpose(), begun.elapsed());
        let cut = count(self.warm.figures().1);
        if cut > most {
            Obstacle::NotEnded { cut, purpose, waited }
        } else {
            Obstacle::Exhausted { most, purpose, waited }
        }
    }

    /// Counts a caller that got none.
    fn missed(&self, obstacle: Obstacle, begun: Instant) -> Failure {
        self.waits.timed_out.fetch_add(1, Ordering::Relaxed);
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        telemetry::tell(|| tracing::warn!(error = %obstacle, duration_ms, "no connection to the database"));
        Failure::unavailable(obstacle)
    }

    fn figures(&self) -> PoolFigures {
        let mut figures = PoolFigures::default();
        let (kept, cut) = self.warm.figures();
        figures.purpose = self.lane.purpose();
        figures.most = self.most();
        figures.open = self.pool.size().saturating_add(count(cut));
        figures.idle = count(self.pool.num_idle().saturating_add(kept));
        figures.waiting = self.waits.waiting.load(Ordering::Relaxed);
        figures.timed_out = self.waits.timed_out.load(Ordering::Relaxed);
        figures.longest_wait = Duration::from_micros(self.waits.longest_micros.load(Ordering::Relaxed));
        figures
    }
}

fn count(connections: usize) -> u32 {
    u32::try_from(connections).unwrap_or(u32::MAX)
}

fn pool_of(most: u32, config: &PostgresConfig) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(most)
        .acquire_timeout(config.pool_wait)
        // None rests in it, so that it has to look after none.
        .idle_timeout(None)
        .max_lifetime(None)
}
