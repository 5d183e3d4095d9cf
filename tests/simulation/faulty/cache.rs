//! `Cache` with calls that go wrong.

use std::time::Duration;

use async_trait::async_trait;
use vip_core::memory::MemoryCache;
use vip_core::ports::{Cache, CacheError, CacheKey};

use super::Link;
use crate::method::Method;

/// Lets calls of a cache go wrong.
#[derive(Debug)]
pub struct FaultyCache {
    link: Link,
    inner: MemoryCache,
}

impl FaultyCache {
    /// Decorates a cache.
    #[must_use]
    pub const fn new(link: Link, inner: MemoryCache) -> Self {
        Self { link, inner }
    }
}

#[async_trait]
impl Cache for FaultyCache {
    async fn get(&self, key: &CacheKey) -> Result<Option<Vec<u8>>, CacheError> {
        let other = |_| Some(Some(b"nonsense".to_vec()));
        self.link.read(Method::CacheGet, key, || self.inner.get(key), other).await
    }

    async fn put(&self, key: &CacheKey, value: &[u8], time_to_live: Duration) -> Result<(), CacheError> {
        self.link.read(Method::CachePut, key, || self.inner.put(key, value, time_to_live), |_| None).await
    }

    async fn invalidate(&self, key: &CacheKey) -> Result<(), CacheError> {
        self.link.read(Method::CacheInvalidate, key, || self.inner.invalidate(key), |_| None).await
    }
}
