//! Connections that were cut on PostgreSQL: how many a server is left with that goes on with what nobody waits for any more.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::ports::{ChangeSet, Store, StoreError};
use vip_tests::postgres::Server;
use vip_tests::site::until;

use crate::postgres_bell::Wire;
use crate::postgres_database::whole_order;
use crate::postgres_warm::pass;
use crate::{ACTOR, server};

const MILLI: Duration = Duration::from_millis(1);
/// As long as a connection that was cut counts, if nothing more is heard of it.
const CUT: Duration = Duration::from_secs(900);

/// One connection for commits, and calls that do not take long.
fn narrow() -> PostgresConfig {
    PostgresConfig::default().connections(1).call_deadline(1_500 * MILLI)
}

/// Without a job it is no order that goes along with others.
fn by_itself(number: usize) -> ChangeSet {
    ChangeSet { job: None, ..whole_order(number) }
}

fn open_for_commits(backend: &PostgresBackend) -> u32 {
    backend.pool_figures().into_iter().find(|it| it.purpose == "commits and reads").unwrap().open
}

/// Commits until one does not come back.
async fn probe(url: String) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SET application_name = 'probe'").execute(&mut connection).await.unwrap();
    loop {
        sqlx::raw_sql("CREATE TABLE probe (); DROP TABLE probe").execute(&mut connection).await.unwrap();
    }
}

/// Counts the sessions whose commit waits for a standby.
async fn hanging(watching: &mut PgConnection, application: &str) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = $1";
    sqlx::query_scalar::<sqlx::Postgres, i64>(count).bind(application).fetch_one(watching).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_hang_leave_the_server_with_twice_the_connections_at_most_and_when_they_end_all_goes_on() {
    // A server of its own: commits wait for a standby that is not there, after they are on the disk.
    let server = Server::start(Path::new(ACTOR));
    let database = server.new_database().await;
    let backend = PostgresBackend::connect(&server.url(&database), narrow()).await.unwrap();
    server.run("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    server.run("postgres", "SELECT pg_reload_conf()").await;
    let mut watching = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let mut probing = JoinSet::new();
    probing.spawn(probe(server.url(&database)));
    until("a commit hangs", async || hanging(&mut watching, "probe").await > 0).await;
    let changes: Vec<ChangeSet> = (0..5).map(by_itself).collect();
    let mut answers = Vec::new();
    for change in &changes {
        answers.push(backend.commit(change).await);
    }
    assert_eq!(hanging(&mut watching, "vip").await, 2, "{answers:?}");
    assert_eq!(open_for_commits(&backend), 2, "what the server has is what is told");
    for (number, answer) in answers.iter().enumerate() {
        let is_unknown = matches!(answer, Err(StoreError::OutcomeUnknown { .. }));
        assert_eq!(is_unknown, number < 2, "{number}: {answer:?}");
    }
    let refused = answers.pop().unwrap().unwrap_err();
    let reason = std::error::Error::source(&refused).unwrap().to_string();
    assert!(reason.starts_with("2 connections for commits and reads were cut while "), "{reason}");
    probing.shutdown().await;
    server.run("postgres", "ALTER SYSTEM RESET synchronous_standby_names").await;
    server.run("postgres", "SELECT pg_reload_conf()").await;
    // The server answers those that nobody waits for, and that is their end.
    until("none is open", async || open_for_commits(&backend) == 0).await;
    assert!(backend.commit(&changes[0]).await.unwrap().replayed, "it was on the disk all the time");
    assert!(!backend.commit(&changes[4]).await.unwrap().replayed, "it was never sent");
    backend.close().await.unwrap();
    watching.close().await.unwrap();
    server.stop();
}

#[tokio::test]
async fn connections_that_the_network_lost_are_replaced_at_once_and_those_of_a_second_time_after_a_quarter_of_an_hour()
{
    let database = server().new_database().await;
    let wire = Wire::default();
    let (address, _laid) = wire.lay(server().folder()).await;
    let url = format!("postgres://vip@{address}/{database}?sslmode=disable");
    let backend = PostgresBackend::connect(&url, narrow()).await.unwrap();
    for number in 0..2 {
        assert!(!backend.commit(&by_itself(number)).await.unwrap().replayed, "at once");
        // Neither side is told.
        wire.cut_all_of_now();
        assert!(backend.commit(&by_itself(9)).await.is_err());
    }
    assert_eq!(open_for_commits(&backend), 2);
    let refused = backend.commit(&by_itself(2)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    pass(CUT).await;
    assert!(!backend.commit(&by_itself(2)).await.unwrap().replayed);
    backend.close().await.unwrap();
}
