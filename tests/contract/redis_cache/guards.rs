//! Takes each guard of the cache's scripts away in turn, and demands that a stale value is then answered.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use vip_adapters::redis::{RedisCache, RedisConfig};
use vip_core::memory::ManualClock;
use vip_core::model::Timestamp;
use vip_core::ports::Cache;
use vip_tests::redis_server::RedisServer;

use super::{key, patient, until_it_answers};

const LIFE: Duration = Duration::from_secs(60);

fn without(config: RedisConfig, guard: &'static str) -> RedisConfig {
    config.script_filter(move |_, text| {
        let mark = format!("-- guard: {guard}");
        Cow::Owned(text.lines().filter(|line| !line.ends_with(&mark)).collect::<Vec<_>>().join("\n"))
    })
}

/// Puts a value, lets it become stale in a way, and reads it.
async fn reads_stale(server: &mut RedisServer, config: RedisConfig, is_invalidated: bool) -> bool {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let cache = RedisCache::open(&server.url(), config.clock(Arc::clone(&clock) as _)).unwrap();
    let key = key(None, "catalog");
    cache.put(&key, b"old", LIFE).await.unwrap();
    assert!(cache.get(&key).await.unwrap().is_some());
    if is_invalidated {
        server.kill();
        assert!(cache.invalidate(&key).await.is_err());
        server.restart();
        until_it_answers(&cache).await;
    } else {
        clock.advance(LIFE);
    }
    cache.get(&key).await.unwrap().is_some()
}

#[tokio::test]
async fn without_generation_or_time_a_stale_value_is_answered() {
    let mut server = RedisServer::start_with(&["--appendfsync", "always"]);
    for (guard, is_invalidated) in [("generation", true), ("until", false)] {
        assert!(!reads_stale(&mut server, patient(), is_invalidated).await, "{guard}");
        assert!(reads_stale(&mut server, without(patient(), guard), is_invalidated).await, "{guard} is no guard");
    }
}
