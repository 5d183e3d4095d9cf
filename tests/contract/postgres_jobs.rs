//! Jobs on PostgreSQL: in which order rows are locked, what a part of a settlement is, and rows that cannot be read.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;
use uuid::Uuid;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::job_queue::{claim, job};
use vip_core::model::{JobId, NewJob};
use vip_core::ports::{JobQueue, LeaseRef, QueueError, Settled, Settlement, Store, Verdict};
use vip_tests::unreadable::{UNREADABLE_HINTS, an_unreadable_hint_costs_no_job, an_unreadable_job_hurts_no_other};

use crate::postgres_database::open;
use crate::server;

const MILLI: Duration = Duration::from_millis(1);
const LEASE: Duration = Duration::from_secs(60);
/// Long enough for anything on a busy machine; a test that gets here has failed.
const NEVER: Duration = Duration::from_secs(30);

/// Locks a job as somebody else would, until the connection is closed.
pub(crate) async fn hold(database: &str, id: JobId) -> PgConnection {
    let mut connection = PgConnection::connect(&server().url(database)).await.unwrap();
    let hold = format!("BEGIN; SELECT FROM vip.jobs WHERE id = '{id}' FOR UPDATE");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut connection).await.unwrap();
    connection
}

/// Waits until somebody waits for what a connection holds, and not for a moment only, as `job_done.sql` does. What sessions run is
/// not asked: a transaction, as the holder's is, sees of that what it saw first.
pub(crate) async fn until_blocked_by(holder: &mut PgConnection) {
    let blocked = "SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)) AND waitstart < clock_timestamp() - interval '0.2 s'
    )";
    let until = async { while !sqlx::query_scalar::<_, bool>(blocked).fetch_one(&mut *holder).await.unwrap() {} };
    tokio::time::timeout(NEVER, until).await.unwrap();
}

#[tokio::test]
async fn a_job_that_cannot_be_read_hurts_no_other() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let damage = async |id| {
        let damage = format!("UPDATE vip.jobs SET tenant = 'no name at all' WHERE id = '{id}'");
        server().run(&database, &damage).await;
    };
    an_unreadable_job_hurts_no_other(&backend, damage).await;
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_job_whose_hints_cannot_be_read_is_done_without_them() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let damage = async |id| {
        let [request, trace] = UNREADABLE_HINTS;
        let set = format!("request_id = '{request}', trace_parent = '{trace}'");
        server().run(&database, &format!("UPDATE vip.jobs SET {set} WHERE id = '{id}'")).await;
    };
    an_unreadable_hint_costs_no_job(&backend, damage).await;
    backend.close().await.unwrap();
}

/// Holds all of three jobs while a call is made, the second one for longer, and demands that it has locked the first one
/// alone by then.
async fn locks_by_id<F>(call: impl FnOnce(PostgresBackend, Vec<LeaseRef>, Vec<NewJob>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let database = server().new_database().await;
    let config = PostgresConfig::default().lock_wait(3_000 * MILLI);
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    // The order of the keys is the other way round.
    let jobs: Vec<NewJob> = ["c", "b", "a"]
        .map(job)
        .into_iter()
        .zip(1..)
        .map(|(mut job, number)| {
            job.id = JobId::from_uuid(Uuid::from_u128(number));
            job
        })
        .collect();
    backend.enqueue(&jobs).await.unwrap();
    let mut leases: Vec<LeaseRef> = claim(&backend, 3).await.iter().map(|claimed| claimed.lease.reference).collect();
    // Nor does the caller order them.
    leases.sort_by_key(|lease| std::cmp::Reverse(lease.job));
    let mut holder = hold(&database, jobs.get(1).unwrap().id).await;
    let mut outer = hold(&database, jobs.first().unwrap().id).await;
    let third = format!("SELECT FROM vip.jobs WHERE id = '{}' FOR UPDATE", jobs.get(2).unwrap().id);
    sqlx::raw_sql(AssertSqlSafe(third)).execute(&mut outer).await.unwrap();
    let mut calls = JoinSet::new();
    calls.spawn(call(backend.clone(), leases, jobs.clone()));
    until_blocked_by(&mut outer).await;
    outer.close().await.unwrap();
    until_blocked_by(&mut holder).await;
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let free = "SELECT id FROM vip.jobs FOR UPDATE SKIP LOCKED";
    let free: Vec<Uuid> = sqlx::query_scalar(free).fetch_all(&mut watching).await.unwrap();
    assert_eq!(free, [jobs.get(2).unwrap().id.as_uuid()]);
    holder.close().await.unwrap();
    calls.join_next().await.unwrap().unwrap();
    watching.close().await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_settlement_locks_jobs_in_the_order_of_their_ids_whatever_becomes_of_them() {
    for verdict in [Verdict::Done, Verdict::Snooze { delay: LEASE }] {
        locks_by_id(async move |backend: PostgresBackend, leases: Vec<LeaseRef>, _jobs| {
            let settlements: Vec<Settlement> =
                leases.into_iter().map(|lease| Settlement { lease, verdict: verdict.clone() }).collect();
            assert_eq!(backend.settle(&settlements).await.unwrap(), [Settled::Applied; 3]);
        })
        .await;
    }
}

#[tokio::test]
async fn an_enqueue_locks_jobs_that_are_there_in_the_order_of_their_ids() {
    locks_by_id(async |backend: PostgresBackend, _leases, jobs: Vec<NewJob>| {
        let again: Vec<NewJob> = jobs.iter().rev().map(|known| job(known.key.as_str())).collect();
        assert_eq!(backend.enqueue(&again).await.unwrap(), [vip_core::ports::Enqueued::WillRunAgain; 3]);
    })
    .await;
}

#[tokio::test]
async fn a_settlement_that_was_done_in_part_is_of_unknown_outcome_and_its_repeat_is_harmless() {
    let database = server().new_database().await;
    let backend = open(&database).await;
    let config = PostgresConfig::default().lock_wait(20 * MILLI).call_deadline(2_000 * MILLI);
    let hurried = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    let jobs = ["a", "b"].map(job);
    backend.enqueue(&jobs).await.unwrap();
    let leases: Vec<LeaseRef> = claim(&backend, 2).await.iter().map(|claimed| claimed.lease.reference).collect();
    let lease_of = |job: &NewJob| *leases.iter().find(|lease| lease.job == job.id).unwrap();
    let retry =
        || Settlement { lease: lease_of(&jobs[0]), verdict: Verdict::Retry { delay: LEASE, code: "again".to_owned() } };
    // Twice the same lease: what is settled once in a statement is settled in two.
    let settlements = [retry(), retry(), Settlement { lease: lease_of(&jobs[1]), verdict: Verdict::Done }];
    let holder = hold(&database, jobs[1].id).await;
    let attempts = async || backend.find(&jobs[0].key).await.unwrap().unwrap().counts.attempts;
    let refused = hurried.settle(&settlements).await;
    assert!(matches!(refused, Err(QueueError::OutcomeUnknown { .. })), "{refused:?}");
    assert_eq!(attempts().await, 1);
    holder.close().await.unwrap();
    assert_eq!(backend.settle(&settlements).await.unwrap(), [Settled::Stale, Settled::Stale, Settled::Applied]);
    assert_eq!(backend.settle(&settlements).await.unwrap(), [Settled::Stale; 3]);
    assert_eq!(attempts().await, 1, "an attempt is counted once");
    assert!(backend.find(&jobs[1].key).await.unwrap().is_none());
    hurried.close().await.unwrap();
    backend.close().await.unwrap();
}
