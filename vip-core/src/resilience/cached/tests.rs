//! A source that waits for permission, a second level that fails when told, and the paused clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::memory::{MemoryCache, VirtualClock};

const SOFT: Duration = Duration::from_secs(600);
const HARD: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("told to fail")]
struct Told;

#[derive(Debug, Clone, Copy)]
enum Next {
    Fail,
    Panic,
}

/// Answers the number of the load; each load takes a permit.
#[derive(Debug, Clone)]
struct Counter {
    loads: Arc<AtomicU32>,
    permits: Arc<Semaphore>,
    next: Arc<Mutex<VecDeque<Next>>>,
}

impl Counter {
    fn open() -> Self {
        Self::with(Semaphore::MAX_PERMITS)
    }

    fn with(permits: usize) -> Self {
        Self { loads: Arc::default(), permits: Arc::new(Semaphore::new(permits)), next: Arc::default() }
    }

    fn loads(&self) -> u32 {
        self.loads.load(Ordering::SeqCst)
    }

    fn then(&self, next: Next, times: usize) {
        self.next.lock().unwrap().extend(std::iter::repeat_n(next, times));
    }
}

#[async_trait]
impl Source for Counter {
    type Value = u32;
    type Error = Told;

    fn name(&self) -> String {
        "counter".to_owned()
    }

    async fn load(&self) -> Result<u32, Told> {
        let number = self.loads.fetch_add(1, Ordering::SeqCst) + 1;
        self.permits.acquire().await.unwrap().forget();
        let next = self.next.lock().unwrap().pop_front();
        match next {
            None => Ok(number),
            Some(Next::Fail) => Err(Told),
            Some(Next::Panic) => panic!("told to panic"),
        }
    }
}

fn kept(source: &Counter) -> CachedSource<Counter> {
    CachedSource::new(source.clone(), Ages::new(SOFT, HARD).unwrap())
}

/// Makes a cache that processes share, and what makes one process after the other on it.
fn shared() -> (MemoryCache, impl Fn(&Counter) -> CachedSource<Counter>) {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000)));
    let cache = MemoryCache::new(clock.clone());
    let second = cache.clone();
    let process = move |source: &Counter| {
        let key = CacheKey::new(None, "counter").unwrap();
        CachedSource::shared(
            source.clone(),
            Ages::new(SOFT, HARD).unwrap(),
            Arc::new(second.clone()),
            key,
            clock.clone(),
        )
    };
    (cache, process)
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

async fn value(kept: &CachedSource<Counter>) -> (u32, bool) {
    let cached = kept.get().await.unwrap();
    (*cached.value, cached.is_stale())
}

#[tokio::test(start_paused = true)]
async fn readers_share_one_load_that_outlives_them() {
    let source = Counter::with(0);
    let kept = kept(&source);
    // The first reader, who began the load, goes away.
    assert!(tokio::time::timeout(Duration::from_secs(1), kept.get()).await.is_err());
    let readers = join_all((0..1000).map(|_| kept.get()));
    source.permits.add_permits(1);
    let answers = readers.await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|cached| *cached.value == 1 && !cached.is_stale())));
    assert_eq!(source.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_is_an_error_for_all_who_wait_and_the_next_load_works() {
    let source = Counter::open();
    let kept = kept(&source);
    source.then(Next::Panic, 1);
    let answers = join_all((0..10).map(|_| kept.get())).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(LoadError::Panicked("told to panic")))), "{answers:?}");
    assert_eq!(source.loads(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(value(&kept).await, (2, false));
}

#[tokio::test(start_paused = true)]
async fn from_the_soft_age_on_a_value_is_served_stale_and_loaded_anew() {
    let source = Counter::open();
    let kept = kept(&source);
    assert_eq!(value(&kept).await, (1, false));
    tokio::time::advance(SOFT - Duration::from_millis(1)).await;
    assert_eq!(value(&kept).await, (1, false));
    tokio::time::advance(Duration::from_millis(1)).await;
    let stale = kept.get().await.unwrap();
    assert!(matches!(stale.freshness, Freshness::Stale { why: StaleReason::BeingRefreshed }));
    assert_eq!((*stale.value, stale.age), (1, SOFT));
    assert_eq!(value(&kept).await, (1, true), "the load under way is enough");
    settle().await;
    assert_eq!((value(&kept).await, source.loads()), ((2, false), 2));
}

#[tokio::test(start_paused = true)]
async fn from_the_hard_age_on_an_error_is_an_error() {
    let source = Counter::open();
    let kept = kept(&source);
    assert_eq!(value(&kept).await, (1, false));
    source.then(Next::Fail, 100);
    tokio::time::advance(HARD - Duration::from_secs(1)).await;
    assert_eq!(value(&kept).await, (1, true));
    settle().await;
    let stale = kept.get().await.unwrap();
    let Freshness::Stale { why: StaleReason::RefreshFailed(error) } = stale.freshness else { panic!("not said") };
    assert_eq!(error.source().map(ToString::to_string), Some("told to fail".to_owned()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(kept.get().await, Err(LoadError::Failed(_))), "an old value is no answer for ever");
}

#[tokio::test(start_paused = true)]
async fn after_failures_the_source_is_left_alone_for_longer_and_longer() {
    let source = Counter::open();
    let kept = kept(&source);
    source.then(Next::Fail, 1000);
    for _ in 0..3600 {
        assert!(kept.get().await.is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    // 2, 4, 8, 16, 32, then every 60 s of an hour.
    assert!((60..=66).contains(&source.loads()), "{} loads", source.loads());
    assert_eq!(kept.status().failures, source.loads());
}

#[tokio::test(start_paused = true)]
async fn processes_share_a_load_through_the_second_level() {
    let (_cache, process) = shared();
    let (one, two) = (Counter::open(), Counter::open());
    let (first, second) = (process(&one), process(&two));
    assert_eq!(value(&first).await, (1, false));
    settle().await;
    tokio::time::advance(SOFT / 2).await;
    let found = second.get().await.unwrap();
    assert_eq!(two.loads(), 0);
    assert!(found.age >= SOFT / 2 && !found.is_stale(), "its age is that of the load, not of the look");
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_of_the_second_level_is_served_only_if_the_source_fails_and_only_to_its_hard_age() {
    let (_cache, process) = shared();
    let (one, two, three) = (Counter::open(), Counter::open(), Counter::open());
    assert_eq!(value(&process(&one)).await, (1, false));
    settle().await;
    tokio::time::advance(HARD - Duration::from_secs(10)).await;
    two.then(Next::Fail, 100);
    let second = process(&two);
    assert_eq!(value(&second).await, (1, true));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(second.get().await.is_err());
    assert_eq!(value(&process(&three)).await, (1, false), "a source that works is asked");
    assert_eq!(three.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_level_that_fails_costs_speed_and_is_seen() {
    let (cache, process) = shared();
    let source = Counter::open();
    let kept = process(&source);
    cache.fail_next(2);
    assert_eq!(value(&kept).await, (1, false));
    settle().await;
    assert_eq!(kept.status().second_level_failures, 2);
    tokio::time::advance(SOFT).await;
    assert_eq!(value(&kept).await, (1, true));
    settle().await;
    assert_eq!((value(&kept).await, kept.status().second_level_failures), ((2, false), 0));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_invalidated_is_not_served() {
    let (cache, process) = shared();
    let source = Counter::open();
    let kept = process(&source);
    assert_eq!(value(&kept).await, (1, false));
    settle().await;
    cache.fail_next(1);
    kept.invalidate().await.unwrap_err();
    assert!(kept.status().second_level_distrusted);
    source.then(Next::Fail, 1);
    assert!(kept.get().await.is_err(), "the second level still has the old value");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(value(&kept).await, (3, false));
    settle().await;
    assert!(!kept.status().second_level_distrusted, "the newer value has overwritten it");
    kept.invalidate().await.unwrap();
    assert_eq!(value(&kept).await, (4, false));
}

#[tokio::test(start_paused = true)]
async fn a_failed_invalidation_is_tried_again_until_it_works() {
    let (cache, process) = shared();
    let source = Counter::open();
    let kept = process(&source);
    assert_eq!(value(&kept).await, (1, false));
    settle().await;
    cache.fail_next(3);
    kept.invalidate().await.unwrap_err();
    pass(16).await;
    assert!(kept.status().second_level_distrusted, "the first and the second repeat failed");
    pass(20).await;
    assert!(!kept.status().second_level_distrusted);
    let other = Counter::open();
    other.then(Next::Fail, 1);
    assert!(process(&other).get().await.is_err(), "another process finds nothing old");
}

#[tokio::test(start_paused = true)]
async fn a_failed_invalidation_is_tried_once_more_when_the_process_ends() {
    let (cache, process) = shared();
    let source = Counter::open();
    let kept = process(&source);
    assert_eq!(value(&kept).await, (1, false));
    settle().await;
    cache.fail_next(1);
    kept.invalidate().await.unwrap_err();
    kept.close().await;
    let other = Counter::open();
    other.then(Next::Fail, 1);
    assert!(process(&other).get().await.is_err(), "another process finds nothing old");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_an_invalidation_is_not_kept() {
    let (_cache, process) = shared();
    let source = Counter::with(0);
    let kept = process(&source);
    assert!(tokio::time::timeout(Duration::from_secs(1), kept.get()).await.is_err());
    kept.invalidate().await.unwrap();
    let (old, new) = tokio::join!(
        async {
            settle().await;
            source.permits.add_permits(2);
        },
        kept.get()
    );
    let () = old;
    assert_eq!(*new.unwrap().value, 2);
    settle().await;
    assert_eq!(value(&kept).await, (2, false));
    let other = Counter::open();
    assert_eq!((value(&process(&other)).await, other.loads()), ((2, false), 0), "only the newer one was written");
}

#[tokio::test(start_paused = true)]
async fn a_closed_cache_ends_its_load_and_begins_none() {
    let source = Counter::with(0);
    let kept = kept(&source);
    let (answer, ()) = tokio::join!(kept.get(), async {
        settle().await;
        kept.close().await;
    });
    assert!(matches!(answer, Err(LoadError::Closed)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(matches!(kept.get().await, Err(LoadError::Closed)));
    assert_eq!(source.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_stored_form_of_version_one_is_read_and_another_version_is_replaced() {
    let (cache, process) = shared();
    let key = CacheKey::new(None, "counter").unwrap();
    let one = br#"{"version":1,"loaded_at":1000000000,"value":7}"#;
    cache.put(&key, one, HARD).await.unwrap();
    let source = Counter::open();
    assert_eq!((value(&process(&source)).await, source.loads()), ((7, false), 0));
    cache.put(&key, br#"{"version":2,"loaded_at":1000000000,"value":{"new":1}}"#, HARD).await.unwrap();
    let kept = process(&source);
    assert_eq!((value(&kept).await, kept.status().second_level_failures), ((1, false), 0));
    settle().await;
    let stored = String::from_utf8(cache.get(&key).await.unwrap().unwrap()).unwrap();
    assert_eq!(stored, r#"{"version":1,"loaded_at":1000000000,"value":1}"#);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_cannot_be_read_and_a_clock_that_is_ahead_are_not_believed() {
    let (cache, process) = shared();
    let key = CacheKey::new(None, "counter").unwrap();
    cache.put(&key, b"not ours", HARD).await.unwrap();
    let source = Counter::open();
    assert_eq!(value(&process(&source)).await, (1, false));
    settle().await;
    for (ahead, loads) in [(60_000_000, 1), (60_000_001, 2)] {
        let at = 1_000_000_000 + ahead;
        cache.put(&key, format!(r#"{{"version":1,"loaded_at":{at},"value":9}}"#).as_bytes(), HARD).await.unwrap();
        assert!(process(&source).get().await.is_ok());
        assert_eq!(source.loads(), loads, "{ahead}");
    }
}
