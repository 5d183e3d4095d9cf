//! Finished jobs on PostgreSQL: kept by days where that is wished, and dropped by days.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use vip_core::conformance::BackendFixture;
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::ports::{Enqueued, Retention, Settled, Verdict};

use crate::{PostgresFixture, server, with_config};

const DAY: Duration = Duration::from_secs(24 * 3600);
const RETENTION: Retention = Retention { keys: DAY, records: DAY, most: 10 };

/// Enqueues a job and does it.
async fn done(fixture: &PostgresFixture, key: &str) {
    let queue = fixture.queue();
    queue.enqueue(&[job(key)]).await.unwrap();
    let claimed = claim(queue, 10).await;
    assert_eq!(claimed.len(), 1);
    for claimed in claimed {
        assert_eq!(settle(queue, claimed.lease.reference, Verdict::Done).await, Settled::Applied);
    }
}

/// Returns the keys of finished jobs, in the order of their ends, each with the number of its partition or `rest`.
async fn kept(fixture: &PostgresFixture) -> Vec<(String, String)> {
    let text = "SELECT key, regexp_replace(tableoid::regclass::text, '.*jobs_finished_', '') FROM vip.jobs_finished ORDER BY finished_at, key";
    let mut connection = PgConnection::connect(&server().url(&fixture.database)).await.unwrap();
    let rows = sqlx::query_as(AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

async fn today(fixture: &PostgresFixture) -> u64 {
    u64::try_from(fixture.now().await.as_micros()).unwrap() / 86_400_000_000
}

fn one(key: &str, part: impl ToString) -> (String, String) {
    (key.to_owned(), part.to_string())
}

#[tokio::test]
async fn finished_jobs_are_kept_for_the_days_that_are_set_and_dropped_as_a_day() {
    let fixture = with_config(|config| config.keep_finished_jobs(2)).await;
    let first = today(&fixture).await;
    done(&fixture, "a").await;
    fixture.advance(DAY).await;
    done(&fixture, "b").await;
    assert_eq!(kept(&fixture).await, [one("a", first), one("b", first + 1)]);
    fixture.advance(DAY).await;
    fixture.store().trim(&RETENTION).await.unwrap();
    assert_eq!(kept(&fixture).await.len(), 2, "the first day is two days ago");
    fixture.advance(DAY).await;
    fixture.store().trim(&RETENTION).await.unwrap();
    assert_eq!(kept(&fixture).await, [one("b", first + 1)]);
    fixture.close().await;
}

#[tokio::test]
async fn finished_jobs_of_days_that_nobody_prepared_are_kept_too_and_forgotten_in_time() {
    let fixture = with_config(|config| config.keep_finished_jobs(1)).await;
    fixture.advance(10 * DAY).await;
    let late = today(&fixture).await;
    done(&fixture, "late").await;
    assert_eq!(kept(&fixture).await, [one("late", "rest")]);
    fixture.store().trim(&RETENTION).await.unwrap();
    done(&fixture, "later").await;
    assert_eq!(kept(&fixture).await, [one("late", "rest"), one("later", "rest")], "this day began in the rest");
    fixture.advance(DAY).await;
    done(&fixture, "next").await;
    fixture.advance(DAY).await;
    fixture.store().trim(&RETENTION).await.unwrap();
    assert_eq!(kept(&fixture).await, [one("next", late + 1)]);
    fixture.close().await;
}

#[tokio::test]
async fn a_job_that_is_done_is_deleted_where_nothing_is_set_and_one_that_runs_again_is_not_finished() {
    let fixture = crate::postgres().await;
    done(&fixture, "a").await;
    assert!(kept(&fixture).await.is_empty());
    fixture.close().await;

    let fixture = with_config(|config| config.keep_finished_jobs(1)).await;
    let queue = fixture.queue();
    queue.enqueue(&[job("b")]).await.unwrap();
    let lease = claim(queue, 1).await.first().unwrap().lease.reference;
    assert_eq!(queue.enqueue(&[job("b")]).await.unwrap(), [Enqueued::WillRunAgain]);
    assert_eq!(settle(queue, lease, Verdict::Done).await, Settled::Applied);
    assert!(kept(&fixture).await.is_empty());
    let lease = claim(queue, 1).await.first().unwrap().lease.reference;
    assert_eq!(settle(queue, lease, Verdict::Dead { code: "bad".to_owned() }).await, Settled::Died);
    assert!(kept(&fixture).await.is_empty(), "dead letters stay where they are");
    assert_eq!(queue.stats(&[]).await.unwrap().dead, 1);
    fixture.close().await;
}

#[tokio::test]
async fn a_day_that_somebody_reads_stays_for_now_and_holds_up_nobody() {
    let fixture = with_config(|config| config.keep_finished_jobs(1)).await;
    done(&fixture, "a").await;
    fixture.advance(2 * DAY).await;
    let mut reader = PgConnection::connect(&server().url(&fixture.database)).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM vip.jobs_finished").execute(&mut reader).await.unwrap();
    fixture.store().trim(&RETENTION).await.unwrap();
    done(&fixture, "b").await;
    reader.close().await.unwrap();
    assert_eq!(kept(&fixture).await.len(), 2);
    fixture.store().trim(&RETENTION).await.unwrap();
    assert_eq!(kept(&fixture).await.len(), 1);
    fixture.close().await;
}
