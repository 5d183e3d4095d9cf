//! The contracts of store and queue on PostgreSQL, against a real server.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod guards;
mod postgres_accept;
mod postgres_bell;
mod postgres_damage;
mod postgres_database;
mod postgres_faults;
mod postgres_hosted;
mod postgres_jobs;
mod postgres_leases;
mod postgres_plans;
mod postgres_roles;
mod postgres_schema;
mod postgres_settings;
mod postgres_stall;
mod postgres_together;
mod postgres_upkeep;
mod postgres_warm;
mod postgres_writable;
mod trimming;

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::BackendFixture;
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::Backend;
use vip_tests::postgres::Server;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

/// Returns the server of this program; its guard ends it when the program ends.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(Path::new(ACTOR)))
}

/// Databases that are open at once while guards are taken away: the server shares the processors with us.
const AT_ONCE: usize = 4;
/// Guards that there are at least.
const LEAST_GUARDS: usize = 50;

/// Cases beside those of the contracts.
const MORE_CASES: &[(&str, guards::BackendCase)] =
    &[("a_prolonged_lease", |fixture| Box::pin(postgres_database::a_prolonged_lease(fixture)))];

/// Changes the text of a statement, given its name.
type Filter = Box<dyn Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync>;

/// Opens a fresh database with changed statements.
async fn filtered(filter: Filter) -> PostgresFixture {
    with_config(|config| config.query_filter(filter)).await
}

/// Is an empty database, open on a clock of its own.
#[derive(Debug)]
struct PostgresFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
    database: String,
}

impl PostgresFixture {
    /// Has the server read a statement, with all that it names, and not run it.
    async fn read(&self, text: &str) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&server().url(&self.database)).await?;
        let prepare = AssertSqlSafe(format!("PREPARE changed AS {text}"));
        let read = sqlx::raw_sql(prepare).execute(&mut connection).await;
        connection.close().await?;
        let code = read.as_ref().err().and_then(|error| error.as_database_error()?.code());
        // Everything was read, and the type of a value is not known: the adapter says it when it binds one.
        if code.is_some_and(|code| code == "42P18") { Ok(()) } else { read.map(drop) }
    }
}

#[async_trait]
impl BackendFixture for PostgresFixture {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn close(&self) {
        self.backend.store.close().await.unwrap();
        server().take_back(&self.database);
    }
}

async fn postgres() -> PostgresFixture {
    with_config(|config| config).await
}

/// Opens an empty database with changed settings.
async fn with_config(change: impl FnOnce(PostgresConfig) -> PostgresConfig) -> PostgresFixture {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = change(PostgresConfig::default().clock(Arc::clone(&clock) as _));
    let database = server().empty_database().await;
    let opened = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    PostgresFixture { backend: opened.backend(), clock, database }
}

vip_core::backend_suite!(postgres);
