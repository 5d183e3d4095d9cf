//! Leases on PostgreSQL while somebody holds the row of one of them, as a host does that has not committed yet.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::BackendFixture;
use vip_core::conformance::job_queue::{claim, job};
use vip_core::model::{JobState, NewJob, Timestamp};
use vip_core::ports::{JobQueue, LeaseRef, QueueError, Settled, Settlement, Store, Verdict};

use crate::postgres_jobs::{hold, until_blocked_by};
use crate::{PostgresFixture, postgres, server, with_config};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(60);

/// Enqueues three jobs and claims them; returns them and their leases in one order.
async fn three(queue: &dyn JobQueue) -> ([NewJob; 3], [LeaseRef; 3]) {
    let jobs = ["a", "b", "c"].map(job);
    queue.enqueue(&jobs).await.unwrap();
    let claimed = claim(queue, 3).await;
    let lease_of = |job: &NewJob| claimed.iter().find(|one| one.job.id == job.id).unwrap().lease.reference;
    let leases = [lease_of(&jobs[0]), lease_of(&jobs[1]), lease_of(&jobs[2])];
    (jobs, leases)
}

/// Opens a database once more, for calls that are not to wait for long.
async fn hurried_on(fixture: &PostgresFixture) -> PostgresBackend {
    let config = PostgresConfig::default().clock(Arc::clone(&fixture.clock) as _);
    let config = config.lock_wait(20 * MILLI).call_deadline(2_000 * MILLI);
    PostgresBackend::connect(&server().url(&fixture.database), config).await.unwrap()
}

/// Says how many seconds the leases have left, as they stand in the rows of the jobs.
async fn left(fixture: &PostgresFixture, jobs: &[NewJob]) -> Vec<i64> {
    let now = fixture.backend().store.now().await.unwrap();
    let mut left = Vec::new();
    for job in jobs {
        let until = fixture.queue().find(&job.key).await.unwrap().unwrap().lease_until.unwrap();
        left.push(seconds_between(now, until));
    }
    left
}

fn seconds_between(now: Timestamp, until: Timestamp) -> i64 {
    (until.as_micros() - now.as_micros()) / 1_000_000
}

#[tokio::test]
async fn a_heartbeat_prolongs_all_leases_also_one_whose_row_somebody_holds() {
    let fixture = postgres().await;
    let queue = fixture.queue();
    let (jobs, leases) = three(queue).await;
    fixture.advance(40 * SECOND).await;
    let holder = hold(&fixture.database, jobs[1].id).await;
    assert_eq!(queue.heartbeat(&leases, LEASE).await.unwrap(), [true; 3]);
    assert_eq!(left(&fixture, &jobs).await, [60, 20, 60]);
    // The end that stands in its row has passed, and still it is held, beaten for, and rescued by nobody.
    fixture.advance(30 * SECOND).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 0);
    assert_eq!(queue.heartbeat(&leases, LEASE).await.unwrap(), [true; 3]);
    holder.close().await.unwrap();
    fixture.advance(59 * SECOND).await;
    assert_eq!(left(&fixture, &jobs).await, [1, -69, 1]);
    assert_eq!(queue.reap(5, 10).await.unwrap(), 0, "nobody holds the row any more, but the lease goes on");
    assert_eq!(queue.heartbeat(&leases, LEASE).await.unwrap(), [true; 3]);
    assert_eq!(left(&fixture, &jobs).await, [60; 3], "the row is told as soon as it is free");
    fixture.advance(60 * SECOND).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 3, "nobody beats any more");
    fixture.close().await;
}

#[tokio::test]
async fn a_lease_that_has_ended_is_not_prolonged_because_somebody_holds_its_row() {
    let fixture = postgres().await;
    let queue = fixture.queue();
    let (jobs, leases) = three(queue).await;
    fixture.advance(40 * SECOND).await;
    assert_eq!(queue.heartbeat(&leases[..1], LEASE).await.unwrap(), [true]);
    fixture.advance(20 * SECOND).await;
    let holders = [hold(&fixture.database, jobs[0].id).await, hold(&fixture.database, jobs[1].id).await];
    let foreign = LeaseRef { epoch: leases[0].epoch + 1, ..leases[0] };
    let asked = [leases[0], leases[1], leases[2], foreign];
    assert_eq!(queue.heartbeat(&asked, LEASE).await.unwrap(), [true, false, false, false]);
    for holder in holders {
        holder.close().await.unwrap();
    }
    fixture.close().await;
}

#[tokio::test]
async fn a_lease_that_is_rescued_while_its_heartbeat_waits_is_lost() {
    let fixture = with_config(|config| config.lock_wait(3 * SECOND)).await;
    let (jobs, leases) = three(fixture.queue()).await;
    let mut reaping = hold(&fixture.database, jobs[1].id).await;
    let rescue = format!(
        "SELECT FROM vip.leases FOR UPDATE;
         UPDATE vip.jobs SET state = 0, claim = NULL, lease_until = NULL WHERE id = '{}'",
        jobs[1].id
    );
    sqlx::raw_sql(AssertSqlSafe(rescue)).execute(&mut reaping).await.unwrap();
    let backend = fixture.backend().clone();
    let mut calls = JoinSet::new();
    calls.spawn(async move { backend.queue.heartbeat(&leases, LEASE).await });
    until_blocked_by(&mut reaping).await;
    sqlx::raw_sql("COMMIT").execute(&mut reaping).await.unwrap();
    assert_eq!(calls.join_next().await.unwrap().unwrap().unwrap(), [true, false, true]);
    reaping.close().await.unwrap();
    fixture.close().await;
}

/// Returns the ends of a lease: one takes the short way, one keeps the row.
fn ends() -> [Verdict; 3] {
    let code = "again".to_owned();
    [Verdict::Done, Verdict::Snooze { delay: LEASE }, Verdict::Retry { delay: LEASE, code }]
}

fn settlements(leases: &[LeaseRef], verdict: &Verdict) -> Vec<Settlement> {
    leases.iter().map(|lease| Settlement { lease: *lease, verdict: verdict.clone() }).collect()
}

/// Says which jobs are leased.
async fn are_leased(queue: &dyn JobQueue, jobs: &[NewJob]) -> Vec<bool> {
    let mut leased = Vec::new();
    for job in jobs {
        let found = queue.find(&job.key).await.unwrap();
        leased.push(found.is_some_and(|job| job.state == JobState::Leased));
    }
    leased
}

#[tokio::test]
async fn a_job_whose_row_somebody_holds_keeps_no_other_from_its_settlement() {
    for verdict in ends() {
        let database = server().new_database().await;
        let config = PostgresConfig::default().lock_wait(3 * SECOND);
        let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
        let (jobs, leases) = three(&backend).await;
        let mut holder = hold(&database, jobs[1].id).await;
        let mut calls = JoinSet::new();
        let (settling, all) = (backend.clone(), settlements(&leases, &verdict));
        calls.spawn(async move { settling.settle(&all).await });
        until_blocked_by(&mut holder).await;
        assert_eq!(are_leased(&backend, &jobs).await, [false, true, false], "{verdict:?}");
        holder.close().await.unwrap();
        assert_eq!(calls.join_next().await.unwrap().unwrap().unwrap(), [Settled::Applied; 3]);
        assert_eq!(are_leased(&backend, &jobs).await, [false; 3]);
        backend.close().await.unwrap();
    }
}

#[tokio::test]
async fn settlements_beside_a_row_that_is_held_too_long_count_and_the_call_says_that_nobody_knows() {
    for verdict in ends() {
        let fixture = postgres().await;
        let (queue, hurried) = (fixture.queue(), hurried_on(&fixture).await);
        let (jobs, leases) = three(queue).await;
        let holder = hold(&fixture.database, jobs[1].id).await;
        let all = settlements(&leases, &verdict);
        let refused = hurried.settle(&all).await;
        assert!(matches!(refused, Err(QueueError::OutcomeUnknown { .. })), "{refused:?}");
        assert_eq!(are_leased(queue, &jobs).await, [false, true, false], "{verdict:?}");
        let refused = hurried.settle(&all[1..2]).await;
        assert!(matches!(refused, Err(QueueError::Unavailable { .. })), "nothing was changed: {refused:?}");
        holder.close().await.unwrap();
        assert_eq!(queue.settle(&all).await.unwrap(), [Settled::Stale, Settled::Applied, Settled::Stale]);
        hurried.close().await.unwrap();
        fixture.close().await;
    }
}

#[tokio::test]
async fn a_job_that_a_host_marks_again_before_its_commit_runs_again_after_its_settlement() {
    let database = server().new_database().await;
    let config = PostgresConfig::default().lock_wait(3 * SECOND);
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    let (jobs, leases) = three(&backend).await;
    let mut host = PgConnection::connect(&server().url(&database)).await.unwrap();
    let mark = "BEGIN; UPDATE vip.jobs SET rerun_due = 0, rerun_why = 2 WHERE key = 'b'";
    sqlx::raw_sql(mark).execute(&mut host).await.unwrap();
    let mut calls = JoinSet::new();
    let (settling, all) = (backend.clone(), settlements(&leases, &Verdict::Done));
    calls.spawn(async move { settling.settle(&all).await });
    until_blocked_by(&mut host).await;
    sqlx::raw_sql("COMMIT").execute(&mut host).await.unwrap();
    assert_eq!(calls.join_next().await.unwrap().unwrap().unwrap(), [Settled::Applied; 3]);
    assert_eq!(backend.find(&jobs[1].key).await.unwrap().unwrap().state, JobState::Waiting);
    assert!(backend.find(&jobs[0].key).await.unwrap().is_none());
    host.close().await.unwrap();
    backend.close().await.unwrap();
}
