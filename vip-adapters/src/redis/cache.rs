//! `Cache` on Redis: values that several processes share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, Value};
use vip_core::ports::{Cache, CacheError, CacheKey};

use super::config::RedisConfig;
use super::error::{Failure, Obstacle, OpenError};
use super::link::Link;
use super::scripts::CacheScripts;
use super::soundness::Demand;

/// Largest value in bytes: a catalog has some hundred KiB, and what is larger would hold up everybody else's calls.
pub const REDIS_CACHE_VALUE_BYTES: usize = 4 * 1024 * 1024;
/// By how much a life is shortened at the most, so that what was put at one time does not end at one time.
const JITTER: f64 = 0.1;

/// Keeps values on a Redis server that processes share; opening it connects to nothing.
///
/// # Guarantees
///
/// * Each key begins with its tenant, and with its length, so that no two tenants' keys meet.
/// * Every call answers its error; a failure is never a miss.
/// * A value carries the generation that it was put in. Whoever lost contact with the server, for whatever call, ends
///   that generation with the next call that works: what was put before is not answered any more, to nobody. So a
///   failed invalidation is made good by the next call of the same `RedisCache`, and what a restarted server brings
///   back is not believed. A server that evicts may end a generation, and brings none back.
/// * If the process ends before that, another one may be answered the old value for as long as it has left to live:
///   at most [`RedisConfig::life_most`], 15 minutes by default.
/// * A full server refuses values and does everything else; that counts as no failure.
/// * After a failure the server is left alone for 25 ms, doubling up to 1 s; calls meanwhile fail at once.
/// * No call takes longer than connection and answer deadline, 250 ms each by default, and none longer than its caller
///   waits: a dropped call leaves nothing behind.
#[derive(Debug)]
pub struct RedisCache {
    link: Link,
    scripts: CacheScripts,
    config: RedisConfig,
    base: String,
    /// Counts invalidations that ended without an answer, for whatever reason.
    unanswered: AtomicU64,
    /// How many outages and unanswered invalidations the end of a generation has made good.
    renewed: AtomicU64,
}

/// Counts an invalidation as unanswered unless it is told otherwise; also one whose caller goes away.
#[derive(Debug)]
struct Unanswered<'c>(Option<&'c AtomicU64>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl RedisCache {
    /// Opens a cache; the server is asked for the first time when a value is.
    ///
    /// # Errors
    ///
    /// [`OpenError::Address`] and [`OpenError::Config`]; a server that is away is no reason.
    pub fn open(url: &str, config: RedisConfig) -> Result<Self, OpenError> {
        let link = Link::new(url, &config, Demand::Nothing)?;
        let scripts = CacheScripts::load(&config.filter);
        // In a cluster, what stands between braces decides about the place: all keys of a cache are in one.
        let base = format!("vip1:cache:{{{}}}", config.name);
        Ok(Self { link, scripts, config, base, unanswered: AtomicU64::new(0), renewed: AtomicU64::new(0) })
    }

    fn key(&self, key: &CacheKey) -> String {
        match key.tenant() {
            Some(tenant) => format!("{}:tenant:{}:{tenant}:{}", self.base, tenant.as_str().len(), key.name()),
            None => format!("{}:shared:{}", self.base, key.name()),
        }
    }

    async fn run(&self, script: &Script, key: &CacheKey, more: &[Vec<u8>]) -> Result<Value, Failure> {
        let doubts = self.link.outages() + self.unanswered.load(Ordering::SeqCst);
        let must_renew = doubts > self.renewed.load(Ordering::SeqCst);
        let is_over = if must_renew { "over" } else { "" };
        let mut arguments = vec![self.config.time().into_bytes(), is_over.as_bytes().to_vec()];
        arguments.extend_from_slice(more);
        let keys = [format!("{}:generation", self.base), self.key(key)];
        let answer = self.link.run(script, &keys, &arguments).await?;
        if must_renew {
            self.renewed.fetch_max(doubts, Ordering::SeqCst);
        }
        Ok(answer)
    }

    fn life(&self, wanted: Duration) -> Duration {
        wanted.min(self.config.life_most).mul_f64(JITTER.mul_add(-self.config.randomness.share(), 1.0))
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Vec<u8>>, CacheError> {
        let answer = self.run(&self.scripts.cache_get, key, &[]).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let Value::BulkString(value) = answer else { return Err(Failure::corrupt(Obstacle::Form).into()) };
        Ok(Some(value))
    }

    async fn put(&self, key: &CacheKey, value: &[u8], time_to_live: Duration) -> Result<(), CacheError> {
        if value.len() > REDIS_CACHE_VALUE_BYTES {
            let (what, most) = ("a value in bytes", REDIS_CACHE_VALUE_BYTES);
            return Err(Failure::corrupt(Obstacle::TooMuch { what, most }).into());
        }
        let life = self.life(time_to_live).as_micros().to_string().into_bytes();
        // Drawn for each put: whether there is a generation, the server alone knows, and no name may come twice.
        let generation = self.config.randomness.uuid().to_string().into_bytes();
        self.run(&self.scripts.cache_put, key, &[life, value.to_vec(), generation]).await?;
        Ok(())
    }

    async fn invalidate(&self, key: &CacheKey) -> Result<(), CacheError> {
        let mut unanswered = Unanswered(Some(&self.unanswered));
        self.run(&self.scripts.cache_forget, key, &[]).await?;
        unanswered.0 = None;
        Ok(())
    }
}
