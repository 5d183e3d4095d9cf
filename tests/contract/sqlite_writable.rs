//! What health says of a file that is read and not written, and the log that is not emptied.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig};
use vip_core::Provisioner;
use vip_core::conformance::job_queue::job;
use vip_core::model::AccountId;
use vip_core::ports::{JobQueue, Retention, Store};
use vip_core::runtime::HealthStatus;
use vip_tests::lines::Lines;

use crate::sqlite_file::File;

/// Long enough for anything on a busy machine; a test that gets here has failed.
const NEVER: Duration = Duration::from_secs(30);

fn account() -> AccountId {
    AccountId::default_account()
}

async fn raw(file: &File) -> SqliteConnection {
    SqliteConnection::connect(file.path().to_str().unwrap()).await.unwrap()
}

/// Opens a file whose connection for writing can write no more after sightings; a new one can.
async fn with_a_switch(file: &File, insert: Option<&'static str>) -> SqliteBackend {
    let switch = move |name: &str, text: &'static str| match name {
        "sighting_clear" => "PRAGMA query_only = ON".into(),
        "sighting_insert" => insert.unwrap_or(text).into(),
        _ => text.into(),
    };
    let config = SqliteConfig::default().query_filter(switch);
    SqliteBackend::open(file.path().to_str().unwrap(), config).await.unwrap()
}

#[tokio::test]
async fn a_file_that_cannot_be_written_any_more_is_told_with_its_cause_until_it_can() {
    let file = File::new();
    let backend = with_a_switch(&file, None).await;
    let provisioner = Provisioner::builder(backend.backend()).client_only().await.unwrap();
    let store = async || {
        let report = provisioner.health().await;
        let part = report.parts.iter().find(|part| part.name == "store").unwrap();
        (part.status, part.detail.clone().unwrap_or_default())
    };
    assert_eq!(store().await.0, HealthStatus::Ok);
    let mut other = raw(&file).await;
    // What the new connection meets.
    let trigger = "CREATE TRIGGER worn BEFORE UPDATE ON vip_epochs BEGIN SELECT RAISE(ABORT, 'the disk is worn'); END";
    sqlx::raw_sql(trigger).execute(&mut other).await.unwrap();
    backend.sight(&account(), &[]).await.unwrap_err();
    for cause in ["(code: 8) attempt to write a readonly database", "the disk is worn", "the disk is worn"] {
        let (status, detail) = store().await;
        assert_eq!(status, HealthStatus::Degraded, "{cause}");
        assert!(detail.contains("only reads: ") && detail.contains(cause), "{detail}");
        // A write that changes nothing asks no disk.
        let now = backend.now().await.unwrap();
        let retention = Retention { now, keys: NEVER, records: NEVER, most: 9 };
        assert_eq!(backend.trim(&retention).await.unwrap().records, 0);
    }
    assert!(provisioner.readiness().await.is_ready(), "reads are answered");
    assert!(Store::now(&backend).await.is_ok(), "the time can be read");
    sqlx::raw_sql("DROP TRIGGER worn").execute(&mut other).await.unwrap();
    assert_eq!(store().await.0, HealthStatus::Ok, "nobody else has written since");
    other.close().await.unwrap();
    assert!(provisioner.shutdown(NEVER).await.within_deadline);
}

#[tokio::test]
async fn a_process_that_has_kept_nothing_for_a_minute_finds_out_for_itself() {
    let file = File::new();
    let backend = with_a_switch(&file, Some("SELECT 1")).await;
    backend.sight(&account(), &[]).await.unwrap();
    assert!(backend.writable().await.is_ok(), "nothing has failed yet");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    backend.writable().await.unwrap_err();
    assert!(backend.writable().await.is_ok(), "a new connection writes");
    backend.close().await.unwrap();
}

#[tokio::test]
async fn health_writes_nothing_while_writes_are_kept() {
    let file = File::new();
    let backend = file.open().await;
    let mut other = raw(&file).await;
    let version = async |other: &mut SqliteConnection| {
        sqlx::query_scalar::<_, i64>("PRAGMA data_version").fetch_one(other).await.unwrap()
    };
    let before = version(&mut other).await;
    for _ in 0..100 {
        backend.writable().await.unwrap();
    }
    assert_eq!(version(&mut other).await, before);
    backend.enqueue(&[job("a")]).await.unwrap();
    assert_ne!(version(&mut other).await, before, "a write is seen by this");
    other.close().await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_process_that_holds_the_file_for_long_is_told_and_forgotten_once_it_lets_go() {
    let (file, turn) = (File::new(), Duration::from_secs(4));
    let config = SqliteConfig::default().busy_deadline(turn);
    let backend = SqliteBackend::open(file.path().to_str().unwrap(), config).await.unwrap();
    let mut other = raw(&file).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    // Nobody waits in earnest.
    tokio::time::pause();
    let started = Instant::now();
    backend.enqueue(&[job("a")]).await.unwrap_err();
    let told = loop {
        match backend.writable().await {
            Ok(()) => assert!(started.elapsed() < NEVER, "it was never told"),
            Err(error) => break error,
        }
        backend.enqueue(&[job("a")]).await.unwrap_err();
    };
    assert!(started.elapsed() > 3 * turn, "a turn that was not had once is no news");
    assert!(vip_core::telemetry::causes(&told).to_string().contains("others kept the database busy"), "{told:?}");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    // A paused clock stands still while a thread of the runtime is at work: however long the disk takes, the probe is in time.
    let (held, let_go) = std::sync::mpsc::channel::<()>();
    let mut standing_still = JoinSet::new();
    standing_still.spawn_blocking(move || let_go.recv_timeout(NEVER));
    backend.writable().await.unwrap();
    drop(held);
    standing_still.join_all().await;
    tokio::time::resume();
    other.close().await.unwrap();
    backend.close().await.unwrap();
}

/// Returns the sizes that were told of a log that is not emptied.
fn told(lines: &Lines) -> Vec<u64> {
    let text = lines.text();
    let sizes = text.lines().filter_map(|line| line.split("log_bytes=").nth(1));
    sizes.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

async fn read_the_present_state(file: &File) -> SqliteConnection {
    let mut reader = raw(file).await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM vip_jobs").execute(&mut reader).await.unwrap();
    reader
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_from_being_emptied_is_told_once_with_its_size() {
    let (lines, _on_this_thread) = Lines::listen();
    let file = File::new();
    let backend = file.open().await;
    for episode in 1..=2 {
        let mut reader = read_the_present_state(&file).await;
        backend.enqueue(&[job(&format!("job-{episode}"))]).await.unwrap();
        for _ in 0..2 {
            backend.checkpoint().await.unwrap();
        }
        assert_eq!(told(&lines).len(), episode, "{}", lines.text());
        let bytes = std::fs::metadata(file.path().with_extension("db-wal")).unwrap().len();
        assert_eq!(told(&lines).last(), Some(&bytes));
        sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
        reader.close().await.unwrap();
        backend.checkpoint().await.unwrap();
    }
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_log_that_grows_without_bound_is_told_without_a_checkpoint_being_asked_for() {
    let (lines, _on_this_thread) = Lines::listen();
    let file = File::new();
    let backend = file.open().await;
    let reader = read_the_present_state(&file).await;
    let mut host = raw(&file).await;
    let large = "CREATE TABLE large (a BLOB); INSERT INTO large VALUES (zeroblob(70000000))";
    sqlx::raw_sql(large).execute(&mut host).await.unwrap();
    for name in ["a", "b"] {
        backend.enqueue(&[job(name)]).await.unwrap();
    }
    let told = told(&lines);
    assert!(told.len() == 1 && told[0] > 70_000_000, "{}", lines.text());
    for connection in [reader, host] {
        connection.close().await.unwrap();
    }
    backend.close().await.unwrap();
}
