//! LISTEN and NOTIFY on PostgreSQL: a worker hears of a job of another process without a poll, and polls without them.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use tokio::time::timeout;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::Provisioner;
use vip_core::conformance::claim_id;
use vip_core::conformance::job_queue::{job, kind, settle};
use vip_core::model::{JobKey, JobKind};
use vip_core::ports::{ClaimRequest, JobQueue, Settled, Store, Verdict};
use vip_core::provisioning::kinds::CONVERGE;
use vip_tests::{site, timing};

use crate::postgres_database::open;
use crate::server;

/// Between two polls: nothing that a test waits for comes by polling.
const POLL: Duration = Duration::from_secs(60);
/// Longer than anything here takes on a busy machine, and shorter than the time between two polls, jitter included.
const PATIENCE: Duration = Duration::from_secs(40);
const LISTENERS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";

/// Opens a database as a process that hardly ever polls.
async fn deaf(database: &str) -> PostgresBackend {
    let config = PostgresConfig::default().poll_interval(POLL);
    PostgresBackend::connect(&server().url(database), config).await.unwrap()
}

/// Waits as a worker does until it gets a job; returns its key.
async fn next_job(backend: PostgresBackend, kinds: Vec<JobKind>) -> JobKey {
    loop {
        let request = ClaimRequest { kinds: kinds.clone(), most: 1, lease: POLL, claim: claim_id() };
        if let Some(claimed) = backend.claim(&request).await.unwrap().pop() {
            assert_eq!(settle(&backend, claimed.lease.reference, Verdict::Done).await, Settled::Applied);
            return claimed.job.key;
        }
        backend.wait(POLL).await;
    }
}

async fn until_listening(watching: &mut PgConnection) {
    while sqlx::query_scalar::<_, i64>(LISTENERS).fetch_one(&mut *watching).await.unwrap() == 0 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_another_process_is_heard_of_without_a_poll_also_after_the_connection_was_lost() {
    let database = server().new_database().await;
    let (producer, worker) = (open(&database).await, deaf(&database).await);
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let kinds = vec![kind("test")];
    for key in ["a", "b", "c"] {
        let mut waiting = JoinSet::new();
        waiting.spawn(next_job(worker.clone(), kinds.clone()));
        until_listening(&mut watching).await;
        if key == "c" {
            let end = LISTENERS.replace("count(*)", "pg_terminate_backend(pid)");
            sqlx::raw_sql(sqlx::AssertSqlSafe(end)).execute(&mut watching).await.unwrap();
        }
        producer.enqueue(&[job(key)]).await.unwrap();
        let found = timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(found.as_str(), key);
    }
    let listeners: i64 = sqlx::query_scalar(LISTENERS).fetch_one(&mut watching).await.unwrap();
    assert_eq!(listeners, 1, "who never waits does not listen");
    for backend in [producer, worker] {
        backend.close().await.unwrap();
    }
    let listeners: i64 = sqlx::query_scalar(LISTENERS).fetch_one(&mut watching).await.unwrap();
    assert_eq!(listeners, 0);
    watching.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_in_a_hosts_transaction_is_heard_of_when_that_commits() {
    let database = server().new_database().await;
    let (backend, worker) = (open(&database).await, deaf(&database).await);
    let pool = PgPool::connect(&server().url(&database)).await.unwrap();
    let builder = Provisioner::builder(backend.backend()).provider(HetznerClient::simulated().unwrap());
    let provisioner = builder.timing(timing::quick()).client_only().await.unwrap();
    let order = provisioner.tenant("acme").create_server(site::spec("web-1")).prepare().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let operation = backend.accept_in(&mut transaction, &order).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(next_job(worker.clone(), vec![kind(CONVERGE)]));
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    until_listening(&mut watching).await;
    transaction.commit().await.unwrap();
    let found = timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert!(found.as_str().ends_with(&operation.server_id().to_string()), "{found}");
    watching.close().await.unwrap();
    assert!(provisioner.shutdown(Duration::from_secs(10)).await.within_deadline);
    worker.close().await.unwrap();
    pool.close().await;
}
