//! `Cache` in memory: values that live for their time, in bounded number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::Timestamp;
use crate::ports::{Cache, CacheError, CacheKey, Clock};

/// Most values that are kept: with values of a few KiB this stays within tens of MiB.
pub const MEMORY_CACHE_ENTRIES: usize = 10_000;

/// Keeps values in memory, on the injected clock; the reference for every other cache. Clones share their values.
///
/// Of more than [`MEMORY_CACHE_ENTRIES`] values the one that would expire first is forgotten.
#[derive(Debug, Clone)]
pub struct MemoryCache {
    rows: Arc<Mutex<Rows>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Rows {
    values: BTreeMap<CacheKey, Entry>,
    failing: u32,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until: Timestamp,
}

impl MemoryCache {
    /// Makes an empty cache on a clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { rows: Arc::default(), clock }
    }

    /// Makes the next `calls` calls fail.
    pub fn fail_next(&self, calls: u32) {
        self.lock().failing = calls;
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        // No step panics halfway, and a lost value would be harmless.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self) -> Result<MutexGuard<'_, Rows>, CacheError> {
        let mut rows = self.lock();
        if rows.failing > 0 {
            rows.failing -= 1;
            return Err(CacheError::new("failed as a test asked for"));
        }
        Ok(rows)
    }
}

impl Rows {
    fn make_room(&mut self, now: Timestamp) {
        self.values.retain(|_, entry| entry.until > now);
        if self.values.len() < MEMORY_CACHE_ENTRIES {
            return;
        }
        let first = self.values.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone());
        if let Some(key) = first {
            self.values.remove(&key);
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Vec<u8>>, CacheError> {
        let now = self.clock.now();
        let rows = self.rows()?;
        Ok(rows.values.get(key).filter(|entry| entry.until > now).map(|entry| entry.value.clone()))
    }

    async fn put(&self, key: &CacheKey, value: &[u8], time_to_live: Duration) -> Result<(), CacheError> {
        let now = self.clock.now();
        let mut rows = self.rows()?;
        if rows.values.len() >= MEMORY_CACHE_ENTRIES && !rows.values.contains_key(key) {
            rows.make_room(now);
        }
        rows.values.insert(key.clone(), Entry { value: value.to_vec(), until: now.plus(time_to_live) });
        Ok(())
    }

    async fn invalidate(&self, key: &CacheKey) -> Result<(), CacheError> {
        self.rows()?.values.remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ManualClock;

    #[tokio::test]
    async fn one_value_too_many_displaces_the_one_that_would_expire_first() {
        let cache = MemoryCache::new(Arc::new(ManualClock::new(Timestamp::from_micros(0))));
        let key = |number: usize| CacheKey::new(None, format!("k{number}")).unwrap();
        for number in 0..MEMORY_CACHE_ENTRIES {
            cache.put(&key(number), b"value", Duration::from_secs(100 + number as u64)).await.unwrap();
        }
        assert!(cache.get(&key(0)).await.unwrap().is_some(), "the bound itself is allowed");
        cache.put(&key(5), b"again", Duration::from_secs(105)).await.unwrap();
        assert!(cache.get(&key(0)).await.unwrap().is_some(), "a key that is there takes no more room");
        cache.put(&key(MEMORY_CACHE_ENTRIES), b"value", Duration::from_secs(1)).await.unwrap();
        assert!(cache.get(&key(0)).await.unwrap().is_none());
        assert!(cache.get(&key(1)).await.unwrap().is_some());
        assert!(cache.get(&key(MEMORY_CACHE_ENTRIES)).await.unwrap().is_some());
    }
}
