//! The contract of `Cache` on Redis, and what happens when the server is away.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

#[path = "redis_cache/guards.rs"]
mod guards;
#[path = "redis_cache/outages.rs"]
mod outages;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use vip_adapters::redis::{OpenError, REDIS_CACHE_VALUE_BYTES, RedisCache, RedisConfig};
use vip_core::conformance::CacheFixture;
use vip_core::memory::ManualClock;
use vip_core::model::{TenantId, Timestamp};
use vip_core::ports::{Cache, CacheKey, Randomness};
use vip_tests::redis_server::RedisServer;
use vip_tests::site::pause;

/// Counts, and so draws shares of zero: no life is shortened by jitter, and no generation is named as one before it.
#[derive(Debug, Default)]
struct NoJitter(AtomicU64);

impl Randomness for NoJitter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Is a cache on a server of its own, on a clock that moves when told.
#[derive(Debug)]
struct RedisFixture {
    cache: RedisCache,
    clock: Arc<ManualClock>,
    server: Mutex<RedisServer>,
}

#[async_trait]
impl CacheFixture for RedisFixture {
    fn cache(&self) -> &dyn Cache {
        &self.cache
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn break_down(&self) {
        self.server.lock().unwrap().kill();
    }

    async fn repair(&self) {
        self.server.lock().unwrap().restart();
        until_it_answers(&self.cache).await;
    }
}

/// Waits until a cache has found out that its server is back.
async fn until_it_answers(cache: &RedisCache) {
    let key = key(None, "until-it-answers");
    for _ in 0..500 {
        if cache.get(&key).await.is_ok() {
            return;
        }
        pause(Duration::from_millis(5)).await;
    }
    cache.get(&key).await.unwrap();
}

fn key(tenant: Option<&str>, name: &str) -> CacheKey {
    CacheKey::new(tenant.map(|name| TenantId::new(name).unwrap()), name).unwrap()
}

fn patient() -> RedisConfig {
    let wait = Duration::from_secs(5);
    RedisConfig::cache().connect_deadline(wait).answer_deadline(wait)
}

async fn redis_cache() -> RedisFixture {
    let server = RedisServer::start();
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = patient().clock(Arc::clone(&clock) as _).randomness(Arc::new(NoJitter::default()));
    let cache = RedisCache::open(&server.url(), config).unwrap();
    RedisFixture { cache, clock, server: Mutex::new(server) }
}

vip_core::cache_suite!(redis_cache);

#[tokio::test]
async fn a_value_of_the_largest_size_is_kept_and_a_larger_one_is_refused() {
    let server = RedisServer::start();
    let cache = RedisCache::open(&server.url(), patient()).unwrap();
    let (key, life) = (key(None, "large"), Duration::from_secs(60));
    let largest = vec![7; REDIS_CACHE_VALUE_BYTES];
    cache.put(&key, &largest, life).await.unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(largest.clone()));
    assert!(cache.put(&key, &[largest.as_slice(), &[7]].concat(), life).await.is_err());
    assert_eq!(cache.get(&key).await.unwrap(), Some(largest), "what was refused changed nothing");
}

#[tokio::test]
async fn an_empty_value_says_that_there_is_nothing_and_is_no_miss() {
    let server = RedisServer::start();
    let cache = RedisCache::open(&server.url(), patient()).unwrap();
    cache.put(&key(None, "nothing"), b"", Duration::from_secs(60)).await.unwrap();
    assert_eq!(cache.get(&key(None, "nothing")).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn every_value_names_its_tenant_and_ends_by_itself_and_their_generation_does_not() {
    let server = RedisServer::start_on_port();
    let cache = RedisCache::open(&server.url(), patient().life_most(Duration::from_secs(100))).unwrap();
    for (tenant, name) in [(None, "acme:a"), (Some("acme"), "a"), (Some("globex"), "a")] {
        cache.put(&key(tenant, name), b"value", Duration::from_secs(3600)).await.unwrap();
    }
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort();
    let base = "vip1:cache:{default}";
    let expected = ["generation", "shared:acme:a", "tenant:4:acme:a", "tenant:6:globex:a"];
    assert_eq!(keys, expected.map(|end| format!("{base}:{end}")));
    let generation = keys.remove(0);
    assert_eq!(server.ask::<i64>(&["PTTL", &generation]), -1, "what evicts by expiry takes values alone");
    for key in keys {
        let left: u64 = server.ask(&["PTTL", &key]);
        assert!((85_000..=100_000).contains(&left), "bounded and shortened by at most a tenth: {left} ms");
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_showing_it() {
    let error = RedisCache::open("redis://:secret@[", RedisConfig::cache()).unwrap_err();
    assert!(matches!(error, OpenError::Address { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"), "{error:?}");
    let error = RedisCache::open("redis://localhost", RedisConfig::cache().name("A")).unwrap_err();
    assert!(matches!(error, OpenError::Config { .. }), "{error:?}");
}
