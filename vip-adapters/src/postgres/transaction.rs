//! What a write may do: run statements at one time, inside a transaction that it cannot end.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use vip_core::model::Timestamp;

use super::error::Failure;
use super::queries::{Queries, Query};

/// Is an open transaction, or a connection on which each statement is one.
#[derive(Debug)]
pub(super) struct Transaction<'c> {
    connection: &'c mut PgConnection,
    queries: &'c Queries,
    scope: Scope,
    arrivals: Arrivals,
    /// Whether the connection broke under a statement, whatever the write made of that.
    is_lost: bool,
}

/// Counts the jobs that a write put among the waiting ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Arrivals {
    pub(super) count: u64,
    /// Whether other processes are told: of new work, not of what goes on here.
    pub(super) outward: bool,
}

/// Says what the statements of a write have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// The time of a transaction; empty if each statement has its own, by the server's clock.
    pub(super) now: Option<Timestamp>,
    /// Whether statements may be prepared under a name.
    pub(super) named: bool,
    /// Whether each statement is a commit of its own: behind a pooler and on a host's pool the whole write is one, and what it
    /// locks stays locked.
    pub(super) commits_each: bool,
}

impl<'c> Transaction<'c> {
    pub(super) const fn new(connection: &'c mut PgConnection, queries: &'c Queries, scope: Scope) -> Self {
        Self { connection, queries, scope, arrivals: Arrivals { count: 0, outward: false }, is_lost: false }
    }

    /// Returns the time of the transaction, by the clock of store and queue.
    pub(super) fn now(&self) -> Timestamp {
        self.scope.now.unwrap_or(Timestamp::from_micros(0))
    }

    /// Returns the time to bind, or nothing where the statement asks the server's clock itself.
    pub(super) fn bound_now(&self) -> Option<i64> {
        self.scope.now.map(Timestamp::as_micros)
    }

    /// Says whether each statement is a commit of its own.
    pub(super) const fn commits_each(&self) -> bool {
        self.scope.commits_each
    }

    /// Returns the statements.
    pub(super) const fn queries(&self) -> &'c Queries {
        self.queries
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) async fn execute(&mut self, query: Query) -> Result<u64, Failure> {
        let done = query.persistent(self.scope.named).execute(&mut *self.connection).await.map_err(Failure::from);
        self.is_lost |= matches!(done, Err(Failure::Lost(_)));
        Ok(done?.rows_affected())
    }

    /// Runs a statement to its end; returns its rows.
    pub(super) async fn rows(&mut self, query: Query) -> Result<Vec<PgRow>, Failure> {
        let rows = query.persistent(self.scope.named).fetch_all(&mut *self.connection).await.map_err(Failure::from);
        self.is_lost |= matches!(rows, Err(Failure::Lost(_)));
        rows
    }

    /// Runs a statement to its end; returns its first row.
    pub(super) async fn row(&mut self, query: Query) -> Result<Option<PgRow>, Failure> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Runs a statement that begins or ends a part of the transaction; whoever begins one ends it.
    pub(super) async fn part(&mut self, text: &'static str) -> Result<(), Failure> {
        Ok(sqlx::raw_sql(text).execute(&mut *self.connection).await.map(drop)?)
    }

    /// Remembers that a job was put among the waiting ones, so that waiting workers are told after the commit.
    pub(super) const fn announce_arrival(&mut self) {
        self.arrivals.count += 1;
    }

    /// The same for workers of other processes, too.
    pub(super) const fn announce_to_all(&mut self) {
        self.announce_arrival();
        self.arrivals.outward = true;
    }

    pub(super) const fn arrivals(&self) -> Arrivals {
        self.arrivals
    }

    /// Says whether the connection broke. After any other failure the server has answered on it.
    pub(super) const fn is_lost(&self) -> bool {
        self.is_lost
    }
}
