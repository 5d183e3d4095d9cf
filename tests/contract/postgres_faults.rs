//! Faults of the server on PostgreSQL: locks, lost connections, lost answers, a silent server, busy connections.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::claim_id;
use vip_core::conformance::job_queue::{claim, job, kind};
use vip_core::conformance::samples::tenant;
use vip_core::memory::ManualClock;
use vip_core::model::{NewJob, Timestamp, verify_versions};
use vip_core::ports::{
    ChangeSet, ClaimRequest, Enqueued, JobQueue, QueueError, QuotaChange, Retryability, Settled, Settlement, Store,
    StoreError, Verdict,
};
use vip_tests::postgres::Server;
use vip_tests::site::pause;

use crate::postgres_bell::Wire;
use crate::postgres_database::{is_applied, open, until_waited_for, until_yes, whole_order};
use crate::{ACTOR, server};

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(600);
const MILLI: Duration = Duration::from_millis(1);

async fn open_with(database: &str, config: PostgresConfig) -> PostgresBackend {
    PostgresBackend::connect(&server().url(database), config).await.unwrap()
}

/// Enqueues jobs with the time that a disk takes: what is tested is in a hurry, what it begins with is not.
async fn enqueue_in_peace(database: &str, jobs: &[NewJob]) {
    let backend = open(database).await;
    backend.enqueue(jobs).await.unwrap();
    backend.close().await.unwrap();
}

/// An order of which each needs the counter of its tenant.
fn counted(number: usize) -> ChangeSet {
    let mut whole = whole_order(number);
    whole.quota = Some(QuotaChange::Take { limit: None });
    whole
}

/// Holds the counter of the tenant until the transaction ends.
async fn hold_counter(database: &str) -> PgConnection {
    let mut connection = PgConnection::connect(&server().url(database)).await.unwrap();
    let hold = "BEGIN; SELECT FROM vip.quotas FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut connection).await.unwrap();
    connection
}

async fn let_go(mut connection: PgConnection) {
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_others_hold_is_waited_for_and_the_call_tried_again() {
    let database = server().new_database().await;
    let backend = open_with(&database, PostgresConfig::default().lock_wait(20 * MILLI)).await;
    assert!(!backend.commit(&counted(0)).await.unwrap().replayed);
    let holder = hold_counter(&database).await;
    let (waiting, change) = (backend.clone(), counted(1));
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    calls.spawn(async move { (waiting.commit(&change).await, change) });
    // Long enough for several times the wait for a lock.
    pause(200 * MILLI).await;
    let_go(holder).await;
    let (answer, change) = calls.join_next().await.unwrap().unwrap();
    assert!(!answer.unwrap().replayed && begun.elapsed() >= 200 * MILLI);
    assert!(is_applied(&backend, &change).await);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_held_beyond_the_deadline_makes_the_call_unavailable_and_changes_nothing() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    assert!(!backend.commit(&counted(0)).await.unwrap().replayed);
    let hurried = PostgresConfig::default().lock_wait(20 * MILLI).call_deadline(300 * MILLI);
    let hurried = open_with(&database, hurried).await;
    let holder = hold_counter(&database).await;
    let change = counted(1);
    let refused = hurried.commit(&change).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let_go(holder).await;
    assert!(!is_applied(&backend, &change).await);
    hurried.close().await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_taken_back_to_end_a_deadlock_is_tried_again() {
    let database = server().new_database().await;
    let backend = open_with(&database, PostgresConfig::default().lock_wait(3_000 * MILLI)).await;
    backend.enqueue(&[job("a"), job("d")]).await.unwrap();
    let mut other = PgConnection::connect(&server().url(&database)).await.unwrap();
    // It is patient: so the call of ours is the one that finds the deadlock, and is taken back.
    let hold = "SET deadlock_timeout = '1min'; BEGIN; SELECT FROM vip.jobs WHERE key = 'd' FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
    let enqueuing = backend.clone();
    let mut calls = JoinSet::new();
    // Two statements of one transaction: it holds `a` when it waits for `d`.
    calls.spawn(async move { enqueuing.enqueue(&[job("a"), job("a"), job("d")]).await });
    until_waited_for(&mut other, 1).await;
    sqlx::raw_sql("SELECT FROM vip.jobs WHERE key = 'a' FOR UPDATE").execute(&mut other).await.unwrap();
    let_go(other).await;
    assert_eq!(calls.join_next().await.unwrap().unwrap().unwrap(), [Enqueued::Merged; 3]);
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    // The server counts it a moment later.
    let deadlocks = "SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()";
    until_yes(&mut watching, deadlocks).await;
    watching.close().await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_commit_takes_longer_than_a_call_may_brings_its_job_also_beside_a_busy_host() {
    let database = server().new_database().await;
    enqueue_in_peace(&database, &[job("a")]).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&server().url(&database)).await.unwrap();
    let config = PostgresConfig::default().call_deadline(300 * MILLI).pool_wait(100 * MILLI);
    let backend = PostgresBackend::with_pool(pool.clone(), config).await.unwrap();
    // As on a disk that is slow: the statement has ended, and its time-out with it.
    let slow =
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON vip.jobs DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    server().run(&database, slow).await;
    let busy = pool.acquire().await.unwrap();
    assert_eq!(claim(&backend, 1).await.len(), 1, "leased to nobody, and dead after a few times");
    drop(busy);
    backend.close().await.unwrap();
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_the_server_is_not_at_work_on_is_not_waited_for() {
    let database = server().new_database().await;
    enqueue_in_peace(&database, &[job("a"), job("b")]).await;
    let wire = Wire::default();
    let (address, _laid) = wire.lay(server().folder()).await;
    let url = format!("postgres://vip@{address}/{database}?sslmode=disable");
    let config = PostgresConfig::default().call_deadline(300 * MILLI);
    let backend = PostgresBackend::connect(&url, config).await.unwrap();
    assert_eq!(claim(&backend, 1).await.len(), 1);
    // The connections that are open by now say nothing any more, and those that come are as good as ever.
    wire.cut_all_of_now();
    let request = ClaimRequest { kinds: vec![kind("test")], most: 1, lease: NEVER, claim: claim_id() };
    let lost = tokio::time::timeout(NEVER / 20, until_known(async || backend.claim(&request).await)).await;
    assert_eq!(lost.unwrap().len(), 1);
    backend.close().await.unwrap();
}

/// Ends every connection of ours to a database, as a restart or a failover does.
async fn end_connections(server: &Server, database: &str) {
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{database}' AND application_name = 'vip'"
    );
    server.run("postgres", &end).await;
}

/// Repeats a call as the worker does: of claims and settlements the caller has to decide what a lost answer means.
async fn until_known<T>(call: impl AsyncFn() -> Result<T, QueueError>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.retryability(), Retryability::OutcomeUnknown, "{error:?}"),
        }
    }
}

#[tokio::test]
async fn lost_connections_are_replaced_and_no_commit_read_or_heartbeat_fails() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    for number in 0..5 {
        backend.enqueue(&[job("a")]).await.unwrap();
        let request = ClaimRequest { kinds: vec![kind("test")], most: 1, lease: NEVER, claim: claim_id() };
        let claimed = until_known(async || backend.claim(&request).await).await.pop().unwrap();
        end_connections(server(), &database).await;
        assert!(!backend.commit(&whole_order(number)).await.unwrap().replayed);
        assert_eq!(backend.heartbeat(&[claimed.lease.reference], NEVER).await.unwrap(), [true]);
        let settlement = Settlement { lease: claimed.lease.reference, verdict: Verdict::Done };
        let settled = until_known(async || backend.settle(std::slice::from_ref(&settlement)).await).await;
        assert_eq!(settled, [Settled::Applied]);
        end_connections(server(), &database).await;
        assert!(backend.load(&tenant("acme"), whole_order(0).server.id).await.unwrap().is_none());
    }
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_repeated_and_found_applied() {
    // A server of its own: commits wait for a standby that is not there, after they are on the disk.
    let server = Server::start(Path::new(ACTOR));
    let database = server.new_database().await;
    let backend = PostgresBackend::connect(&server.url(&database), PostgresConfig::default()).await.unwrap();
    server.run("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    server.run("postgres", "SELECT pg_reload_conf()").await;
    let (committing, change) = (backend.clone(), whole_order(1));
    let mut calls = JoinSet::new();
    calls.spawn(async move { (committing.commit(&change).await, change) });
    let mut watching = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let waits =
        format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '{database}' AND wait_event = 'SyncRep'");
    until_yes(&mut watching, &waits).await;
    end_connections(&server, &database).await;
    let (answer, change) = calls.join_next().await.unwrap().unwrap();
    let committed = answer.unwrap();
    assert!(committed.replayed, "the first one was on the disk, and the second one found it");
    assert_eq!(committed.server.version, 1);
    let versions = backend.versions(&tenant("acme"), None, u32::MAX).await.unwrap();
    verify_versions(&versions.current, &versions.recorded).unwrap();
    assert_eq!(versions.current.len(), 1);
    assert!(is_applied(&backend, &change).await);
    backend.close().await.unwrap();
    watching.close().await.unwrap();
    server.stop();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_unavailable_after_the_deadline() {
    let database = server().new_database().await;
    let sleeping = |name: &str, text: &'static str| {
        if name == "store_now" { Cow::Borrowed("SELECT $1, pg_sleep(60)::text") } else { Cow::Borrowed(text) }
    };
    let config = PostgresConfig::default().call_deadline(200 * MILLI).query_filter(sleeping);
    let backend = open_with(&database, config).await;
    let begun = Instant::now();
    let refused = backend.now().await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(begun.elapsed() < 20_000 * MILLI, "{:?}", begun.elapsed());
    backend.installation().await.unwrap();
    backend.close().await.unwrap();
}

/// How long all connections for commits are busy; `VIP_TEST_EXHAUSTED_SECONDS` says more.
fn exhausted_for() -> Duration {
    let seconds = std::env::var("VIP_TEST_EXHAUSTED_SECONDS").map_or(3, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_connections_are_waited_for_with_a_bound_and_cost_no_lease() {
    let database = server().new_database().await;
    // The pool of a host that is busy with something else: nothing is left for our commits.
    let pool = PgPoolOptions::new().max_connections(1).connect(&server().url(&database)).await.unwrap();
    let backend = PostgresBackend::with_pool(pool.clone(), PostgresConfig::default()).await.unwrap();
    // For what is refused; what has to come to its end has the time that a disk takes.
    let config = PostgresConfig::default().pool_wait(50 * MILLI).call_deadline(200 * MILLI);
    let hurried = PostgresBackend::with_pool(pool.clone(), config).await.unwrap();
    assert!(!backend.commit(&whole_order(0)).await.unwrap().replayed);
    backend.enqueue(&(0..50).map(|number| job(&format!("job-{number}"))).collect::<Vec<_>>()).await.unwrap();
    let lease = Duration::from_secs(10);
    let request = ClaimRequest { kinds: vec![kind("test")], most: 100, lease, claim: claim_id() };
    let claimed = until_known(async || backend.claim(&request).await).await;
    let leases: Vec<_> = claimed.iter().map(|one| one.lease.reference).collect();
    assert_eq!(leases.len(), 51);
    let busy = pool.acquire().await.unwrap();
    let (until, mut beats, mut refusals) = (Instant::now() + exhausted_for(), 0, 0);
    // Without a job it is no order that goes along with others.
    let by_itself = ChangeSet { job: None, ..whole_order(1) };
    while Instant::now() < until {
        let refused = hurried.commit(&by_itself).await.unwrap_err();
        let reason = std::error::Error::source(&refused).unwrap().to_string();
        assert!(reason.starts_with("all 1 connections for commits and reads were busy for "), "{reason}");
        refusals += 1;
        let held = backend.heartbeat(&leases, lease).await.unwrap();
        assert!(held.iter().all(|held| *held), "a lease was lost after {beats} heartbeats");
        beats += 1;
    }
    let settlement = |lease| Settlement { lease, verdict: Verdict::Done };
    let done: Vec<_> = leases.iter().map(|lease| settlement(*lease)).collect();
    assert!(backend.settle(&done).await.unwrap().iter().all(|settled| *settled == Settled::Applied));
    // Whoever goes away while it waits, waits no more.
    let gone = tokio::time::timeout(MILLI, hurried.installation()).await;
    assert!(gone.is_err(), "{gone:?}");
    let figures = hurried.pool_figures().into_iter().find(|it| it.purpose == "commits and reads").unwrap();
    assert!(figures.timed_out >= refusals && figures.longest_wait >= 50 * MILLI && figures.waiting == 0, "{figures:?}");
    assert!(!backend.commit(&whole_order(3)).await.unwrap().replayed, "orders have connections of their own");
    drop(busy);
    assert!(!backend.commit(&whole_order(2)).await.unwrap().replayed);
    println!(
        "{} leases held over {:.1?} by {beats} heartbeats; {refusals} commits refused meanwhile",
        leases.len(),
        exhausted_for()
    );
    for backend in [hurried, backend] {
        backend.close().await.unwrap();
        assert!(matches!(backend.installation().await, Err(StoreError::Unavailable { .. })));
    }
    assert!(!pool.is_closed(), "the pool of the host stays the host's");
    pool.close().await;
}

/// Makes a claim wait, once it has begun, until whoever holds the lock lets it go.
fn held_up(name: &str, text: &'static str) -> Cow<'static, str> {
    match name {
        "job_claim" => Cow::Owned(text.replacen(" AS now\n", " AS now FROM pg_advisory_xact_lock_shared(7)\n", 1)),
        _ => Cow::Borrowed(text),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_changes_while_it_is_claimed_is_left_for_the_next_claim_and_listed_under_no_lease() {
    let database = server().new_database().await;
    let config = PostgresConfig::default().query_filter(held_up);
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    let jobs = [job("a"), job("b")];
    assert_eq!(backend.enqueue(&jobs).await.unwrap(), [Enqueued::Inserted; 2]);
    let mut holder = PgConnection::connect(&server().url(&database)).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut holder).await.unwrap();
    let mut claiming = JoinSet::new();
    claiming.spawn({
        let backend = backend.clone();
        async move { claim(&backend, 2).await }
    });
    until_waited_for(&mut holder, 1).await;
    assert_eq!(backend.enqueue(&jobs[..1]).await.unwrap(), [Enqueued::Merged]);
    sqlx::raw_sql("SELECT pg_advisory_unlock(7)").execute(&mut holder).await.unwrap();
    let claimed: Vec<_> = claiming.join_all().await.concat().into_iter().map(|claimed| claimed.job.key).collect();
    assert_eq!(claimed, [jobs[1].key.clone()]);
    let listed = "SELECT array_agg(id) FROM vip.leases, unnest(jobs) AS listed(id)";
    let listed: Vec<Uuid> = sqlx::query_scalar(listed).fetch_one(&mut holder).await.unwrap();
    assert_eq!(listed, [jobs[1].id.as_uuid()]);
    assert_eq!(claim(&backend, 2).await.pop().unwrap().job.key, jobs[0].key);
    holder.close().await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_worker_died_is_rescued_while_commits_are_exhausted_and_two_claims_wait() {
    let database = server().new_database().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let pool = PgPoolOptions::new().max_connections(1).connect(&server().url(&database)).await.unwrap();
    let config = PostgresConfig::default().clock(Arc::clone(&clock) as _).query_filter(held_up);
    let config = config.pool_wait(100 * MILLI).lock_wait(3_000 * MILLI);
    let backend = PostgresBackend::with_pool(pool.clone(), config).await.unwrap();
    backend.enqueue(&[job("a")]).await.unwrap();
    let lost = claim(&backend, 1).await.pop().unwrap();
    clock.advance(Duration::from_secs(600));
    let mut holder = PgConnection::connect(&server().url(&database)).await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_lock(7)").execute(&mut holder).await.unwrap();
    let busy = pool.acquire().await.unwrap();
    let mut claims = JoinSet::new();
    for _ in 0..2 {
        let backend = backend.clone();
        claims.spawn(async move { claim(&backend, 1).await.len() });
    }
    until_waited_for(&mut holder, 2).await;
    assert_eq!(backend.reap(5, 10).await.unwrap(), 1);
    holder.close().await.unwrap();
    let claimed: usize = claims.join_all().await.into_iter().sum();
    assert!(claimed <= 1, "{claimed}");
    drop(busy);
    let found = backend.find(&lost.job.key).await.unwrap().unwrap();
    assert_eq!(found.counts.rescues, 1);
    backend.close().await.unwrap();
    pool.close().await;
}
