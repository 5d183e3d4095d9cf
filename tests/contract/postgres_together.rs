//! Callers of one moment on PostgreSQL: they share a commit, what holds one up harms no other, and late jobs are found.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::job_queue::{claim, job};
use vip_core::conformance::samples::{change, key_of, order, server as record, tenant};
use vip_core::model::TraceParent;
use vip_core::ports::{ChangeSet, Enqueued, Guard, JobQueue, QuotaChange, Store, StoreError};

use crate::postgres_database::open;
use crate::server;

/// Longer than anything here takes.
const NEVER: Duration = Duration::from_secs(30);
/// Callers at one moment.
const CALLERS: usize = 40;

/// Makes an order that takes a place of a quota.
fn quota_order(owner: &str, limit: Option<u32>) -> ChangeSet {
    let mut change = order(record(&tenant(owner)));
    change.quota = Some(QuotaChange::Take { limit });
    change
}

async fn number(database: &str, text: &'static str) -> i64 {
    let mut connection = PgConnection::connect(&server().url(database)).await.unwrap();
    let number = sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    number
}

// One thread: all of them have joined before the first one writes.
#[tokio::test]
async fn orders_and_enqueues_of_one_moment_share_a_commit() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    drop(backend.commit(&quota_order("acme", None)).await.unwrap());
    let orders: Vec<ChangeSet> = (0..CALLERS).map(|_| quota_order("acme", None)).collect();
    for committed in join_all(orders.iter().map(|order| backend.commit(order))).await {
        assert!(!committed.unwrap().replayed);
    }
    let places = "SELECT used FROM vip.quotas";
    assert_eq!(number(&database, places).await, i64::try_from(CALLERS).unwrap() + 1);
    let commits = "SELECT count(DISTINCT xmin::text) FROM vip.audit";
    assert_eq!(number(&database, commits).await, 2, "the first order, and all others");
    let jobs: Vec<_> = (0..CALLERS).map(|number| [job(&format!("job-{number}"))]).collect();
    for answer in join_all(jobs.iter().map(|job| backend.enqueue(job))).await {
        assert_eq!(answer.unwrap(), [Enqueued::Inserted]);
    }
    let commits = "SELECT count(DISTINCT xmin::text) FROM vip.jobs WHERE key LIKE 'job-%'";
    assert_eq!(number(&database, commits).await, 1);
    backend.close().await.unwrap();
}

/// Lets each commit of an order, or of another change, take longer than an order waits for a row, as on a slow disk or with a standby that is far away.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF current_setting('slow.commit', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
                PERFORM set_config('slow.commit', pg_current_xact_id()::text, true);
                PERFORM pg_sleep(0.4);
            END IF;
            RETURN NULL;
        END
    $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON vip.servers DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow()";

/// Are calls under way.
type Calls = JoinSet<Result<(), StoreError>>;

/// Spawns as many orders of one tenant as there are callers.
fn order_many(backend: &PostgresBackend, calls: &mut Calls) {
    for _ in 0..CALLERS {
        let (backend, order) = (backend.clone(), quota_order("acme", None));
        calls.spawn(async move { backend.commit(&order).await.map(drop) });
    }
}

async fn all_are_written(calls: Calls) {
    for answer in calls.join_all().await {
        answer.unwrap();
    }
}

/// Waits until a slow commit is under way; the connection is there before it begins, so that it is not over by then.
async fn until_it_commits(watching: &mut PgConnection) {
    let committing = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let begin = Instant::now();
    while sqlx::query_scalar::<_, i64>(committing).fetch_one(&mut *watching).await.unwrap() == 0 {
        assert!(begin.elapsed() < NEVER, "no slow commit was seen");
    }
}

#[tokio::test]
async fn orders_of_a_tenant_that_come_while_a_slow_commit_holds_its_counter_share_the_next_one() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    drop(backend.commit(&quota_order("acme", None)).await.unwrap());
    server().run(&database, SLOW).await;
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let mut calls = JoinSet::new();
    order_many(&backend, &mut calls);
    until_it_commits(&mut watching).await;
    order_many(&backend, &mut calls);
    all_are_written(calls).await;
    // The first order, and two times many; more than that only if those of one time did not come at one moment.
    let commits = number(&database, "SELECT count(DISTINCT xmin::text) FROM vip.audit").await;
    assert!(commits <= 5, "{commits} commits");
    assert_eq!(number(&database, "SELECT used FROM vip.quotas").await, i64::try_from(2 * CALLERS).unwrap() + 1);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn orders_of_a_tenant_whose_counter_the_slow_commit_of_a_worker_holds_share_the_next_one() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let first = backend.commit(&quota_order("acme", None)).await.unwrap().server;
    server().run(&database, SLOW).await;
    let mut release = change(first.clone(), Guard::Command { stamp: first.stamp });
    release.quota = Some(QuotaChange::Release);
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let (mut calls, worker) = (JoinSet::new(), backend.clone());
    calls.spawn(async move { worker.commit(&release).await.map(drop) });
    until_it_commits(&mut watching).await;
    order_many(&backend, &mut calls);
    all_are_written(calls).await;
    // The first order, the release, and many; more than that only if those of one time did not come at one moment.
    let commits = number(&database, "SELECT count(DISTINCT xmin::text) FROM vip.audit").await;
    assert!(commits <= 5, "{commits} commits");
    assert_eq!(number(&database, "SELECT used FROM vip.quotas").await, i64::try_from(CALLERS).unwrap());
    backend.close().await.unwrap();
}

#[tokio::test]
async fn orders_of_a_tenant_that_come_to_two_processes_at_once_are_a_commit_of_each() {
    let database = server().new_database().await;
    let backends = [open(&database).await, open(&database).await];
    for backend in &backends {
        drop(backend.commit(&quota_order("acme", None)).await.unwrap());
    }
    server().run(&database, SLOW).await;
    let mut calls = JoinSet::new();
    for backend in &backends {
        order_many(backend, &mut calls);
    }
    all_are_written(calls).await;
    // The first orders, and many of each; more than that only if those of one time did not come at one moment.
    let commits = number(&database, "SELECT count(DISTINCT xmin::text) FROM vip.audit").await;
    assert!(commits <= 6, "{commits} commits");
    let used = number(&database, "SELECT used FROM vip.quotas").await;
    assert_eq!(used, i64::try_from(2 * CALLERS + 2).unwrap());
    for backend in backends {
        backend.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_tenant_whose_counter_is_held_leaves_the_commit_of_many_to_the_others() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    for owner in ["acme", "held"] {
        drop(backend.commit(&quota_order(owner, None)).await.unwrap());
    }
    let mut other = PgConnection::connect(&server().url(&database)).await.unwrap();
    let hold = "BEGIN; SELECT FROM vip.quotas WHERE tenant = 'held' FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
    let (mut calls, mut held) = (JoinSet::new(), JoinSet::new());
    let (ordering, order) = (backend.clone(), quota_order("held", None));
    held.spawn(async move { ordering.commit(&order).await.map(drop) });
    order_many(&backend, &mut calls);
    all_are_written(calls).await;
    let commits = "SELECT count(DISTINCT xmin::text) FROM vip.audit WHERE tenant = 'acme'";
    assert_eq!(number(&database, commits).await, 2, "the first order, and all others");
    other.close().await.unwrap();
    all_are_written(held).await;
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_tenant_whose_quota_is_full_keeps_no_other_out_of_the_commit_of_many() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    for first in [quota_order("full", Some(1)), quota_order("free", None)] {
        drop(backend.commit(&first).await.unwrap());
    }
    let mut orders: Vec<ChangeSet> = (0..10).map(|_| quota_order("free", None)).collect();
    orders.extend((0..5).map(|_| quota_order("full", Some(1))));
    let trace = TraceParent::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let traced = orders[0].job.as_mut().unwrap();
    traced.trace_parent = Some(trace.clone());
    let key = traced.key.clone();
    let answers = join_all(orders.iter().map(|order| backend.commit(order))).await;
    for (place, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(committed) => assert!(place < 10 && !committed.replayed),
            Err(error) => assert!(place >= 10 && matches!(error, StoreError::QuotaExceeded { limit: 1 }), "{error:?}"),
        }
    }
    let commits = "SELECT count(DISTINCT xmin::text) FROM vip.audit WHERE tenant = 'free'";
    assert_eq!(number(&database, commits).await, 2, "the first order, and all others");
    assert_eq!(number(&database, "SELECT sum(used)::bigint FROM vip.quotas").await, 12);
    assert_eq!(number(&database, "SELECT count(*) FROM vip.servers").await, 12);
    assert_eq!(backend.find(&key).await.unwrap().unwrap().trace_parent, Some(trace));
    backend.close().await.unwrap();
}

#[tokio::test]
async fn of_orders_of_one_moment_each_gets_its_own_answer() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let first = quota_order("acme", Some(2));
    drop(backend.commit(&first).await.unwrap());
    let mut same_key = [quota_order("other", None), quota_order("other", None)];
    for order in &mut same_key {
        order.key = Some(key_of(&order.server, "key-1"));
    }
    let [one, two] = &same_key;
    let (fits, too_much) = (quota_order("acme", Some(2)), quota_order("acme", Some(2)));
    let all = [&first, one, two, &fits, &too_much];
    let answers = join_all(all.iter().map(|order| backend.commit(order))).await;
    let [again, one, two, fits, too_much] = <[_; 5]>::try_from(answers).unwrap();
    assert!(again.unwrap().replayed);
    let is_taken = |answer: &Result<_, StoreError>| matches!(answer, Err(StoreError::KeyTaken));
    assert!(one.is_ok() != two.is_ok() && (is_taken(&one) || is_taken(&two)), "{one:?} {two:?}");
    assert!(fits.is_ok() != too_much.is_ok(), "{fits:?} {too_much:?}");
    assert_eq!(number(&database, "SELECT sum(used)::bigint FROM vip.quotas").await, 3);
    assert_eq!(number(&database, "SELECT count(*) FROM vip.audit").await, 3);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn of_keys_that_are_looked_for_at_one_moment_each_caller_is_told_its_own_and_one_that_cannot_be_read_harms_no_other()
 {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let mut known = Vec::new();
    for owner in ["acme", "other"] {
        for name in ["key-1", "key-2"] {
            let mut made = order(record(&tenant(owner)));
            made.key = Some(key_of(&made.server, name));
            drop(backend.commit(&made).await.unwrap());
            known.push((tenant(owner), made.key.unwrap()));
        }
    }
    // A record that cannot be read is the trouble of its own caller.
    let mut connection = PgConnection::connect(&server().url(&database)).await.unwrap();
    let damage = "INSERT INTO vip.keys SELECT 'odd', key, fingerprint, operation, server FROM vip.keys LIMIT 1;
        ALTER TABLE vip.keys ALTER COLUMN server DROP NOT NULL;
        UPDATE vip.keys SET server = NULL WHERE tenant = 'odd'";
    sqlx::raw_sql(damage).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let odd = (tenant("odd"), known[0].1.clone());
    let missing = (tenant("third"), known[0].1.clone());
    let all: Vec<_> = known.iter().chain([&odd, &missing]).cycle().take(CALLERS).collect();
    let answers = join_all(all.iter().map(|(owner, wanted)| backend.key(owner, &wanted.key))).await;
    for ((owner, wanted), answer) in all.iter().zip(answers) {
        match owner.to_string().as_str() {
            "odd" => assert!(matches!(answer, Err(StoreError::Corrupt { .. })), "{answer:?}"),
            "third" => assert_eq!(answer.unwrap(), None),
            _ => assert_eq!(answer.unwrap().as_ref(), Some(wanted)),
        }
    }
    backend.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_held_up_holds_up_no_other() {
    let database = server().new_database().await;
    let config = PostgresConfig::default().call_deadline(Duration::from_secs(60));
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    for owner in ["held", "free"] {
        drop(backend.commit(&quota_order(owner, None)).await.unwrap());
    }
    let mut other = PgConnection::connect(&server().url(&database)).await.unwrap();
    let hold = "BEGIN; SELECT FROM vip.quotas WHERE tenant = 'held' FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
    let (mut held, mut free) = (JoinSet::new(), JoinSet::new());
    for (calls, owner) in [(&mut held, "held"), (&mut free, "free")] {
        for _ in 0..5 {
            let (backend, order) = (backend.clone(), quota_order(owner, None));
            calls.spawn(async move { backend.commit(&order).await.map(drop) });
        }
    }
    while let Some(answer) = free.join_next().await {
        answer.unwrap().unwrap();
    }
    assert!(held.try_join_next().is_none(), "the others are still held up");
    other.close().await.unwrap();
    while let Some(answer) = held.join_next().await {
        answer.unwrap().unwrap();
    }
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_job_that_comes_late_is_taken_by_the_next_claim_that_has_room() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    for key in ["a", "b", "c", "d"] {
        backend.enqueue(&[job(key)]).await.unwrap();
    }
    assert_eq!(claim(&backend, 2).await.len(), 2);
    // As if it had been due long before those that are claimed, and was committed after them.
    backend.enqueue(&[job("late")]).await.unwrap();
    server().run(&database, "UPDATE vip.jobs SET due = 1 WHERE key = 'late'").await;
    let claimed = claim(&backend, 10).await;
    let keys: BTreeSet<&str> = claimed.iter().map(|claimed| claimed.job.key.as_str()).collect();
    assert_eq!(keys, BTreeSet::from(["c", "d", "late"]));
    backend.close().await.unwrap();
}
