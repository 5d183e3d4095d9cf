//! The contracts of store and queue on SQLite, against real files.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod guards;
mod sqlite_file;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig};
use vip_core::conformance::BackendFixture;
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::Backend;

/// Is a fresh file, open on a clock of its own.
#[derive(Debug)]
struct SqliteFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
    _folder: TempDir,
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
    SqliteFixture { backend: opened.backend(), clock, _folder: folder }
}

vip_core::backend_suite!(sqlite);
