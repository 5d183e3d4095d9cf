//! What our sessions at PostgreSQL are told: time-outs, and that a commit waits for the disk, also on the pool of a host.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::ports::{Retryability, Store};

use crate::server;

/// Returns settings whose reads answer with a number that a statement makes of the session's own.
fn asking(config: PostgresConfig, statement: &'static str) -> PostgresConfig {
    config.query_filter(move |name, text| Cow::Borrowed(if name == "store_now" { statement } else { text }))
}

async fn answer(backend: PostgresBackend) -> i64 {
    let number = backend.now().await.unwrap().as_micros();
    backend.close().await.unwrap();
    number
}

async fn pool(database: &str) -> PgPool {
    // A host may do to its sessions what it likes.
    let options = PgPoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move {
            let text = "SET synchronous_commit = off; SET statement_timeout = 0; SET lock_timeout = 0";
            sqlx::raw_sql(text).execute(connection).await.map(drop)
        })
    });
    options.connect(&server().url(database)).await.unwrap()
}

/// Three time-outs in milliseconds, each in six digits, as the session has them.
const TIME_OUTS: &str = "SELECT $1::bigint, sum(setting::bigint * CASE name
        WHEN 'statement_timeout' THEN 1000000000000 WHEN 'lock_timeout' THEN 1000000 ELSE 1 END)::bigint AS now
    FROM pg_settings
    WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')";

#[tokio::test]
async fn statements_waits_for_rows_and_open_transactions_have_time_outs_of_ours_on_our_sessions_and_on_those_of_a_host()
{
    let database = server().new_database().await;
    let config = || {
        let config = PostgresConfig::default();
        asking(config.call_deadline(Duration::from_millis(3210)).lock_wait(Duration::from_millis(432)), TIME_OUTS)
    };
    // A statement as long as a call, a wait for a row as is set, a transaction that stands still for 10 s.
    let expected = 3_210_000_432_010_000;
    let ours = PostgresBackend::connect(&server().url(&database), config()).await.unwrap();
    assert_eq!(answer(ours).await, expected);
    let pool = pool(&database).await;
    assert_eq!(answer(PostgresBackend::with_pool(pool.clone(), config()).await.unwrap()).await, expected);
    let after: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&pool).await.unwrap();
    assert_eq!(after, "0", "the host's session is as it was");
    pool.close().await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_at_the_server_and_its_connection_goes_on() {
    let database = server().new_database().await;
    let config = PostgresConfig::default().connections(1).call_deadline(Duration::from_millis(200));
    let slow = "SELECT $1::bigint AS now, pg_sleep(60)";
    let backend = PostgresBackend::connect(&server().url(&database), asking(config, slow)).await.unwrap();
    assert_eq!(backend.now().await.unwrap_err().retryability(), Retryability::Temporary);
    assert!(Store::stats(&backend).await.is_ok());
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()";
    let asleep: i64 = sqlx::query_scalar(asleep).fetch_one(&mut watching).await.unwrap();
    assert_eq!(asleep, 0);
    watching.close().await.unwrap();
    backend.close().await.unwrap();
}

/// One where a commit waits for the disk.
const WAITS: &str = "SELECT $1::bigint, (current_setting('synchronous_commit') = 'on')::integer::bigint AS now";

#[tokio::test]
async fn a_commit_on_the_pool_of_a_host_that_does_not_wait_for_its_disk_waits_all_the_same_unless_loss_is_allowed() {
    let database = server().new_database().await;
    let pool = pool(&database).await;
    let config = || asking(PostgresConfig::default(), WAITS);
    assert_eq!(answer(PostgresBackend::with_pool(pool.clone(), config()).await.unwrap()).await, 1);
    let lossy = PostgresBackend::with_pool(pool.clone(), config().allow_bounded_loss()).await.unwrap();
    assert_eq!(answer(lossy).await, 0);
    let after: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&pool).await.unwrap();
    assert_eq!(after, "off", "the host's session is as it was");
    pool.close().await;
}
