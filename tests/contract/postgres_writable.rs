//! What health says of a server that answers reads and takes no changes, and of one that says so of its sessions alone.

use std::path::Path;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::Instant;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::Provisioner;
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::ports::{ChangeSet, JobQueue, Settled, Store, StoreError, Verdict};
use vip_core::runtime::HealthStatus;
use vip_core::telemetry::causes;
use vip_tests::postgres::Server;

use crate::postgres_database::{is_applied, open, whole_order};
use crate::{ACTOR, server};

/// Long enough for anything on a busy machine; a test that gets here has failed.
const NEVER: Duration = Duration::from_secs(30);
/// How long a call waits for a connection, unless it is told otherwise.
const POOL_WAIT: Duration = Duration::from_secs(2);

/// Asks until the answer is the one that is waited for: a connection that broke meanwhile says neither.
async fn asked_until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Some(answer) => return answer,
            None => assert!(begun.elapsed() < NEVER, "it was never told"),
        }
    }
}

#[tokio::test]
async fn a_server_that_became_a_standby_is_told_with_its_cause_until_it_is_promoted() {
    // A server of its own: what is done to it is done to all databases.
    let server = Server::start(Path::new(ACTOR));
    let database = server.new_database().await;
    let backend = PostgresBackend::connect(&server.url(&database), PostgresConfig::default()).await.unwrap();
    let provisioner = Provisioner::builder(backend.backend()).client_only().await.unwrap();
    let store = async || {
        let report = provisioner.health().await;
        let part = report.parts.iter().find(|part| part.name == "store").unwrap();
        (part.status, part.detail.clone().unwrap_or_default())
    };
    backend.writable().await.unwrap();
    assert_eq!(store().await.0, HealthStatus::Ok);

    server.crash();
    std::fs::write(server.folder().join("data/standby.signal"), "").unwrap();
    server.restart();
    let error = asked_until(async || backend.writable().await.err()).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(causes(&error).to_string().contains("during recovery"), "{error:?}");
    let (status, detail) = store().await;
    assert_eq!(status, HealthStatus::Degraded, "{detail}");
    assert!(detail.contains("only reads: ") && detail.contains("during recovery"), "{detail}");
    assert!(provisioner.readiness().await.is_ready(), "reads are answered");
    backend.now().await.unwrap();
    let change = whole_order(1);
    assert!(!is_applied(&backend, &change).await);
    let refused = backend.commit(&change).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");

    server.run("postgres", "SELECT pg_promote()").await;
    asked_until(async || backend.writable().await.ok()).await;
    assert_eq!(store().await.0, HealthStatus::Ok);
    assert!(!backend.commit(&change).await.unwrap().replayed);
    assert!(provisioner.shutdown(NEVER).await.within_deadline);
    server.stop();
}

/// Makes each kind of change, each in its own way to the server.
async fn change_everything(backend: &PostgresBackend, number: usize) {
    assert!(!backend.commit(&whole_order(number)).await.unwrap().replayed);
    let by_itself = ChangeSet { job: None, ..whole_order(number + 1) };
    assert!(!backend.commit(&by_itself).await.unwrap().replayed);
    backend.enqueue(&[job("a")]).await.unwrap();
    let leases: Vec<_> = claim(backend, 9).await.iter().map(|claimed| claimed.lease.reference).collect();
    assert_eq!(leases.len(), 2);
    assert_eq!(backend.heartbeat(&leases, NEVER).await.unwrap(), [true; 2]);
    for lease in leases {
        assert_eq!(settle(backend, lease, Verdict::Done).await, Settled::Applied);
    }
    assert_eq!(backend.seal(9).await.unwrap().sealed, 2);
    assert_eq!(backend.reap(5, 10).await.unwrap(), 0);
}

#[tokio::test]
async fn a_database_whose_sessions_only_read_unless_they_say_otherwise_takes_all_changes_and_is_told_so() {
    let database = server().new_database().await;
    server().run("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    let ours = open(&database).await;
    change_everything(&ours, 1).await;
    ours.writable().await.unwrap();
    let pool = PgPool::connect(&server().url(&database)).await.unwrap();
    let default: String = sqlx::query_scalar("SHOW default_transaction_read_only").fetch_one(&pool).await.unwrap();
    assert_eq!(default, "on", "the session of a host");
    let hosts = PostgresBackend::with_pool(pool.clone(), PostgresConfig::default()).await.unwrap();
    change_everything(&hosts, 3).await;
    hosts.writable().await.unwrap();
    for backend in [ours, hosts] {
        backend.close().await.unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn a_connection_that_is_not_to_be_had_is_no_sign_of_a_server_that_only_reads() {
    let database = server().new_database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&server().url(&database)).await.unwrap();
    let backend = PostgresBackend::with_pool(pool.clone(), PostgresConfig::default()).await.unwrap();
    let busy = pool.acquire().await.unwrap();
    let begun = Instant::now();
    backend.writable().await.unwrap();
    assert!(begun.elapsed() < POOL_WAIT, "health waits a second for all of its answer: {:?}", begun.elapsed());
    let figures = backend.pool_figures().into_iter().find(|it| it.purpose == "commits and reads").unwrap();
    assert_eq!((figures.timed_out, figures.waiting), (0, 0), "no caller went without");
    drop(busy);
    backend.close().await.unwrap();
    assert!(backend.writable().await.is_err(), "nothing is kept by a backend that is closed");
    pool.close().await;
}
