//! Counts readers, loads and calls of the second level by how they ended.

use std::error::Error;

use super::answer::{Cached, LoadError};
use crate::telemetry;

/// Counts an answer to a reader and hands it on; `in_time` is what it is called when it is no stale value and no error.
pub(super) fn answer<V, E: Error + 'static>(
    cache: &str,
    in_time: &'static str,
    answer: Result<Cached<V>, LoadError<E>>,
) -> Result<Cached<V>, LoadError<E>> {
    let outcome = match &answer {
        Ok(cached) if cached.is_stale() => "stale",
        Ok(_) => in_time,
        Err(_) => "failed",
    };
    let cache = cache.to_owned();
    metrics::counter!(telemetry::METRIC_CACHE_ANSWERS, "cache" => cache, "outcome" => outcome).increment(1);
    answer
}

/// Counts a load from the source.
pub(super) fn load<V, E: Error + 'static>(cache: &str, loaded: &Result<V, LoadError<E>>) {
    let outcome = match loaded {
        Ok(_) => "ok",
        Err(LoadError::Failed(_)) => "failed",
        Err(LoadError::TimedOut(_)) => "timed_out",
        Err(LoadError::Panicked(_)) => "panicked",
        Err(LoadError::Closed) => "closed",
    };
    metrics::counter!(telemetry::METRIC_CACHE_LOADS, "cache" => cache.to_owned(), "outcome" => outcome).increment(1);
}

/// Counts a call of the cache that processes share.
pub(super) fn shared_call(cache: &str, call: &'static str, outcome: &'static str) {
    let cache = cache.to_owned();
    metrics::counter!(
        telemetry::METRIC_CACHE_SHARED_CALLS, "cache" => cache, "call" => call, "outcome" => outcome
    )
    .increment(1);
}

#[cfg(test)]
#[path = "counted_tests.rs"]
mod tests;
