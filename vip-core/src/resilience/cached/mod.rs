//! Keeps a value that somebody else knows: one load at a time, and answers that say how old they are.
//!
//! For values that may be some minutes old, such as a provider's catalog; never for a decision about a server.

mod ages;
mod answer;
mod counted;
mod second_level;
mod slot;

use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use ages::{Ages, AgesError};
pub use answer::{CacheStatus, Cached, Freshness, InvalidationError, LoadError, StaleReason};

use crate::model::Timestamp;
use crate::ports::{Cache, CacheKey, Clock};
use crate::runtime::{Backoff, panic_message};
use crate::telemetry;
use second_level::SecondLevel;
use slot::{Entry, Flight, Landed, Loaded, Plan, Slot};

/// Longest load: ends one whose source has no deadline of its own.
const LOAD_LIMIT: Duration = Duration::from_secs(120);
/// Pause before a failed invalidation is tried again; doubles up to the second one.
const INVALIDATE_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// How often it is tried again: for some eight minutes, and once more when the process ends.
const INVALIDATE_TRIES: u32 = 10;

/// Is where a value comes from.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What is loaded; it is written to a second level as JSON.
    type Value: fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Why it could not be loaded.
    type Error: Error + Send + Sync + 'static;

    /// Names the value where it is counted: one of few names, and none with the name of a tenant.
    fn name(&self) -> String;

    /// Loads the value.
    ///
    /// # Errors
    ///
    /// Whatever the source says; all who wait for this load are told.
    async fn load(&self) -> Result<Self::Value, Self::Error>;
}

/// Keeps the value of a source.
///
/// # Guarantees
///
/// * Readers that need a value wait for one load. It runs in a task of its own: a reader that goes away does not end it,
///   and a panic in it is an error for all who wait (`readers_share_one_load_that_outlives_them`).
/// * Within the soft age a value is served as it is; from then on it is served, said to be stale, and loaded anew in the
///   background (`from_the_soft_age_on_a_value_is_served_stale_and_loaded_anew`).
/// * From the hard age on it is not served, whatever happened to the source (`from_the_hard_age_on_an_error_is_an_error`).
/// * After [`CachedSource::invalidate`] began, nothing that was loaded before is served to a reader that comes later, also
///   if it failed (`what_could_not_be_invalidated_is_not_served`).
/// * An invalidation that failed in the second level is tried again in the background, ten times within some eight
///   minutes and once more at [`CachedSource::close`], until it has worked or a newer value stands there
///   (`a_failed_invalidation_is_tried_again_until_it_works`).
/// * A call of the second level that panics has failed, and the source is asked
///   (`a_second_level_that_panics_costs_speed_and_is_seen`).
/// * After a failure the source is left alone for 2 s, doubling up to 60 s.
/// * Each reader, each load and each call of the second level is counted by how it ended
///   (`readers_loads_and_calls_of_the_second_level_are_counted_by_how_they_ended`).
#[derive(Debug)]
pub struct CachedSource<S: Source> {
    inner: Arc<Inner<S>>,
}

/// Is what a reader gets at once, or waits for.
enum Kept<V, E: Error + 'static> {
    Answer(Landed<V, E>),
    Wait(Flight<V, E>),
}

/// Tries a failed invalidation again. However it ends, also by a panic, the next failure begins another one.
struct Retry<S: Source>(Arc<Inner<S>>);

impl<S: Source> Retry<S> {
    async fn run(self) {
        self.0.forget_again().await;
    }
}

impl<S: Source> Drop for Retry<S> {
    fn drop(&mut self) {
        self.0.retrying.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Inner<S: Source> {
    source: S,
    name: String,
    ages: Ages,
    second: Option<SecondLevel>,
    slot: Mutex<Slot<S::Value, S::Error>>,
    tasks: TaskTracker,
    closing: CancellationToken,
    /// Whether a failed invalidation is being tried again.
    retrying: AtomicBool,
}

impl<S: Source> CachedSource<S> {
    /// Keeps the value of a source in this process alone.
    #[must_use]
    pub fn new(source: S, ages: Ages) -> Self {
        Self::with(source, ages, None)
    }

    /// Keeps the value of a source in this process and in a cache that processes share.
    #[must_use]
    pub fn shared(source: S, ages: Ages, cache: Arc<dyn Cache>, key: CacheKey, clock: Arc<dyn Clock>) -> Self {
        let second = SecondLevel::new(cache, key, clock, source.name());
        Self::with(source, ages, Some(second))
    }

    fn with(source: S, ages: Ages, second: Option<SecondLevel>) -> Self {
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let (slot, retrying) = (Mutex::default(), AtomicBool::new(false));
        let name = source.name();
        Self { inner: Arc::new(Inner { source, name, ages, second, slot, tasks, closing, retrying }) }
    }

    /// Returns the value: a kept one, or one that is loaded now.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if there is none within its hard age and none could be loaded.
    ///
    /// # Cancel safety
    ///
    /// Dropping it does not end the load that it waits for.
    pub async fn get(&self) -> Result<Cached<S::Value>, LoadError<S::Error>> {
        let name = &self.inner.name;
        let flight = match self.kept() {
            Kept::Answer(answer) => return counted::answer(name, "hit", answer),
            Kept::Wait(flight) => flight,
        };
        // Or the task went away without an end: the runtime is shutting down.
        counted::answer(name, "miss", flight.await.unwrap_or(Err(LoadError::Closed)))
    }

    /// Says what a reader gets at once, or what it waits for; begins a load if one is needed.
    fn kept(&self) -> Kept<S::Value, S::Error> {
        let mut slot = self.inner.slot();
        match slot.plan(Instant::now(), &self.inner.ages) {
            Plan::Answer(answer) => Kept::Answer(answer),
            Plan::Refresh(stale) => {
                if slot.flight().is_none() && !self.inner.closing.is_cancelled() {
                    drop(self.launch(&mut slot));
                }
                Kept::Answer(Ok(stale))
            }
            Plan::Load => match slot.flight() {
                Some(flight) => Kept::Wait(flight),
                None if self.inner.closing.is_cancelled() => Kept::Answer(Err(LoadError::Closed)),
                None => Kept::Wait(self.launch(&mut slot)),
            },
        }
    }

    /// Forgets the value, here and in the second level.
    ///
    /// # Errors
    ///
    /// [`InvalidationError`] if the second level did not do it: this process reads nothing there until that has worked,
    /// or until a newer value has overwritten the old one. Other processes may serve it up to its hard age.
    ///
    /// # Cancel safety
    ///
    /// Dropped halfway, it counts as failed.
    pub async fn invalidate(&self) -> Result<(), InvalidationError> {
        let epoch = self.inner.slot().forget();
        let Some(second) = &self.inner.second else { return Ok(()) };
        let forgotten = second.forget(epoch).await;
        if forgotten.is_err() && !self.inner.retrying.swap(true, Ordering::SeqCst) {
            self.inner.tasks.spawn(Retry(self.inner.clone()).run());
        }
        forgotten
    }

    /// Says how the value fares.
    #[must_use]
    pub fn status(&self) -> CacheStatus {
        let (second_level_failures, second_level_distrusted) =
            self.inner.second.as_ref().map_or((0, false), SecondLevel::status);
        let slot = self.inner.slot();
        let (failures, last_failure) = slot.failures();
        let age = slot.kept().map(|entry| entry.age(Instant::now()));
        CacheStatus { age, failures, last_failure, second_level_failures, second_level_distrusted }
    }

    /// Begins no load any more, ends those under way, and waits for them.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn launch(&self, slot: &mut Slot<S::Value, S::Error>) -> Flight<S::Value, S::Error> {
        let (sender, flight) = oneshot::channel();
        let flight = flight.shared();
        let epoch = slot.begin(flight.clone());
        let inner = self.inner.clone();
        self.inner.tasks.spawn(async move { inner.run(epoch, sender).await });
        flight
    }
}

impl<S: Source> Inner<S> {
    fn slot(&self) -> MutexGuard<'_, Slot<S::Value, S::Error>> {
        // No step under the lock can leave it half changed.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads once: from the second level if it has a fresh value, else from the source.
    async fn run(&self, epoch: u64, sender: oneshot::Sender<Landed<S::Value, S::Error>>) {
        let kept = match &self.second {
            Some(second) => second.read(&self.ages).await,
            None => None,
        };
        if let Some(entry) = kept.as_ref().filter(|entry| entry.age(Instant::now()) < self.ages.soft()) {
            return self.land(epoch, &Loaded::Value(entry), sender);
        }
        let (began, began_at) = (Instant::now(), self.second.as_ref().map(SecondLevel::now));
        let loaded = self.load().await;
        counted::load(&self.name, &loaded);
        match loaded {
            Ok(value) => {
                let entry = Entry::aged(value, Duration::ZERO, began);
                // Readers first: they do not wait for the second level.
                self.land(epoch, &Loaded::Value(&entry), sender);
                if let (Some(second), Some(began_at)) = (&self.second, began_at) {
                    self.keep(second, &entry, began_at, epoch).await;
                }
            }
            Err(error) => {
                self.land(epoch, &Loaded::Failed { error: &error, fallback: kept.as_ref() }, sender);
            }
        }
    }

    async fn keep(&self, second: &SecondLevel, entry: &Entry<S::Value>, began_at: Timestamp, epoch: u64) {
        if self.slot().epoch() != epoch {
            return;
        }
        let life = self.ages.hard().saturating_sub(entry.age(Instant::now()));
        second.write(entry.value.as_ref(), began_at, life, epoch).await;
        let newer = self.slot().epoch();
        if newer != epoch
            && let Err(error) = second.forget(newer).await
        {
            // It was invalidated while it was written; the second level stays unread here, and health says so.
            telemetry::tell(|| {
                tracing::warn!(error = %telemetry::causes(&error), "a value that was invalidated is still kept");
            });
        }
    }

    /// Tries a failed invalidation again; a newer value in the second level makes it unnecessary.
    async fn forget_again(&self) {
        let pauses = Backoff::new(INVALIDATE_AGAIN.0, INVALIDATE_AGAIN.1);
        for failures in 0..INVALIDATE_TRIES {
            let is_last = tokio::select! {
                () = self.closing.cancelled() => true,
                () = tokio::time::sleep(pauses.ceiling(failures)) => false,
            };
            let open = self.second.as_ref().and_then(|second| Some((second, second.distrusted()?)));
            let Some((second, epoch)) = open else { return };
            match second.forget(epoch).await {
                Ok(()) => return,
                Err(error) if is_last => {
                    telemetry::tell(|| {
                        tracing::error!(error = %telemetry::causes(&error), "a value that was invalidated is still kept");
                    });
                    return;
                }
                // It was counted and logged.
                Err(_) => {}
            }
        }
    }

    async fn load(&self) -> Result<S::Value, LoadError<S::Error>> {
        let work = AssertUnwindSafe(self.source.load()).catch_unwind();
        let ended = tokio::select! {
            () = self.closing.cancelled() => return Err(LoadError::Closed),
            ended = tokio::time::timeout(LOAD_LIMIT, work) => ended,
        };
        match ended {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(LoadError::Failed(Arc::new(error))),
            Ok(Err(panic)) => Err(LoadError::Panicked(panic_message(&*panic))),
            Err(_elapsed) => Err(LoadError::TimedOut(LOAD_LIMIT)),
        }
    }

    fn land(
        &self,
        epoch: u64,
        loaded: &Loaded<'_, S::Value, S::Error>,
        sender: oneshot::Sender<Landed<S::Value, S::Error>>,
    ) {
        let now = Instant::now();
        let answer = match loaded {
            Loaded::Value(entry) => Ok(entry.cached(now, Freshness::Fresh)),
            Loaded::Failed { error, fallback: Some(kept) } => Ok(kept.cached(now, slot::stale(error))),
            Loaded::Failed { error, fallback: None } => Err((*error).clone()),
        };
        self.slot().land(epoch, loaded, now);
        // Nobody may be waiting for it.
        drop(sender.send(answer));
    }
}

#[cfg(test)]
mod tests;
