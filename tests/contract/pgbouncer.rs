//! The contracts of store and queue on PostgreSQL behind pgbouncer in transaction mode, and what session mode leaves out.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Row};
use vip_adapters::postgres::{OpenError, Pooler, PostgresBackend, PostgresConfig};
use vip_core::conformance::BackendFixture;
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::{Backend, Store};
use vip_tests::postgres::{PgBouncer, Server};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

/// Returns the server and the pooler of this program; their guards end them when the program ends.
fn servers() -> &'static (Server, PgBouncer) {
    static SERVERS: OnceLock<(Server, PgBouncer)> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let server = Server::start(Path::new(ACTOR));
        let pooler = PgBouncer::of_transactions(Path::new(ACTOR), &server);
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

#[tokio::test]
async fn a_pooler_that_leaves_out_what_a_session_is_opened_with_is_refused_unless_each_transaction_is_told() {
    let (server, _) = servers();
    let pooler = PgBouncer::of_sessions(Path::new(ACTOR), server);
    let database = server.new_database().await;
    let url = pooler.url(&database);
    let error = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap_err();
    let is_named = matches!(
        &error,
        OpenError::Session { setting: "statement_timeout", asked, found } if asked == "4000" && found == "0"
    );
    assert!(is_named, "{error:?}");
    let mut watching = PgConnection::connect(&server.url(&database)).await.unwrap();
    let made = "SELECT to_regnamespace('vip') IS NOT NULL";
    assert!(!sqlx::query_scalar::<_, bool>(made).fetch_one(&mut watching).await.unwrap(), "nothing was changed");
    watching.close().await.unwrap();
    // Our own connections beside those of a host go the same way.
    let host = PgPool::connect(&url).await.unwrap();
    let error = PostgresBackend::with_pool(host.clone(), PostgresConfig::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Session { .. }), "{error:?}");
    host.close().await;
    let config = PostgresConfig::default().pooler(Pooler::Transaction);
    let opened = PostgresBackend::connect(&url, config).await.unwrap();
    opened.installation().await.unwrap();
    opened.close().await.unwrap();
    pooler.stop();
}

/// Three time-outs in milliseconds, each in six digits, as the session has them.
const TIME_OUTS: &str = "SELECT $1::bigint, sum(setting::bigint * CASE name
        WHEN 'statement_timeout' THEN 1000000000000 WHEN 'lock_timeout' THEN 1000000 ELSE 1 END)::bigint AS now
    FROM pg_settings
    WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')";

#[tokio::test]
async fn behind_a_pooler_each_transaction_has_time_outs_of_ours_and_leaves_none_of_them_to_others() {
    let (server, pooler) = servers();
    let url = pooler.url(&server.new_database().await);
    let config = PostgresConfig::default().pooler(Pooler::Transaction);
    let config = config.call_deadline(Duration::from_millis(3210)).lock_wait(Duration::from_millis(432));
    let config = config.query_filter(|name, text| Cow::Borrowed(if name == "store_now" { TIME_OUTS } else { text }));
    let opened = PostgresBackend::connect(&url, config).await.unwrap();
    assert_eq!(opened.now().await.unwrap().as_micros(), 3_210_000_432_010_000);
    let other = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
    let mut other = other.connect().await.unwrap();
    let left = sqlx::raw_sql("SHOW statement_timeout").fetch_one(&mut other).await.unwrap();
    assert_eq!(left.get::<String, _>(0), "0");
    other.close().await.unwrap();
    opened.close().await.unwrap();
}
