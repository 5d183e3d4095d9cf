//! The contracts of store and queue on SQLite, against real files.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod guards;
mod sqlite_damage;
mod sqlite_file;
mod sqlite_place;
mod sqlite_views;
mod sqlite_writable;
mod trimming;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig, Synchronous};
use vip_core::conformance::BackendFixture;
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::Backend;

/// Files that are open at once while guards are taken away: most of the time is spent waiting for the disk.
const AT_ONCE: usize = 12;
/// Guards that there are at least.
const LEAST_GUARDS: usize = 57;

/// Cases beside those of the contracts.
const MORE_CASES: &[(&str, guards::BackendCase)] = &[];

/// Changes the text of a statement, given its name.
type Filter = Box<dyn Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync>;

/// Opens a fresh file with changed statements.
async fn filtered(filter: Filter) -> SqliteFixture {
    // What is shown with it does not depend on the way to the disk, which takes most of the time.
    with_config(|config| config.query_filter(filter).synchronous(Synchronous::Normal).allow_bounded_loss()).await
}

/// Is a fresh file, open on a clock of its own.
#[derive(Debug)]
struct SqliteFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl SqliteFixture {
    /// Has the database read a statement, with all that it names, and not run it.
    async fn read(&self, text: &str) -> Result<(), sqlx::Error> {
        let file = self.folder.path().join("vip.db");
        let mut connection = SqliteConnection::connect(file.to_str().unwrap()).await?;
        let explain = AssertSqlSafe(format!("EXPLAIN {text}"));
        let read = sqlx::raw_sql(explain).execute(&mut connection).await;
        connection.close().await?;
        read.map(drop)
    }
}

#[async_trait]
impl BackendFixture for SqliteFixture {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

async fn sqlite() -> SqliteFixture {
    with_config(|config| config).await
}

/// Opens a fresh file with changed settings.
async fn with_config(change: impl FnOnce(SqliteConfig) -> SqliteConfig) -> SqliteFixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = change(SqliteConfig::default().clock(Arc::clone(&clock) as _));
    let path = folder.path().join("vip.db");
    let opened = SqliteBackend::open(path.to_str().unwrap(), config).await.unwrap();
    SqliteFixture { backend: opened.backend(), clock, folder }
}

vip_core::backend_suite!(sqlite);
