//! The contracts of store and queue on PostgreSQL behind pgbouncer in transaction mode.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use vip_adapters::postgres::{Pooler, PostgresBackend, PostgresConfig};
use vip_core::conformance::BackendFixture;
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::Backend;
use vip_tests::postgres::{Server, Transactions};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

/// Returns the server and the pooler of this program; their guards end them when the program ends.
fn servers() -> &'static (Server, Transactions) {
    static SERVERS: OnceLock<(Server, Transactions)> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let server = Server::start(Path::new(ACTOR));
        let pooler = Transactions::start(Path::new(ACTOR), &server);
        (server, pooler)
    })
}

/// Is an empty database behind a pooler, open on a clock of its own.
#[derive(Debug)]
struct PoolerFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
    database: String,
}

#[async_trait]
impl BackendFixture for PoolerFixture {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn close(&self) {
        self.backend.store.close().await.unwrap();
        servers().0.take_back(&self.database);
    }
}

async fn pgbouncer() -> PoolerFixture {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = PostgresConfig::default().pooler(Pooler::Transaction).clock(Arc::clone(&clock) as _);
    let (server, pooler) = servers();
    let database = server.empty_database().await;
    let opened = PostgresBackend::connect(&pooler.url(&database), config).await.unwrap();
    PoolerFixture { backend: opened.backend(), clock, database }
}

vip_core::backend_suite!(pgbouncer);
