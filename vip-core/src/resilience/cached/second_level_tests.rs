//! A host's cache or clock that panics: it costs one call, or one repeat, and no more.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;

use super::*;
use crate::memory::{MemoryCache, VirtualClock};
use crate::resilience::cached::{CachedSource, Source};

const SOFT: Duration = Duration::from_secs(600);
const HARD: Duration = Duration::from_secs(3600);

/// Answers the number of the load.
#[derive(Debug, Default)]
struct Counter(AtomicU32);

#[async_trait]
impl Source for Counter {
    type Value = u32;
    type Error = Infallible;

    fn name(&self) -> String {
        "counter".to_owned()
    }

    async fn load(&self) -> Result<u32, Infallible> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// Panics as often as it was told.
#[derive(Debug, Clone, Default)]
struct Panics(Arc<AtomicU32>);

impl Panics {
    fn next(&self, times: u32) {
        self.0.store(times, Ordering::SeqCst);
    }

    fn perhaps(&self) {
        let told = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(told.is_err(), "told to panic");
    }
}

#[derive(Debug)]
struct PanickingCache(MemoryCache, Panics);

#[async_trait]
impl Cache for PanickingCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Vec<u8>>, CacheError> {
        self.1.perhaps();
        self.0.get(key).await
    }

    async fn put(&self, key: &CacheKey, value: &[u8], time_to_live: Duration) -> Result<(), CacheError> {
        self.1.perhaps();
        self.0.put(key, value, time_to_live).await
    }

    async fn invalidate(&self, key: &CacheKey) -> Result<(), CacheError> {
        self.1.perhaps();
        self.0.invalidate(key).await
    }
}

#[derive(Debug)]
struct PanickingClock(VirtualClock, Panics);

impl Clock for PanickingClock {
    fn now(&self) -> Timestamp {
        self.1.perhaps();
        self.0.now()
    }
}

/// Is a kept value with a second level, and what panics or fails of it.
struct Bench {
    kept: CachedSource<Counter>,
    memory: MemoryCache,
    cache: Panics,
    clock: Panics,
}

impl Bench {
    fn new() -> Self {
        let time = VirtualClock::new(Timestamp::from_micros(1_000_000_000));
        let (memory, cache, clock) = (MemoryCache::new(Arc::new(time)), Panics::default(), Panics::default());
        let kept = CachedSource::shared(
            Counter::default(),
            Ages::new(SOFT, HARD).unwrap(),
            Arc::new(PanickingCache(memory.clone(), cache.clone())),
            CacheKey::new(None, "counter").unwrap(),
            Arc::new(PanickingClock(time, clock.clone())),
        );
        Self { kept, memory, cache, clock }
    }

    async fn value(&self) -> (u32, bool) {
        let cached = self.kept.get().await.unwrap();
        (*cached.value, cached.is_stale())
    }

    fn is_distrusted(&self) -> bool {
        self.kept.status().second_level_distrusted
    }
}

/// Lets tasks that are ready run; on the one thread of a test each gets its turns, and time stands still.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock second by second; tasks that wait get their turns.
async fn pass(seconds: u32) {
    for _ in 0..seconds {
        settle().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_level_that_panics_costs_speed_and_is_seen() {
    let bench = Bench::new();
    // When it is read, and when it is written.
    bench.cache.next(2);
    assert_eq!(bench.value().await, (1, false));
    settle().await;
    assert_eq!(bench.kept.status().second_level_failures, 2);
    tokio::time::advance(SOFT).await;
    assert_eq!(bench.value().await, (1, true));
    settle().await;
    assert_eq!((bench.value().await, bench.kept.status().second_level_failures), ((2, false), 0));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_that_panics_has_failed_and_is_tried_again() {
    let bench = Bench::new();
    bench.cache.next(1);
    bench.kept.invalidate().await.unwrap_err();
    // The first repeat panics too, after 5 s; the second one comes 10 s later.
    bench.cache.next(1);
    pass(6).await;
    assert_eq!((bench.is_distrusted(), bench.kept.status().second_level_failures), (true, 2));
    pass(10).await;
    assert!(!bench.is_distrusted());
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_ends_in_a_panic_does_not_keep_the_next_one_away() {
    let bench = Bench::new();
    bench.memory.fail_next(1);
    bench.kept.invalidate().await.unwrap_err();
    bench.clock.next(1);
    pass(6).await;
    assert!(bench.is_distrusted(), "the clock panicked, and the repeat with it");
    bench.memory.fail_next(1);
    bench.kept.invalidate().await.unwrap_err();
    pass(6).await;
    assert!(!bench.is_distrusted());
}
