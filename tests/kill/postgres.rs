//! On PostgreSQL: workers that are killed, and a server that is ended at once, again and again, under load.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::claim_id;
use vip_core::conformance::job_queue::kind;
use vip_core::conformance::samples::{job_of, key_of, order, server as record, tenant};
use vip_core::model::{ChainHead, JobKey, verify_chain, verify_versions};
use vip_core::ports::{
    ChangeSet, ClaimRequest, JobQueue, QueueError, Retryability, Settled, Settlement, Store, StoreError, Verdict,
};
use vip_tests::postgres::Server;

use crate::{ACTOR, PATIENCE, disturb, number};

/// Callers that commit at once, and those that work on jobs.
const WRITERS: usize = 4;
const WORKERS: usize = 3;
/// Commits that have to come through between two crashes.
const BETWEEN: usize = 40;
/// How long a lease holds; those of lost claims come back after it.
const LEASE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_on_postgres_lose_nothing_and_double_nothing() {
    let server = Server::start(Path::new(ACTOR));
    let store = server.url(&server.new_database().await);
    disturb(&store, number("VIP_TEST_KILLS", 30), async |workers, place| workers.kill_and_replace(place).await).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_outlive_a_database_server_that_crashes_again_and_again() {
    let server = Server::start(Path::new(ACTOR));
    let store = server.url(&server.new_database().await);
    disturb(&store, number("VIP_TEST_CRASHES", 3), async |_workers, _place| crash(&server)).await;
    server.stop();
}

fn crash(server: &Server) {
    // Blocks this thread alone; the others go on against a server that is not there.
    tokio::task::block_in_place(|| {
        server.crash();
        server.restart();
    });
}

/// What callers were answered.
#[derive(Debug, Default)]
struct Answered {
    orders: Vec<ChangeSet>,
    /// Whose commit was answered as unknown at least once.
    unknown: usize,
    /// How often a settlement was answered as applied, by key.
    settled: BTreeMap<JobKey, u32>,
}

type Shared = Arc<Mutex<Answered>>;

/// Commits orders, each again and again until it is certain.
async fn commit_orders(backend: PostgresBackend, answered: Shared, count: watch::Sender<usize>, end: Arc<AtomicBool>) {
    while !end.load(Ordering::SeqCst) {
        let mut whole = order(record(&tenant("acme")));
        whole.key = Some(key_of(&whole.server, &whole.id.to_string()));
        loop {
            match backend.commit(&whole).await {
                Ok(_) => break,
                Err(StoreError::OutcomeUnknown { .. }) => answered.lock().unwrap().unknown += 1,
                Err(error) => assert_eq!(error.retryability(), Retryability::Temporary, "{error:?}"),
            }
        }
        answered.lock().unwrap().orders.push(whole);
        count.send_modify(|count| *count += 1);
    }
}

fn passing<T: Default>(answer: Result<T, QueueError>) -> T {
    answer.unwrap_or_else(|error| {
        assert_ne!(error.retryability(), Retryability::Permanent, "{error:?}");
        T::default()
    })
}

/// Works on jobs until there is none left after the end.
async fn work(backend: PostgresBackend, answered: Shared, end: Arc<AtomicBool>) {
    loop {
        let request = ClaimRequest { kinds: vec![kind("test")], most: 5, lease: LEASE, claim: claim_id() };
        let claimed = passing(backend.claim(&request).await);
        if claimed.is_empty() {
            passing(backend.reap(u32::MAX, 100).await);
            let is_last = end.load(Ordering::SeqCst);
            if let Ok(stats) = JobQueue::stats(&backend, &[]).await
                && is_last
                && stats.due + stats.later + stats.leased == 0
            {
                return;
            }
            backend.wait(LEASE / 4).await;
        }
        for one in claimed {
            let settlement = Settlement { lease: one.lease.reference, verdict: Verdict::Done };
            if passing(backend.settle(&[settlement]).await) == [Settled::Applied] {
                *answered.lock().unwrap().settled.entry(one.job.key).or_default() += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_crashes_under_load_loses_no_commit_and_doubles_none() {
    let server = Server::start(Path::new(ACTOR));
    let url = server.url(&server.new_database().await);
    let backend = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap();
    let (answered, end) = (Shared::default(), Arc::new(AtomicBool::new(false)));
    let (count, mut counted) = watch::channel(0_usize);
    let mut callers = JoinSet::new();
    for _ in 0..WRITERS {
        callers.spawn(commit_orders(backend.clone(), Arc::clone(&answered), count.clone(), Arc::clone(&end)));
    }
    for _ in 0..WORKERS {
        callers.spawn(work(backend.clone(), Arc::clone(&answered), Arc::clone(&end)));
    }
    let crashes = number("VIP_TEST_CRASHES", 3);
    for _ in 0..crashes {
        let goal = *counted.borrow() + BETWEEN;
        timeout(PATIENCE, counted.wait_for(|count| *count >= goal)).await.expect("it goes on by itself").unwrap();
        crash(&server);
    }
    let goal = *counted.borrow() + BETWEEN;
    timeout(PATIENCE, counted.wait_for(|count| *count >= goal)).await.expect("it goes on by itself").unwrap();
    end.store(true, Ordering::SeqCst);
    timeout(PATIENCE, callers.join_all()).await.expect("all callers end");
    let answered = std::mem::take(&mut *answered.lock().unwrap());
    check(&backend, &answered, crashes).await;
    backend.close().await.unwrap();
    server.stop();
}

async fn check(backend: &PostgresBackend, answered: &Answered, crashes: u32) {
    let acme = tenant("acme");
    let versions = backend.versions(&acme, None, u32::MAX).await.unwrap();
    verify_versions(&versions.current, &versions.recorded).unwrap();
    assert_eq!(versions.current.len(), answered.orders.len(), "as many servers as orders");
    for whole in &answered.orders {
        assert_eq!(versions.current.get(&whole.server.id), Some(&1), "lost: {}", whole.server.id);
        assert!(backend.key(&acme, &whole.key.as_ref().unwrap().key).await.unwrap().is_some());
        let key = job_of(&whole.server).key;
        assert!(backend.find(&key).await.unwrap().is_none(), "its job was not done: {key}");
        assert!(answered.settled.get(&key).is_none_or(|count| *count == 1), "its job ended twice: {key}");
    }
    while backend.seal(1_000).await.unwrap().more {}
    let sealed = backend.sealed(&acme, 0, u32::MAX).await.unwrap();
    let head = verify_chain(&ChainHead::empty(&acme), &sealed).unwrap();
    assert_eq!(head, backend.chain_head(&acme).await.unwrap());
    println!(
        "{crashes} crashes: {} orders committed, 0 lost, 0 doubled; {} answers were unknown and resolved; {} of {} ends of jobs were answered",
        answered.orders.len(),
        answered.unknown,
        answered.settled.len(),
        answered.orders.len(),
    );
}
