//! Brings the tables up to date, in one transaction, whoever else starts at the same time.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr, SqliteConnection};

use super::connection::Connector;
use super::error::{OpenError, is_busy};

/// A table of our own: sharing sqlx's with the host would make each refuse the other's migrations.
const TABLE: &str = "_vip_migrations";

/// Lists what was ever done to the tables, in order; an entry never changes once it was released.
pub(super) fn migrations() -> Vec<Migration> {
    vec![migration(1, "tables", include_str!("migrations/0001_tables.sql"))]
}

pub(super) fn migration(version: i64, name: &'static str, text: &'static str) -> Migration {
    Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, text.into_sql_str(), false)
}

/// Says whether migrations of ours were applied to a file before, by whatever version.
pub(super) async fn is_migrated(connector: &Connector, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let text = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?";
    let (mut backoff, deadline) = (connector.backoff(), connector.deadline());
    loop {
        match sqlx::query_scalar::<sqlx::Sqlite, i64>(text).bind(TABLE).fetch_one(&mut *connection).await {
            Ok(tables) => return Ok(tables > 0),
            Err(error) if is_busy(&error) && backoff.pause(deadline).await => {}
            Err(error) => return Err(error),
        }
    }
}

/// Applies what is missing of `migrations`, all or nothing.
///
/// sqlx takes no lock on SQLite, so that two processes could apply the same migration; here everything happens inside
/// one write transaction, and the second process finds it done.
pub(super) async fn migrate(
    connector: &Connector,
    connection: &mut SqliteConnection,
    migrations: Vec<Migration>,
) -> Result<(), OpenError> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(TABLE);
    let failed = |source: sqlx::Error| OpenError::Migration { source: Box::new(source) };
    let (mut backoff, deadline) = (connector.backoff(), connector.deadline());
    let mut transaction = loop {
        match connection.begin_with("BEGIN IMMEDIATE").await {
            Ok(transaction) => break transaction,
            Err(error) if is_busy(&error) && backoff.pause(deadline).await => {}
            Err(error) => return Err(failed(error)),
        }
    };
    match migrator.run_direct(None, &mut *transaction, false).await {
        Ok(()) => transaction.commit().await.map_err(failed),
        Err(error) => {
            transaction.rollback().await.map_err(failed)?;
            if let MigrateError::VersionMissing(found) = error
                && found > known
            {
                return Err(OpenError::NewerSchema { found, known });
            }
            if let MigrateError::VersionMismatch(version) = error {
                return Err(OpenError::OtherSchema { path: connector.path().clone(), version });
            }
            Err(OpenError::Migration { source: Box::new(error) })
        }
    }
}
