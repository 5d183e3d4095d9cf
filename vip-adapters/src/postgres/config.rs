//! The settings of the PostgreSQL adapter, each with its unit, default and bound.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vip_core::ports::{Clock, Randomness, SystemRandomness};

use crate::missing::Missing;

use super::error::OpenError;

/// Most connections that may be configured: each is a process of the server.
const CONNECTIONS_MOST: u32 = 256;
/// Longest time-outs that may be configured; whoever waits longer has another problem.
const WAIT_MOST: Duration = Duration::from_secs(60);

/// Says what stands between the adapter and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooler {
    /// Nothing: a connection is a session of the server, and has the settings that it was opened with, which is looked at.
    None,
    /// A pooler such as pgbouncer, in transaction mode or in session mode, where it takes no settings of a session either: no
    /// named statements, each transaction sets its own, no LISTEN.
    Transaction,
}

/// Says what happens to a schema that an earlier version has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OlderSchema {
    /// It is refused and named: in production, migrating is a step of a deployment.
    Refuse,
    /// It is brought up to date.
    Migrate,
}

/// Changes the text of a statement before it is used; for tests that take a guard away.
pub(super) type QueryFilter = Arc<dyn Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync>;

/// Holds the settings of the PostgreSQL adapter.
#[derive(Clone)]
#[must_use]
pub struct PostgresConfig {
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) call_deadline: Duration,
    pub(super) pool_wait: Duration,
    pub(super) lock_wait: Duration,
    pub(super) poll_interval: Duration,
    pub(super) connections: u32,
    pub(super) pooler: Pooler,
    pub(super) older_schema: OlderSchema,
    pub(super) missing: Missing,
    pub(super) bounded_loss: BoundedLoss,
    pub(super) filter: QueryFilter,
    /// What the server said at the opening about when a commit is answered, if it has to stay so.
    pub(super) synchronous_commit: Option<String>,
    /// Migrations of a later version, by version, name and text.
    pub(super) later: Vec<(i64, &'static str, &'static str)>,
}

/// Says whether a setting of the server may be used that can lose the last commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoundedLoss {
    Refused,
    Allowed,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            clock: None,
            randomness: Arc::new(SystemRandomness),
            call_deadline: Duration::from_secs(4),
            pool_wait: Duration::from_secs(2),
            lock_wait: Duration::from_millis(500),
            poll_interval: Duration::from_millis(500),
            connections: 8,
            pooler: Pooler::None,
            older_schema: OlderSchema::Refuse,
            missing: Missing::Made,
            bounded_loss: BoundedLoss::Refused,
            filter: Arc::new(|_, text| Cow::Borrowed(text)),
            synchronous_commit: None,
            later: Vec::new(),
        }
    }
}

impl PostgresConfig {
    /// Sets the clock of store and queue, for tests. Default: the database's, which all processes share.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the source of the installation's id and of jitter. Default: the operating system's.
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = randomness;
        self
    }

    /// Sets how long a call goes on, repeats included. Default 4 s, from 10 ms to 60 s.
    ///
    /// It is the time-out of each statement, too. Afterwards the call answers `Unavailable`, or `OutcomeUnknown` if a
    /// commit was sent and its answer lost. Keep it below `Timing::commit_deadline`. A claim goes on for up to its lease while
    /// the server says that it is at work on one: it would lease jobs to nobody.
    pub const fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline;
        self
    }

    /// Sets how long a call waits for one of our connections. Default 2 s, from 1 ms to 60 s; the deadline of the call
    /// ends it earlier. Afterwards the call answers `Unavailable` and says that all connections were busy.
    pub const fn pool_wait(mut self, wait: Duration) -> Self {
        self.pool_wait = wait;
        self
    }

    /// Sets how long a statement waits for a row that somebody else writes. Default 500 ms, from 1 ms to 60 s; the call
    /// is then tried again until its deadline. Shorter than the second after which the server looks for deadlocks.
    pub const fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Sets how often a waiting worker looks for jobs of other processes. Default 500 ms, from 1 ms to 60 s.
    ///
    /// Jobs of the same process are noticed at once, whatever is set here.
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets how many connections commits and reads share. Default 8, from 1 to 256.
    ///
    /// Further ones are reserved: three for claims, two for heartbeats and settlements, so that no lease is lost because
    /// commits or reads are many, and up to four for new orders and enqueues. They are opened when they are needed.
    pub const fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Says what stands between us and the server. Default [`Pooler::None`].
    pub const fn pooler(mut self, pooler: Pooler) -> Self {
        self.pooler = pooler;
        self
    }

    /// Says what happens to a schema of an earlier version. Default [`OlderSchema::Refuse`].
    ///
    /// A database without a schema of ours gets one, unless [`must_exist`](Self::must_exist) is called.
    pub const fn older_schema(mut self, policy: OlderSchema) -> Self {
        self.older_schema = policy;
        self
    }

    /// Refuses a database without the schema `vip`, and makes none. Default: it is made.
    ///
    /// For production: another database than the one that is meant is not an empty installation, in which a repeat of an
    /// order would buy a second server. `PostgresBackend::migrate` makes the schema, once.
    pub const fn must_exist(mut self) -> Self {
        self.missing = Missing::Refused;
        self
    }

    /// Allows a server with `fsync` or `synchronous_commit` off, with which a crash may take the last commits;
    /// `durability()` then says so.
    pub const fn allow_bounded_loss(mut self) -> Self {
        self.bounded_loss = BoundedLoss::Allowed;
        self
    }

    /// Changes the text of statements, given their name and text; for tests that take a guard away.
    #[doc(hidden)]
    pub fn query_filter(
        mut self,
        filter: impl Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync + 'static,
    ) -> Self {
        self.filter = Arc::new(filter);
        self
    }

    /// Makes this program one of a later version, with further migrations: version, name and text; for tests.
    #[doc(hidden)]
    pub fn later_migrations(mut self, migrations: &[(i64, &'static str, &'static str)]) -> Self {
        self.later = migrations.to_vec();
        self
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let least = Duration::from_millis(1);
        let wait = |time: Duration| (least..=WAIT_MOST).contains(&time);
        let deadline = Duration::from_millis(10)..=WAIT_MOST;
        let rules = [
            (deadline.contains(&self.call_deadline), "call_deadline must be from 10 ms to 60 s"),
            (wait(self.pool_wait), "pool_wait must be from 1 ms to 60 s"),
            (wait(self.lock_wait), "lock_wait must be from 1 ms to 60 s"),
            (wait(self.poll_interval), "poll_interval must be from 1 ms to 60 s"),
            ((1..=CONNECTIONS_MOST).contains(&self.connections), "connections must be from 1 to 256"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(OpenError::Config { rule }))
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresConfig")
            .field("clock", &self.clock)
            .field("call_deadline", &self.call_deadline)
            .field("pool_wait", &self.pool_wait)
            .field("lock_wait", &self.lock_wait)
            .field("poll_interval", &self.poll_interval)
            .field("connections", &self.connections)
            .field("pooler", &self.pooler)
            .field("older_schema", &self.older_schema)
            .field("missing", &self.missing)
            .field("bounded_loss", &self.bounded_loss)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(change: impl FnOnce(PostgresConfig) -> PostgresConfig) -> bool {
        change(PostgresConfig::default()).check().is_ok()
    }

    #[test]
    fn each_bound_is_accepted_and_one_beyond_is_refused() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        let beyond = s(60) + Duration::from_nanos(1);
        type Change = fn(PostgresConfig, Duration) -> PostgresConfig;
        let waits: [(Change, Duration); 4] = [
            (PostgresConfig::call_deadline, ms(10)),
            (PostgresConfig::pool_wait, ms(1)),
            (PostgresConfig::lock_wait, ms(1)),
            (PostgresConfig::poll_interval, ms(1)),
        ];
        for (change, least) in waits {
            assert!(is_sound(|config| change(config, least)) && is_sound(|config| change(config, s(60))));
            assert!(!is_sound(|config| change(config, least - Duration::from_nanos(1))));
            assert!(!is_sound(|config| change(config, beyond)));
        }
        assert!(is_sound(|config| config.connections(1)) && is_sound(|config| config.connections(256)));
        assert!(!is_sound(|config| config.connections(0)) && !is_sound(|config| config.connections(257)));
    }
}
