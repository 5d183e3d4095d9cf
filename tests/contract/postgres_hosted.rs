//! The contracts of store and queue where commits and reads go through the pool of a host, and all else through connections of our own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::BackendFixture;
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::Backend;

use crate::server;

/// Connections of the host: fewer than callers, so that they wait for each other.
const CONNECTIONS: u32 = 4;

/// Is an empty database, open on a pool that a host has made and a clock of its own.
#[derive(Debug)]
struct HostedFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
    database: String,
    pool: PgPool,
}

#[async_trait]
impl BackendFixture for HostedFixture {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn close(&self) {
        self.backend.store.close().await.unwrap();
        self.pool.close().await;
        server().take_back(&self.database);
    }
}

async fn hosted() -> HostedFixture {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = PostgresConfig::default().clock(Arc::clone(&clock) as _);
    let database = server().empty_database().await;
    let options = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = options.connect(&server().url(&database)).await.unwrap();
    let opened = PostgresBackend::with_pool(pool.clone(), config).await.unwrap();
    HostedFixture { backend: opened.backend(), clock, database, pool }
}

vip_core::backend_suite!(hosted);
