//! Brings the schema `vip` up to date, in one transaction, whoever else starts at the same time.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqlSafeStr};
use tokio::time::timeout;
use vip_core::telemetry;

use crate::missing::Missing;

use super::config::OlderSchema;
use super::error::OpenError;

/// A table of our own in a schema of our own: sharing sqlx's with the host would make each refuse the other's migrations.
const TABLE: &str = "vip.migrations";
/// Longest time for connecting and migrating; sixteen processes that start at once wait for one of them.
pub(super) const MIGRATION_MOST: Duration = Duration::from_secs(120);
/// Longest wait for a lock that others hold on our tables, in milliseconds: behind a waiting migration all others queue.
const LOCK_MOST_MS: u32 = 20_000;

/// The encoding that holds every text.
const ENCODING: &str = "UTF8";
/// SQLSTATE of a missing permission.
const DENIED: &str = "42501";

/// Lists what was ever done to the tables, in order; an entry never changes once it was released.
pub(super) fn migrations() -> Vec<Migration> {
    vec![migration(1, "tables", include_str!("migrations/0001_tables.sql"))]
}

/// Lists them, and those of a later version.
pub(super) fn migrations_with(later: &[(i64, &'static str, &'static str)]) -> Vec<Migration> {
    let mut all = migrations();
    all.extend(later.iter().map(|(version, name, text)| migration(*version, name, text)));
    all
}

fn migration(version: i64, name: &'static str, text: &'static str) -> Migration {
    Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, text.into_sql_str(), false)
}

/// Is the schema as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// The newest migration, and the oldest program that can use it.
    Version {
        newest: i64,
        readable_by: i64,
    },
}

/// Says what becomes of a schema that is not as this program needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) older: OlderSchema,
    pub(super) missing: Missing,
}

/// Looks at the schema, and creates it or brings it up to date if that is wished.
pub(super) async fn prepare(
    options: &PgConnectOptions,
    wish: Wish,
    migrations: Vec<Migration>,
) -> Result<Settings, OpenError> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    // A connection that is closed afterwards, however it ends: nothing of it is left, no lock either.
    let work = async {
        let mut connection = options.connect().await.map_err(connect_error)?;
        let settings = settings(&mut connection).await.map_err(connect_error)?;
        if settings.encoding != ENCODING {
            return Err(OpenError::Encoding { found: settings.encoding });
        }
        match judge(find(&mut connection, &migrations).await?, known, wish)? {
            Verdict::Usable => {}
            Verdict::Migrate => migrate(&mut connection, migrations, wish).await?,
        }
        connection.close().await.map_err(connect_error)?;
        Ok(settings)
    };
    timeout(MIGRATION_MOST, work).await.unwrap_or_else(|elapsed| Err(migration_error(elapsed)))
}

/// Is what the server says about how it keeps commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) fsync: String,
    pub(super) synchronous_commit: String,
    pub(super) encoding: String,
}

async fn settings(connection: &mut PgConnection) -> Result<Settings, sqlx::Error> {
    let text = "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('server_encoding') AS encoding";
    let row = sqlx::raw_sql(text).fetch_one(connection).await?;
    Ok(Settings {
        fsync: row.try_get("fsync")?,
        synchronous_commit: row.try_get("synchronous_commit")?,
        encoding: row.try_get("encoding")?,
    })
}

/// Says what is to be done with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Usable,
    Migrate,
}

fn judge(found: Found, known: i64, wish: Wish) -> Result<Verdict, OpenError> {
    match found {
        Found::Nothing => match wish.missing {
            Missing::Made => Ok(Verdict::Migrate),
            Missing::Refused => Err(OpenError::Missing),
        },
        Found::Version { newest, .. } if newest == known => Ok(Verdict::Usable),
        Found::Version { newest, .. } if newest < known => match wish.older {
            OlderSchema::Migrate => Ok(Verdict::Migrate),
            OlderSchema::Refuse => Err(OpenError::OlderSchema { found: newest, known }),
        },
        Found::Version { newest, readable_by } if readable_by <= known => {
            telemetry::tell(|| tracing::info!(found = newest, known, "a newer schema says that it can be used"));
            Ok(Verdict::Usable)
        }
        Found::Version { newest, .. } => Err(OpenError::NewerSchema { found: newest, known }),
    }
}

/// Looks what was migrated, and whether by the same texts.
async fn find(connection: &mut PgConnection, migrations: &[Migration]) -> Result<Found, OpenError> {
    let there = "SELECT to_regclass('vip.migrations') IS NOT NULL AND to_regclass('vip.compatibility') IS NOT NULL";
    let is_there: bool =
        sqlx::raw_sql(there).fetch_one(&mut *connection).await.and_then(|row| row.try_get(0)).map_err(connect_error)?;
    if !is_there {
        return Ok(Found::Nothing);
    }
    let text =
        "SELECT coalesce((SELECT max(version) FROM vip.migrations), 0) AS newest, readable_by FROM vip.compatibility";
    let row = sqlx::raw_sql(text).fetch_optional(&mut *connection).await.map_err(migration_error)?;
    let Some(row) = row else { return Ok(Found::Nothing) };
    let made = sqlx::raw_sql("SELECT version, encode(checksum, 'hex') AS checksum FROM vip.migrations")
        .fetch_all(connection)
        .await;
    for made in made.map_err(migration_error)? {
        let version: i64 = made.try_get("version").map_err(migration_error)?;
        let checksum: String = made.try_get("checksum").map_err(migration_error)?;
        if migrations.iter().any(|known| known.version == version && hex(&known.checksum) != checksum) {
            return Err(OpenError::OtherSchema { version });
        }
    }
    let column = |name| row.try_get::<i64, _>(name).map_err(migration_error);
    Ok(Found::Version { newest: column("newest")?, readable_by: column("readable_by")? })
}

async fn migrate(connection: &mut PgConnection, migrations: Vec<Migration>, wish: Wish) -> Result<(), OpenError> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    let mut transaction = connection.begin().await.map_err(migration_error)?;
    // The wait for those who migrate, and only that, is as long as the whole of it may take. The level is said, because a role or a
    // database may have another default: then what is found after the wait would be what was there before it.
    let begin = format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
         SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;
         SET LOCAL idle_in_transaction_session_timeout = 0;
         SELECT pg_advisory_xact_lock(hashtextextended('vip.migrations', 0));
         SET LOCAL lock_timeout = {LOCK_MOST_MS}"
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *transaction).await.map_err(migration_error)?;
    // Who waited for the lock finds what the other one did.
    if judge(find(&mut transaction, &migrations).await?, known, wish)? == Verdict::Usable {
        return transaction.rollback().await.map_err(migration_error);
    }
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(TABLE);
    // Its lock belongs to a session, which a pooler takes away, and it leaks when a migration fails; ours is below.
    migrator.set_locking(false);
    let create = "CREATE SCHEMA IF NOT EXISTS vip";
    sqlx::raw_sql(create).execute(&mut *transaction).await.map_err(migration_error)?;
    match migrator.run_direct(None, &mut *transaction, false).await {
        Ok(()) => transaction.commit().await.map_err(migration_error),
        Err(error) => {
            transaction.rollback().await.map_err(migration_error)?;
            Err(migration_error(error))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn connect_error(source: sqlx::Error) -> OpenError {
    let source = Box::new(source);
    if is_about_rights(&*source) { OpenError::Rights { source } } else { OpenError::Connect { source } }
}

fn migration_error(source: impl std::error::Error + Send + Sync + 'static) -> OpenError {
    let source = Box::new(source);
    if is_about_rights(&*source) { OpenError::Rights { source } } else { OpenError::Migration { source } }
}

/// Looks for a missing permission in an error and what is beneath it.
fn is_about_rights(error: &(dyn std::error::Error + 'static)) -> bool {
    let denied =
        |error: &sqlx::Error| error.as_database_error().and_then(|error| error.code()).is_some_and(|it| it == DENIED);
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.downcast_ref::<sqlx::Error>().is_some_and(denied))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(newest: i64, readable_by: i64) -> Found {
        Found::Version { newest, readable_by }
    }

    #[test]
    fn a_schema_is_created_used_migrated_when_asked_or_refused() {
        let wish = |older, missing| Wish { older, missing };
        let refuse = |found| judge(found, 5, wish(OlderSchema::Refuse, Missing::Made));
        assert_eq!(refuse(Found::Nothing).unwrap(), Verdict::Migrate);
        assert_eq!(refuse(version(5, 5)).unwrap(), Verdict::Usable);
        assert!(matches!(refuse(version(4, 1)), Err(OpenError::OlderSchema { found: 4, known: 5 })));
        let migrate = |found| judge(found, 5, wish(OlderSchema::Migrate, Missing::Refused));
        assert_eq!(migrate(version(4, 1)).unwrap(), Verdict::Migrate);
        assert!(matches!(migrate(Found::Nothing), Err(OpenError::Missing)), "it has to be there");
        assert_eq!(refuse(version(6, 5)).unwrap(), Verdict::Usable);
        assert!(matches!(refuse(version(6, 6)), Err(OpenError::NewerSchema { found: 6, known: 5 })));
    }
}
