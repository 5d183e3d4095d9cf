//! What one process keeps of a value, and what to do for a reader; without I/O.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ages::Ages;
use super::answer::{Cached, Freshness, LoadError, StaleReason};
use crate::runtime::Backoff;

/// Pause after a load that failed; doubles up to the second one.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// How a load ended.
pub(super) type Landed<V, E> = Result<Cached<V>, LoadError<E>>;
/// Where readers wait for a load, and go on in the order in which they came.
pub(super) type Flight<V, E> = Shared<oneshot::Receiver<Landed<V, E>>>;

/// Is a value and when its load began.
#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) value: Arc<V>,
    /// Age that it had when it was taken over.
    age: Duration,
    taken: Instant,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), age: self.age, taken: self.taken }
    }
}

impl<V> Entry<V> {
    /// Takes over a value that had an age at a time.
    pub(super) fn aged(value: V, age: Duration, taken: Instant) -> Self {
        Self { value: Arc::new(value), age, taken }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.taken))
    }

    pub(super) fn cached(&self, now: Instant, freshness: Freshness) -> Cached<V> {
        Cached::new(self.value.clone(), self.age(now), freshness)
    }
}

/// Is a load that failed.
#[derive(Debug)]
struct Failure<E: Error + 'static> {
    error: LoadError<E>,
    retry_at: Instant,
    in_a_row: u32,
}

/// Is what one process keeps.
#[derive(Debug)]
pub(super) struct Slot<V, E: Error + 'static> {
    entry: Option<Entry<V>>,
    failure: Option<Failure<E>>,
    flight: Option<Flight<V, E>>,
    /// Counts invalidations: a load that began before one is not kept.
    epoch: u64,
}

/// Is what a load brought.
#[derive(Debug)]
pub(super) enum Loaded<'a, V, E: Error + 'static> {
    /// A value.
    Value(&'a Entry<V>),
    /// Nothing new.
    Failed {
        /// Why.
        error: &'a LoadError<E>,
        /// A value that the second level had, older than its soft age.
        fallback: Option<&'a Entry<V>>,
    },
}

/// Says what to do for a reader.
#[derive(Debug)]
pub(super) enum Plan<V, E: Error + 'static> {
    /// Answer this.
    Answer(Landed<V, E>),
    /// Answer this, and begin a load if none is under way.
    Refresh(Cached<V>),
    /// Wait for a load; begin one if none is under way.
    Load,
}

impl<V, E: Error + 'static> Default for Slot<V, E> {
    fn default() -> Self {
        Self { entry: None, failure: None, flight: None, epoch: 0 }
    }
}

impl<V, E: Error + Send + Sync + 'static> Slot<V, E> {
    pub(super) fn plan(&self, now: Instant, ages: &Ages) -> Plan<V, E> {
        let failure = self.failure.as_ref().filter(|failure| now < failure.retry_at);
        match self.entry.as_ref().filter(|entry| entry.age(now) < ages.hard()) {
            Some(entry) if entry.age(now) < ages.soft() => Plan::Answer(Ok(entry.cached(now, Freshness::Fresh))),
            Some(entry) => match failure {
                Some(failure) => Plan::Answer(Ok(entry.cached(now, stale(&failure.error)))),
                None => {
                    let why = StaleReason::BeingRefreshed;
                    Plan::Refresh(entry.cached(now, Freshness::Stale { why }))
                }
            },
            None => match failure {
                // Whoever asks right after a failure gets it too: the source is not asked once for each reader.
                Some(failure) => Plan::Answer(Err(failure.error.clone())),
                None => Plan::Load,
            },
        }
    }

    /// Returns the load that is under way; one whose task is gone is none.
    pub(super) fn flight(&self) -> Option<Flight<V, E>> {
        self.flight.clone().filter(|flight| !matches!(flight.clone().now_or_never(), Some(Err(_))))
    }

    pub(super) fn begin(&mut self, flight: Flight<V, E>) -> u64 {
        self.flight = Some(flight);
        self.epoch
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes the end of a load over, unless the value was invalidated since the load began.
    pub(super) fn land(&mut self, epoch: u64, loaded: &Loaded<'_, V, E>, now: Instant) {
        if epoch != self.epoch {
            return;
        }
        self.flight = None;
        match loaded {
            Loaded::Value(entry) => {
                self.entry = Some((*entry).clone());
                self.failure = None;
            }
            Loaded::Failed { error, fallback } => {
                let in_a_row = self.failure.as_ref().map_or(0, |failure| failure.in_a_row);
                let pause = Backoff::new(RETRY.0, RETRY.1).ceiling(in_a_row);
                let in_a_row = in_a_row.saturating_add(1);
                self.failure = Some(Failure { error: (*error).clone(), retry_at: now + pause, in_a_row });
                let kept = self.entry.as_ref();
                let is_newer = |found: &&Entry<V>| kept.is_none_or(|kept| found.age(now) < kept.age(now));
                if let Some(newer) = fallback.filter(is_newer) {
                    self.entry = Some(newer.clone());
                }
            }
        }
    }

    pub(super) fn kept(&self) -> Option<&Entry<V>> {
        self.entry.as_ref()
    }

    /// Returns how many loads in a row failed, and how the last one did.
    pub(super) fn failures(&self) -> (u32, Option<String>) {
        let failure = self.failure.as_ref();
        (failure.map_or(0, |failure| failure.in_a_row), failure.map(|failure| failure.error.to_string()))
    }

    /// Forgets everything, and what is being loaded too.
    pub(super) fn forget(&mut self) -> u64 {
        *self = Self { epoch: self.epoch.saturating_add(1), ..Self::default() };
        self.epoch
    }
}

pub(super) fn stale<E: Error + Send + Sync + 'static>(error: &LoadError<E>) -> Freshness {
    Freshness::Stale { why: StaleReason::RefreshFailed(Arc::new(error.clone())) }
}
