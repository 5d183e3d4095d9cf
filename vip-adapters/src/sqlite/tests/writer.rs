//! The bounds of the writer: how many writes share a commit, and how many wait.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_core::model::{AccountId, Timestamp};
use vip_core::ports::{Clock, Store, SystemClock};

use super::super::connection::Connector;
use super::super::error::{Failure, Obstacle};
use super::super::outcomes::Outcomes;
use super::super::queries::Queries;
use super::super::upkeep::Sight;
use super::super::writer::{GROUP_MOST, QUEUE_MOST, Writer, WriterHandle, WriterParts};
use super::super::{SqliteBackend, SqliteConfig};
use super::{folder, raw};

/// Counts how often it is asked; the writer asks once for each commit.
#[derive(Debug, Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::SeqCst);
        SystemClock.now()
    }
}

async fn commits_of(writes: usize) -> u64 {
    let (_folder, path) = folder();
    let clock = Arc::new(CountingClock::default());
    let config = SqliteConfig::default().clock(Arc::clone(&clock) as _);
    let backend = SqliteBackend::open(&path, config).await.unwrap();
    let before = clock.0.load(Ordering::SeqCst);
    // On one thread every task hands in its write before the writer, woken by the first of them, gets its turn.
    let mut tasks = JoinSet::new();
    for _ in 0..writes {
        let backend = backend.clone();
        tasks.spawn(async move { backend.sight(&AccountId::default_account(), &[]).await.unwrap() });
    }
    tasks.join_all().await;
    let commits = clock.0.load(Ordering::SeqCst) - before;
    backend.close().await.unwrap();
    commits
}

#[tokio::test]
async fn sixty_four_writes_share_a_commit_and_one_more_does_not() {
    assert_eq!(commits_of(GROUP_MOST).await, 1);
    assert_eq!(commits_of(GROUP_MOST + 1).await, 2);
}

/// Makes a writer that never takes anything.
async fn idle_writer(path: &str) -> (Writer, WriterHandle) {
    let config = SqliteConfig::default();
    Writer::new(WriterParts {
        connector: Connector::new(Path::new(path).to_path_buf(), &config),
        connection: raw(path).await,
        queries: Arc::new(Queries::load(&config.filter)),
        clock: Arc::new(SystemClock),
        closing: watch::channel(false).1,
        arrivals: watch::channel(0).0,
        outcomes: Arc::new(Outcomes::new(Duration::from_secs(4), Instant::now())),
    })
}

fn write() -> Sight {
    Sight { account: AccountId::default_account(), sightings: Vec::new() }
}

#[tokio::test]
async fn two_hundred_fifty_six_writes_wait_and_one_more_is_unavailable_at_its_deadline() {
    let (_folder, path) = folder();
    let (writer, handle) = idle_writer(&path).await;
    let mut waiting = JoinSet::new();
    for _ in 1..QUEUE_MOST {
        let handle = handle.clone();
        waiting.spawn(async move { handle.write(write(), Instant::now() + Duration::from_secs(60)).await });
    }
    let soon = || Instant::now() + Duration::from_millis(20);
    let last = tokio::time::timeout_at(soon() + Duration::from_millis(20), handle.write(write(), soon())).await;
    assert!(last.is_err(), "it was taken, and waits for its answer beyond the deadline");
    let refused = handle.write(write(), soon()).await.unwrap_err();
    let Failure::Unavailable(source) = refused else { panic!("{refused:?}") };
    assert_eq!(source.to_string(), Obstacle::Busy.to_string());
    // A writer that ends without an answer leaves the outcome open.
    drop(writer);
    for answer in waiting.join_all().await {
        assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    }
}
