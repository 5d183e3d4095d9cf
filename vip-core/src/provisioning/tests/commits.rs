//! How a commit without an answer is repeated, and what is said when no answer comes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::mocks::MockStore;
use crate::ports::{ChangeSet, Store, StoreError};
use crate::provisioning::accept::change_for_tests;

/// Always draws the lowest or the highest share.
#[derive(Debug)]
pub(super) struct Extreme(pub(super) bool);

impl Randomness for Extreme {
    fn next_u64(&self) -> u64 {
        if self.0 { u64::MAX } else { 0 }
    }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { source: "away".into() }
}

fn unknown() -> StoreError {
    StoreError::OutcomeUnknown { source: "no answer".into() }
}

async fn product_on(store: MockStore, highest: bool) -> (Context, ChangeSet) {
    let product = Product::new().await;
    let command =
        CreateServer { spec: spec("web-1"), accounts: vec![AccountId::default_account()], ..CreateServer::default() };
    let change = change_for_tests(&Product::caller(None), &command, uuid::Uuid::from_u128(5));
    let store: Arc<dyn Store> = Arc::new(store);
    (Context { store, randomness: Arc::new(Extreme(highest)), ..product.context.clone() }, change)
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_repeated_after_half_to_all_of_a_pause_that_doubles() {
    for (highest, pauses) in [(false, [10, 20, 40, 80]), (true, [20, 40, 80, 160])] {
        let (times, begin) = (Arc::new(std::sync::Mutex::new(Vec::new())), Instant::now());
        let seen = times.clone();
        let mut store = MockStore::new();
        store.expect_commit().times(5).returning(move |_change| {
            let mut seen = seen.lock().unwrap();
            seen.push(begin.elapsed());
            Err(if seen.len() < 5 { unavailable() } else { StoreError::Conflict })
        });
        let (context, change) = product_on(store, highest).await;
        assert!(matches!(context.commit(&change).await, Err(StoreError::Conflict)));
        let times = times.lock().unwrap();
        let between: Vec<Duration> = times.windows(2).map(|two| two[1].saturating_sub(two[0])).collect();
        for (between, pause) in between.iter().zip(pauses) {
            // Tokio's timer counts whole milliseconds.
            assert!(*between >= millis(pause) && *between <= millis(pause + 2), "{between:?} for {pause} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_was_unknown_once_is_not_said_to_be_nothing_by_what_comes_after() {
    type Make = fn() -> StoreError;
    let corrupt: Make = || StoreError::Corrupt { source: "bytes".into() };
    let quota: Make = || StoreError::QuotaExceeded { limit: 1 };
    for (first, then, is_unknown) in [
        (unknown as Make, unavailable as Make, true),
        (unknown, corrupt, true),
        (unknown, quota, true),
        (unknown, unknown, true),
        (unavailable, unavailable, false),
        (unavailable, corrupt, false),
        (unavailable, quota, false),
    ] {
        let asked = Arc::new(AtomicBool::new(false));
        let mut store = MockStore::new();
        store
            .expect_commit()
            .returning(move |_change| Err(if asked.swap(true, Ordering::SeqCst) { then() } else { first() }));
        let (context, change) = product_on(store, false).await;
        let begin = Instant::now();
        let error = context.commit(&change).await.unwrap_err();
        let told = matches!(error, StoreError::OutcomeUnknown { .. });
        assert_eq!(told, is_unknown, "{error:?} after {:?} and {:?}", first(), then());
        assert!(begin.elapsed() <= context.timing.commit_deadline);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_ends_within_its_deadline_and_is_repeated_for_as_long_as_another_pause_fits() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let mut store = MockStore::new();
    store.expect_commit().returning(move |_change| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(unavailable())
    });
    let (context, change) = product_on(store, true).await;
    let begin = Instant::now();
    assert!(matches!(context.commit(&change).await, Err(StoreError::Unavailable { .. })));
    let (deadline, took) = (context.timing.commit_deadline, begin.elapsed());
    assert!(took < deadline && took >= deadline / 3, "{took:?} of {deadline:?}");
    // 20, 40, 80 ... ms: as many pauses as fit, and one try more.
    let (mut pause, mut sum, mut tries) = (millis(20), Duration::ZERO, 1);
    while sum + pause < deadline {
        (sum, pause, tries) = (sum + pause, pause * 2, tries + 1);
    }
    assert_eq!(asked.load(Ordering::SeqCst), tries);
}
