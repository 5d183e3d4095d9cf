//! Every outcome that is counted, seen once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::memory::{MemoryCache, VirtualClock};
use crate::model::Timestamp;
use crate::ports::{Cache, CacheKey, Clock};
use crate::resilience::cached::{Ages, CachedSource, Source};
use crate::telemetry::written::Written;
use std::sync::atomic::{AtomicU32, Ordering};

const SOFT: Duration = Duration::from_secs(600);
const HARD: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
#[error("told to fail")]
struct Told;

/// Fails as often as it was told, then answers.
#[derive(Debug, Clone, Default)]
struct Prices(Arc<AtomicU32>);

impl Prices {
    fn fail(&self, times: u32) {
        self.0.store(times, Ordering::SeqCst);
    }
}

#[async_trait]
impl Source for Prices {
    type Value = u32;
    type Error = Told;

    fn name(&self) -> String {
        "prices".to_owned()
    }

    async fn load(&self) -> Result<u32, Told> {
        let fails = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() { Err(Told) } else { Ok(7) }
    }
}

/// Lets tasks that are ready run.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass(time: Duration) {
    tokio::time::advance(time).await;
    settle().await;
}

fn counts(written: &Written, lines: &[(&str, usize)]) {
    for (line, times) in lines {
        assert_eq!(written.times(line), *times, "{line} in {:?}", written.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn readers_loads_and_calls_of_the_second_level_are_counted_by_how_they_ended() {
    let written = Written::default();
    let _counting = metrics::set_default_local_recorder(&written);
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000)));
    let (cache, source) = (MemoryCache::new(clock.clone()), Prices::default());
    let key = || CacheKey::new(None, "prices").unwrap();
    let process = || {
        let ages = Ages::new(SOFT, HARD).unwrap();
        CachedSource::shared(source.clone(), ages, Arc::new(cache.clone()), key(), clock.clone())
    };

    let first = process();
    first.get().await.unwrap();
    settle().await;
    first.get().await.unwrap();
    counts(
        &written,
        &[
            ("vip_cache_answers_total cache=prices,outcome=miss", 1),
            ("vip_cache_answers_total cache=prices,outcome=hit", 1),
            ("vip_cache_loads_total cache=prices,outcome=ok", 1),
            ("vip_cache_shared_calls_total cache=prices,call=get,outcome=miss", 1),
            ("vip_cache_shared_calls_total cache=prices,call=put,outcome=ok", 1),
        ],
    );

    // Another process finds it there, and a third one finds it old while the source fails.
    process().get().await.unwrap();
    pass(SOFT).await;
    source.fail(1);
    assert!(process().get().await.unwrap().is_stale());
    counts(
        &written,
        &[
            ("vip_cache_shared_calls_total cache=prices,call=get,outcome=hit", 1),
            ("vip_cache_shared_calls_total cache=prices,call=get,outcome=stale", 1),
            ("vip_cache_answers_total cache=prices,outcome=stale", 1),
            ("vip_cache_loads_total cache=prices,outcome=failed", 1),
            ("vip_cache_loads_total cache=prices,outcome=ok", 1),
        ],
    );

    // From the hard age on there is nothing to serve: who waits, and who asks right after, is told so.
    pass(HARD).await;
    source.fail(1);
    first.get().await.unwrap_err();
    first.get().await.unwrap_err();
    counts(&written, &[("vip_cache_answers_total cache=prices,outcome=failed", 2)]);

    // The shared cache fails at each of its calls, then at none.
    pass(Duration::from_secs(60)).await;
    cache.fail_next(2);
    first.get().await.unwrap();
    settle().await;
    cache.fail_next(1);
    first.invalidate().await.unwrap_err();
    process().invalidate().await.unwrap();
    cache.put(&key(), b"not ours", HARD).await.unwrap();
    process().get().await.unwrap();
    counts(
        &written,
        &[
            ("vip_cache_shared_calls_total cache=prices,call=put,outcome=failed", 1),
            ("vip_cache_shared_calls_total cache=prices,call=invalidate,outcome=failed", 1),
            ("vip_cache_shared_calls_total cache=prices,call=invalidate,outcome=ok", 1),
            // Once it did not answer, and once nobody could read what it answered.
            ("vip_cache_shared_calls_total cache=prices,call=get,outcome=failed", 2),
        ],
    );
}
