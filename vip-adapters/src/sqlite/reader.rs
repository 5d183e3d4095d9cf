//! Reads, each one statement: a statement is a snapshot, and a dropped one leaves no transaction open.

use std::sync::Arc;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

use super::connection::Connector;
use super::error::{Failure, is_busy};
use super::queries::{Queries, Query};

/// Runs statements that read.
#[derive(Debug)]
pub(super) struct Reader {
    pool: SqlitePool,
    connector: Connector,
    queries: Arc<Queries>,
}

impl Reader {
    pub(super) fn new(connector: Connector, queries: Arc<Queries>, most: u32) -> Self {
        Self { pool: connector.readers(most), connector, queries }
    }

    /// Runs a statement; `query` is called again if the file was busy.
    pub(super) async fn rows(&self, query: impl Fn(&Queries) -> Query + Send) -> Result<Vec<SqliteRow>, Failure> {
        let (mut backoff, deadline) = (self.connector.backoff(), self.connector.deadline());
        loop {
            // A reader is opened when it is needed, and would open what stands there now.
            self.connector.in_place().map_err(Failure::unavailable)?;
            match query(&self.queries).fetch_all(&self.pool).await {
                Err(error) if is_busy(&error) && backoff.pause(deadline).await => {}
                other => return other.map_err(Failure::from),
            }
        }
    }

    /// Runs a statement; returns its first row.
    pub(super) async fn row(&self, query: impl Fn(&Queries) -> Query + Send) -> Result<Option<SqliteRow>, Failure> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
