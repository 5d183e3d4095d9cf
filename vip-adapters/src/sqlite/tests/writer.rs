//! The bounds of the writer (how many writes share a commit, and how many wait), and what a panic in it costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_core::model::{Account, AccountId, ProviderServerId, Sighting, SightingClass, SightingKey, Timestamp};
use vip_core::ports::{Clock, Store, StoreError, SystemClock};

use super::super::connection::Connector;
use super::super::error::{Failure, Obstacle};
use super::super::outcomes::Outcomes;
use super::super::queries::Queries;
use super::super::transaction::WriteTransaction;
use super::super::upkeep::Sight;
use super::super::writer::{GROUP_MOST, QUEUE_MOST, Write, Writer, WriterHandle, WriterParts};
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

/// Panics the next time that it is asked, if it was told to.
#[derive(Debug, Default)]
struct PanickingClock(AtomicBool);

impl Clock for PanickingClock {
    fn now(&self) -> Timestamp {
        assert!(!self.0.swap(false, Ordering::SeqCst), "a clock that panics");
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_costs_one_answer_and_not_the_store() {
    let (_folder, path) = folder();
    let clock = Arc::new(PanickingClock::default());
    let config = SqliteConfig::default().clock(Arc::clone(&clock) as _);
    let backend = SqliteBackend::open(&path, config).await.unwrap();
    let account = AccountId::default_account();
    for _ in 0..3 {
        clock.0.store(true, Ordering::SeqCst);
        let lost = backend.sight(&account, &[]).await;
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown { .. })), "{lost:?}");
        backend.sight(&account, &[]).await.unwrap();
    }
    // Health says that the last write was lost, until one is kept that changes something.
    backend.save_account(&Account::unknown(account)).await.unwrap();
    backend.writable().await.unwrap();
    backend.close().await.unwrap();
}

/// Writes, and panics before it says so.
struct Panicking(Sight);

#[async_trait]
impl Write for Panicking {
    type Answer = ();

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), Failure> {
        let written = self.0.write(transaction).await;
        assert!(written.is_err(), "after what was written");
        written
    }
}

#[tokio::test]
async fn a_write_that_panics_leaves_nothing_and_neither_do_those_that_share_its_commit() {
    let (_folder, path) = folder();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    let account = AccountId::default_account();
    let key = SightingKey { account: account.clone(), id: ProviderServerId::new("7").unwrap() };
    let (seen, class) = (Timestamp::from_micros(1), SightingClass::Surplus);
    let sighting = Sighting { key, server: None, class, first_seen: seen, last_seen: seen, count: 1, ripe: false };
    let sight = || Sight { account: account.clone(), sightings: vec![sighting.clone()] };
    // On one thread both are handed in before the writer gets its turn.
    let (before, panicked) = tokio::join!(backend.write(sight()), backend.write(Panicking(sight())));
    for answer in [before, panicked] {
        assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    }
    assert!(backend.sightings(&account).await.unwrap().is_empty());
    backend.write(sight()).await.unwrap();
    assert_eq!(backend.sightings(&account).await.unwrap().len(), 1);
    backend.close().await.unwrap();
}
