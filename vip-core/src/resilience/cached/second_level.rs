//! A value in a cache that processes share: asked before the source, never instead of it.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ages::Ages;
use super::answer::InvalidationError;
use super::counted;
use super::slot::Entry;
use crate::model::Timestamp;
use crate::ports::{Cache, CacheError, CacheKey, Clock};
use crate::runtime::panic_message;
use crate::telemetry;

/// Form of the stored bytes; another one is not read, and is replaced.
const VERSION: u32 = 1;
/// How long a call may take: a slow cache must not be slower than the source.
const CALL_LIMIT: Duration = Duration::from_secs(1);
/// How far another process's clock may be ahead before what it stored is not believed.
const CLOCK_AHEAD: Duration = Duration::from_secs(60);

/// Is the place of one value in a shared cache.
#[derive(Debug)]
pub(super) struct SecondLevel {
    cache: Arc<dyn Cache>,
    key: CacheKey,
    clock: Arc<dyn Clock>,
    /// What the value is called where it is counted.
    name: String,
    trust: Mutex<Trust>,
}

#[derive(Debug, Default)]
struct Trust {
    /// The invalidation that has not succeeded: nothing is read until it, or a newer value, has.
    distrusted: Option<u64>,
    /// When this process last invalidated: what was loaded before is not served.
    invalidated_at: Option<Timestamp>,
    failures: u32,
}

#[derive(Serialize)]
struct Stored<'a, V> {
    version: u32,
    loaded_at: Timestamp,
    value: &'a V,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Deserialize)]
struct Read<V> {
    loaded_at: Timestamp,
    value: V,
}

impl SecondLevel {
    pub(super) fn new(cache: Arc<dyn Cache>, key: CacheKey, clock: Arc<dyn Clock>, name: String) -> Self {
        Self { cache, key, clock, name, trust: Mutex::default() }
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns failures in a row, and whether the value is not read because an invalidation failed.
    pub(super) fn status(&self) -> (u32, bool) {
        let trust = self.trust();
        (trust.failures, trust.distrusted.is_some())
    }

    /// Returns the invalidation that has not succeeded.
    pub(super) fn distrusted(&self) -> Option<u64> {
        self.trust().distrusted
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Reads what is kept within its hard age; a failure is counted, logged and shown by health, and the source is asked
    /// instead.
    pub(super) async fn read<V: DeserializeOwned>(&self, ages: &Ages) -> Option<Entry<V>> {
        if self.trust().distrusted.is_some() {
            return None;
        }
        let taken = Instant::now();
        // A failure was counted; from here on it is a hit, an answer for need alone, or a miss.
        let bytes = self.answered("get", within(self.cache.get(&self.key)).await)?;
        let read = match bytes {
            Some(bytes) => self.counted("read", decode(&bytes))?,
            None => None,
        };
        let found = read.and_then(|read| self.believed(read, taken)).filter(|entry| entry.age(taken) < ages.hard());
        counted::shared_call(
            &self.name,
            "get",
            match &found {
                Some(entry) if entry.age(taken) < ages.soft() => "hit",
                Some(_) => "stale",
                None => "miss",
            },
        );
        found
    }

    /// Takes what was read, unless it is known to be too old or says that it comes from the future.
    fn believed<V>(&self, read: Read<V>, taken: Instant) -> Option<Entry<V>> {
        let (now, trust) = (self.clock.now(), self.trust());
        let is_older = trust.invalidated_at.is_some_and(|at| read.loaded_at < at);
        let is_ahead = read.loaded_at > now.plus(CLOCK_AHEAD);
        if is_older || is_ahead || trust.distrusted.is_some() {
            return None;
        }
        Some(Entry::aged(read.value, now.since(read.loaded_at), taken))
    }

    /// Keeps a value whose load began at a time, in the epoch that it began in.
    pub(super) async fn write<V: Serialize + Sync>(&self, value: &V, loaded_at: Timestamp, life: Duration, epoch: u64) {
        let stored = Stored { version: VERSION, loaded_at, value };
        let Some(bytes) = self.counted("write", serde_json::to_vec(&stored).map_err(CacheError::new)) else {
            return;
        };
        if self.answered("put", within(self.cache.put(&self.key, &bytes, life)).await).is_some() {
            counted::shared_call(&self.name, "put", "ok");
            // What could not be invalidated is overwritten now; a later invalidation stays open.
            let mut trust = self.trust();
            trust.distrusted = trust.distrusted.filter(|open| *open > epoch);
        }
    }

    /// Forgets the value; until that has worked this process does not read it.
    pub(super) async fn forget(&self, epoch: u64) -> Result<(), InvalidationError> {
        {
            let mut trust = self.trust();
            trust.distrusted = Some(epoch);
            trust.invalidated_at = Some(self.clock.now());
        }
        match within(self.cache.invalidate(&self.key)).await {
            Ok(()) => {
                counted::shared_call(&self.name, "invalidate", "ok");
                let mut trust = self.trust();
                trust.failures = 0;
                trust.distrusted = trust.distrusted.filter(|open| *open > epoch);
                Ok(())
            }
            Err(error) => {
                self.failed("invalidate", &error);
                Err(InvalidationError { source: error.source })
            }
        }
    }

    /// Counts how a call of the cache ended: one that worked ends a row of failures.
    fn answered<T>(&self, what: &'static str, answer: Result<T, CacheError>) -> Option<T> {
        if answer.is_ok() {
            self.trust().failures = 0;
        }
        self.counted(what, answer)
    }

    fn counted<T>(&self, what: &'static str, answer: Result<T, CacheError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.failed(what, &error);
                None
            }
        }
    }

    fn failed(&self, what: &'static str, error: &CacheError) {
        // What is read and written belongs to the call whose bytes it is about.
        let call = match what {
            "read" => "get",
            "write" => "put",
            call => call,
        };
        counted::shared_call(&self.name, call, "failed");
        let mut trust = self.trust();
        trust.failures = trust.failures.saturating_add(1);
        telemetry::tell(|| {
            tracing::warn!(
                { telemetry::CACHE_KEY } = self.key.name(),
                { telemetry::CACHE_CALL } = what,
                { telemetry::COUNT } = trust.failures,
                { telemetry::ERROR } = %telemetry::causes(error),
                "the shared cache failed"
            );
        });
    }
}

/// Reads stored bytes; none if another version wrote them.
fn decode<V: DeserializeOwned>(bytes: &[u8]) -> Result<Option<Read<V>>, CacheError> {
    let header: Header = serde_json::from_slice(bytes).map_err(CacheError::new)?;
    if header.version != VERSION {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(CacheError::new)
}

/// Ends a call that takes too long or panics: it has failed, and takes neither the load nor the repeat with it that it is a part of.
async fn within<T>(call: impl Future<Output = Result<T, CacheError>>) -> Result<T, CacheError> {
    match tokio::time::timeout(CALL_LIMIT, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => Err(CacheError::new(format!("it panicked: {}", panic_message(&*panic)))),
        Err(elapsed) => Err(CacheError::new(elapsed)),
    }
}

#[cfg(test)]
#[path = "second_level_tests.rs"]
mod tests;
