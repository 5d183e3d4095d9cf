//! What a write may do: run statements at one time, inside a transaction that it cannot end.

use std::sync::Arc;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use vip_core::model::Timestamp;

use super::error::Failure;
use super::queries::{Queries, Query};

/// Is the transaction of the writer, as a write sees it.
#[derive(Debug)]
pub(super) struct WriteTransaction<'c> {
    connection: &'c mut SqliteConnection,
    queries: &'c Queries,
    now: Timestamp,
    arrivals: u64,
    /// Whether a row was changed: only then is the disk asked by the commit.
    has_changed: bool,
}

impl<'c> WriteTransaction<'c> {
    pub(super) const fn new(connection: &'c mut SqliteConnection, queries: &'c Queries, now: Timestamp) -> Self {
        Self { connection, queries, now, arrivals: 0, has_changed: false }
    }

    /// Returns the time of the transaction, by the clock of store and queue.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the statements.
    pub(super) const fn queries(&self) -> &'c Queries {
        self.queries
    }

    /// Runs a statement; returns how many rows it changed.
    pub(super) async fn execute(&mut self, query: Query) -> Result<u64, Failure> {
        let changed = query.execute(&mut *self.connection).await?.rows_affected();
        self.has_changed |= changed > 0;
        Ok(changed)
    }

    /// Runs a statement to its end; returns the rows that it changed.
    pub(super) async fn changed_rows(&mut self, query: Query) -> Result<Vec<SqliteRow>, Failure> {
        let rows = self.rows(query).await?;
        self.has_changed |= !rows.is_empty();
        Ok(rows)
    }

    /// Runs a statement to its end; returns the first row that it changed.
    pub(super) async fn changed_row(&mut self, query: Query) -> Result<Option<SqliteRow>, Failure> {
        Ok(self.changed_rows(query).await?.into_iter().next())
    }

    /// Runs a statement that changes nothing to its end; returns its rows.
    pub(super) async fn rows(&mut self, query: Query) -> Result<Vec<SqliteRow>, Failure> {
        Ok(query.fetch_all(&mut *self.connection).await?)
    }

    /// Runs a statement to its end; returns its first row.
    pub(super) async fn row(&mut self, query: Query) -> Result<Option<SqliteRow>, Failure> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Remembers that a job was put among the waiting ones, so that waiting workers are told after the commit.
    pub(super) const fn announce_arrival(&mut self) {
        self.arrivals += 1;
    }

    pub(super) const fn take_arrivals(&mut self) -> u64 {
        std::mem::replace(&mut self.arrivals, 0)
    }

    /// Says whether a row was changed since this was set last, and sets it: what is taken back was not changed.
    pub(super) const fn replace_changed(&mut self, has_changed: bool) -> bool {
        std::mem::replace(&mut self.has_changed, has_changed)
    }

    /// Runs a statement that begins or ends a part of the transaction; whoever begins one ends it.
    pub(super) async fn part(&mut self, text: &'static str) -> Result<(), Failure> {
        // Where it fails the database has ended the whole transaction by itself, as it does when the disk is full.
        self.control(text).await.map_err(|error| Failure::Unavailable(Arc::new(error)))
    }

    /// Runs a statement that ends the transaction; for the writer alone.
    pub(super) async fn control(&mut self, text: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(text).execute(&mut *self.connection).await.map(drop)
    }
}
