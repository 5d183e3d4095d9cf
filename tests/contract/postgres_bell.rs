//! LISTEN and NOTIFY on PostgreSQL: a worker hears of a job of another process without a poll, and polls without them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::Provisioner;
use vip_core::conformance::claim_id;
use vip_core::conformance::job_queue::{job, kind, settle};
use vip_core::model::{JobKey, JobKind};
use vip_core::ports::{ClaimRequest, JobQueue, Retryability, Settled, Store, Verdict};
use vip_core::provisioning::kinds::CONVERGE;
use vip_tests::postgres::Server;
use vip_tests::{site, timing};

use crate::postgres_database::{open, until_yes};
use crate::{ACTOR, server};

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
        let claimed = match backend.claim(&request).await {
            Ok(mut claimed) => claimed.pop(),
            // Its connection went away with the server, or that takes its time to start: a worker claims again.
            Err(error) => {
                assert_ne!(error.retryability(), Retryability::Permanent, "{error:?}");
                continue;
            }
        };
        if let Some(claimed) = claimed {
            assert_eq!(settle(&backend, claimed.lease.reference, Verdict::Done).await, Settled::Applied);
            return claimed.job.key;
        }
        backend.wait(POLL).await;
    }
}

async fn until_listening(watching: &mut PgConnection) {
    until_so_many_listen(watching, 1).await;
}

async fn until_so_many_listen(watching: &mut PgConnection, many: i64) {
    until_yes(watching, &format!("SELECT ({LISTENERS}) >= {many}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_server_was_away_a_job_of_another_process_is_heard_of_again() {
    let server = Server::start(Path::new(ACTOR));
    let database = server.new_database().await;
    let config = PostgresConfig::default().poll_interval(POLL);
    let worker = PostgresBackend::connect(&server.url(&database), config).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(next_job(worker.clone(), vec![kind("test")]));
    let mut watching = PgConnection::connect(&server.url(&database)).await.unwrap();
    until_listening(&mut watching).await;
    server.crash();
    server.restart();
    let mut watching = PgConnection::connect(&server.url(&database)).await.unwrap();
    until_listening(&mut watching).await;
    let producer = PostgresBackend::connect(&server.url(&database), PostgresConfig::default()).await.unwrap();
    producer.enqueue(&[job("a")]).await.unwrap();
    let found = timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(found.as_str(), "a");
    for backend in [producer, worker] {
        backend.close().await.unwrap();
    }
    watching.close().await.unwrap();
    server.stop();
}

/// Passes bytes on between clients and a server, until some connections are cut off without a word to either side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire {
    listening: Arc<AtomicUsize>,
    /// How many of those that have listened so far are cut off.
    cut: Arc<AtomicUsize>,
    /// How often all connections of the moment were cut off.
    cuts: Arc<AtomicUsize>,
}

impl Wire {
    /// Lays one to a server; returns where it begins, and what passes the bytes on as long as it is kept.
    pub(crate) async fn lay(&self, folder: &Path) -> (SocketAddr, JoinSet<()>) {
        let clients = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, socket, wire) = (clients.local_addr().unwrap(), folder.join(".s.PGSQL.5432"), self.clone());
        let mut laid = JoinSet::new();
        laid.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((client, _)) = clients.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                passing.spawn(wire.clone().pass(client, server));
            }
        });
        (address, laid)
    }

    /// Cuts off all that are laid by now; those that come pass bytes on.
    pub(crate) fn cut_all_of_now(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }

    async fn pass(self, mut client: TcpStream, mut server: UnixStream) {
        let (mut sent, mut answered, mut place) = (vec![0; 65_536], vec![0; 65_536], usize::MAX);
        let cuts = self.cuts.load(Ordering::SeqCst);
        loop {
            let (bytes, is_sent) = tokio::select! {
                read = client.read(&mut sent) => (read.unwrap_or(0), true),
                read = server.read(&mut answered) => (read.unwrap_or(0), false),
            };
            let is_cut = self.cut.load(Ordering::SeqCst) > place || self.cuts.load(Ordering::SeqCst) > cuts;
            if is_cut && bytes > 0 {
                continue;
            }
            let bytes = if is_sent { &sent } else { &answered }.get(..bytes).unwrap();
            if place == usize::MAX && is_sent && bytes.windows(6).any(|six| six == b"LISTEN") {
                place = self.listening.fetch_add(1, Ordering::SeqCst);
            }
            let passed = if is_sent { server.write_all(bytes).await } else { client.write_all(bytes).await };
            if bytes.is_empty() || passed.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_other_end_is_gone_without_a_word_is_noticed_and_another_one_listens() {
    let database = server().new_database().await;
    let wire = Wire::default();
    let (address, _laid) = wire.lay(server().folder()).await;
    let config = PostgresConfig::default().poll_interval(POLL);
    let url = format!("postgres://vip@{address}/{database}?sslmode=disable");
    let (producer, worker) = (open(&database).await, PostgresBackend::connect(&url, config).await.unwrap());
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let mut waiting = JoinSet::new();
    waiting.spawn(next_job(worker.clone(), vec![kind("test")]));
    until_listening(&mut watching).await;
    wire.cut.store(1, Ordering::SeqCst);
    // Rung into the void: found when another connection listens, long before the next poll.
    producer.enqueue(&[job("a")]).await.unwrap();
    let found = timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(found.as_str(), "a");
    until_so_many_listen(&mut watching, 2).await;
    waiting.spawn(next_job(worker.clone(), vec![kind("test")]));
    producer.enqueue(&[job("b")]).await.unwrap();
    let found = timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(found.as_str(), "b");
    for backend in [producer, worker] {
        backend.close().await.unwrap();
    }
    watching.close().await.unwrap();
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
    // The last job may have been found before another connection listens.
    until_listening(&mut watching).await;
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
