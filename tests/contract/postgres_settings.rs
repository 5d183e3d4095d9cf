//! What our sessions at PostgreSQL are told: time-outs, and that a commit waits for the disk, also on the pool of a host.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use tracing::Level;
use vip_adapters::postgres::{OpenError, PostgresBackend, PostgresConfig};
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::ports::{JobQueue, Retryability, Settled, Store, Verdict};
use vip_tests::lines::Lines;
use vip_tests::site::until;

use crate::postgres_database::{open, until_yes, whole_order};
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

#[tokio::test]
async fn a_connection_on_which_a_wait_was_given_up_is_used_again() {
    let database = server().new_database().await;
    // Reads say which session they are of.
    let session = "SELECT pg_backend_pid()::bigint + coalesce($1::bigint, 0) AS now";
    let config = PostgresConfig::default().connections(1).call_deadline(Duration::from_millis(400));
    let config = config.lock_wait(Duration::from_millis(100));
    let backend = PostgresBackend::connect(&server().url(&database), asking(config, session)).await.unwrap();
    let before = backend.now().await.unwrap();
    let mut host = PgConnection::connect(&server().url(&database)).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE vip.servers").execute(&mut host).await.unwrap();
    let refused = backend.commit(&whole_order(1)).await.unwrap_err();
    assert_eq!(refused.retryability(), Retryability::Temporary);
    host.close().await.unwrap();
    assert_eq!(backend.now().await.unwrap(), before);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_commit_waits_for_the_disk_also_if_that_is_switched_off_while_the_backend_is_open() {
    let database = server().new_database().await;
    let backend =
        PostgresBackend::connect(&server().url(&database), asking(PostgresConfig::default(), WAITS)).await.unwrap();
    server().run("postgres", &format!("ALTER DATABASE {database} SET synchronous_commit = off")).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'vip'";
    server().run(&database, end).await;
    assert_eq!(answer(backend).await, 1);
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused_and_its_encoding_named() {
    let database = "latin_one";
    let make = format!("CREATE DATABASE {database} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    server().run("postgres", &make).await;
    let error = PostgresBackend::connect(&server().url(database), PostgresConfig::default()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Encoding { found } if found == "LATIN1"), "{error:?}");
    let mut watching = PgConnection::connect(&server().url(database)).await.unwrap();
    let made = "SELECT to_regnamespace('vip') IS NOT NULL";
    assert!(!sqlx::query_scalar::<_, bool>(made).fetch_one(&mut watching).await.unwrap(), "nothing was changed");
    watching.close().await.unwrap();
}

#[tokio::test]
async fn whoever_can_claim_can_settle_and_prolong_also_while_the_server_takes_no_further_connection() {
    let database = server().new_database().await;
    server().run(&database, "CREATE ROLE vip_narrow LOGIN SUPERUSER").await;
    let url = server().url_for("vip_narrow", &database);
    let backend = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap();
    backend.enqueue(&[job("a"), job("b")]).await.unwrap();
    let leases: Vec<_> = claim(&backend, 2).await.iter().map(|claimed| claimed.lease.reference).collect();
    // Nobody gets in any more; whoever is in stays.
    server().run(&database, "ALTER ROLE vip_narrow NOLOGIN").await;
    assert_eq!(backend.heartbeat(&leases, Duration::from_secs(60)).await.unwrap(), [true, true]);
    for lease in leases {
        assert_eq!(settle(&backend, lease, Verdict::Done).await, Settled::Applied);
    }
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_not_log_in_for_a_while_fails_no_call_for_good() {
    let database = server().new_database().await;
    server().run(&database, "CREATE ROLE vip_shut LOGIN SUPERUSER").await;
    let url = server().url_for("vip_shut", &database);
    let backend = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'vip_shut'";
    server().run(&database, &format!("ALTER ROLE vip_shut NOLOGIN; {end}")).await;
    let refused = backend.commit(&whole_order(1)).await.unwrap_err();
    assert_eq!(refused.retryability(), Retryability::Temporary, "{refused:?}");
    assert_eq!(backend.settle(&[]).await.unwrap(), []);
    server().run(&database, "ALTER ROLE vip_shut LOGIN").await;
    drop(backend.commit(&whole_order(1)).await.unwrap());
    backend.close().await.unwrap();
}

/// Is told, in a line each, of tries after the first one.
const AGAIN: &str = "a database call is tried again";

#[tokio::test]
async fn what_somebody_has_to_put_right_ends_a_commit_at_once_and_is_waited_for_by_a_heartbeat() {
    let database = server().new_database().await;
    // Long enough for anything: no try is left out because there was no time for it.
    let config = PostgresConfig::default().call_deadline(Duration::from_secs(30));
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    backend.enqueue(&[job("a")]).await.unwrap();
    let leases = [claim(&backend, 1).await.pop().unwrap().lease.reference];
    let (lines, _on_this_thread) = Lines::listen_from(Level::DEBUG);
    server().run(&database, "ALTER TABLE vip.servers RENAME TO servers_elsewhere").await;
    let refused = backend.commit(&whole_order(1)).await.unwrap_err();
    assert_eq!(refused.retryability(), Retryability::Temporary, "{refused:?}");
    assert_eq!(lines.told(AGAIN), 0, "{}", lines.text());

    server().run(&database, "ALTER TABLE vip.jobs RENAME TO jobs_elsewhere").await;
    let bring = async {
        until("the heartbeat is tried again", async || lines.told(AGAIN) > 0).await;
        server().run(&database, "ALTER TABLE vip.jobs_elsewhere RENAME TO jobs").await;
    };
    let (held, ()) = tokio::join!(backend.heartbeat(&leases, Duration::from_secs(60)), bring);
    assert_eq!(held.unwrap(), [true]);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn our_connections_follow_what_the_pool_of_a_host_is_told_of_how_to_connect() {
    let database = server().new_database().await;
    server().run(&database, "CREATE ROLE vip_before LOGIN SUPERUSER; CREATE ROLE vip_after LOGIN SUPERUSER").await;
    let pool = PgPool::connect(&server().url_for("vip_before", &database)).await.unwrap();
    let backend = PostgresBackend::with_pool(pool.clone(), PostgresConfig::default()).await.unwrap();
    backend.enqueue(&[job("a")]).await.unwrap();
    server().run(&database, "ALTER ROLE vip_before NOLOGIN").await;
    pool.set_connect_options(server().url_for("vip_after", &database).parse::<PgConnectOptions>().unwrap());
    let claimed = claim(&backend, 1).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(settle(&backend, claimed[0].lease.reference, Verdict::Done).await, Settled::Applied);
    backend.close().await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn an_opening_that_waited_for_another_one_does_not_set_the_epochs_back() {
    let database = server().new_database().await;
    open(&database).await.close().await.unwrap();
    server().run(&database, "SELECT setval('vip.epochs', 7)").await;
    let mut other = PgConnection::connect(&server().url(&database)).await.unwrap();
    let turn = "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('vip.epochs', 0))";
    sqlx::raw_sql(turn).execute(&mut other).await.unwrap();
    let url = server().url(&database);
    let mut opening = JoinSet::new();
    opening.spawn(async move { PostgresBackend::connect(&url, PostgresConfig::default()).await });
    let waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until_yes(&mut other, waits).await;
    // The other one has a clock that is ahead.
    sqlx::raw_sql("SELECT setval('vip.epochs', 9000000000000000000)").execute(&mut other).await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    opening.join_next().await.unwrap().unwrap().unwrap().close().await.unwrap();
    let last: i64 = sqlx::query_scalar("SELECT last_value FROM vip.epochs").fetch_one(&mut other).await.unwrap();
    assert_eq!(last, 9_000_000_000_000_000_000);
    other.close().await.unwrap();
}
