//! What a reader of a kept value is told: the value, how old it is, and why it is not newer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Is a kept value with its age; who needs a fresh one has to look.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cached<T> {
    /// The value, shared with other readers.
    pub value: Arc<T>,
    /// How long ago the load of it began: the value may be as old as that.
    pub age: Duration,
    /// Whether it is within its soft age.
    pub freshness: Freshness,
}

/// Says whether a value is within its soft age.
#[derive(Debug, Clone)]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It is older, and within its hard age.
    Stale {
        /// Why there is no newer one.
        why: StaleReason,
    },
}

/// Says why there is no newer value.
#[derive(Debug, Clone)]
pub enum StaleReason {
    /// A newer one is being loaded in the background.
    BeingRefreshed,
    /// The last load failed; the next reader after a pause begins another.
    RefreshFailed(Arc<dyn Error + Send + Sync>),
}

impl<T> Cached<T> {
    pub(super) const fn new(value: Arc<T>, age: Duration, freshness: Freshness) -> Self {
        Self { value, age, freshness }
    }

    /// Says whether the value is older than its soft age.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        match self.freshness {
            Freshness::Fresh => false,
            Freshness::Stale { .. } => true,
        }
    }
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), age: self.age, freshness: self.freshness.clone() }
    }
}

/// Says why there is no value at all; every reader that waited for the same load gets the same error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E: Error + 'static> {
    /// The source said no.
    #[error("the source failed")]
    Failed(#[source] Arc<E>),
    /// The source did not answer in time.
    #[error("the source did not answer within {0:?}")]
    TimedOut(Duration),
    /// The load panicked; nothing else did.
    #[error("the load panicked: {0}")]
    Panicked(&'static str),
    /// No load is begun any more: the process shuts down.
    #[error("no value is loaded any more")]
    Closed,
}

impl<E: Error + 'static> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::TimedOut(limit) => Self::TimedOut(*limit),
            Self::Panicked(message) => Self::Panicked(message),
            Self::Closed => Self::Closed,
        }
    }
}

/// Says that a value may still be kept somewhere; this process does not serve it.
#[derive(Debug, thiserror::Error)]
#[error("the value could not be invalidated in the second level; this process does not read it there until that works")]
#[non_exhaustive]
pub struct InvalidationError {
    /// What happened beneath.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Says how a kept value fares, for health.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStatus {
    /// Age of the value, if there is one.
    pub age: Option<Duration>,
    /// Loads in a row that failed.
    pub failures: u32,
    /// How the last of them failed.
    pub last_failure: Option<String>,
    /// Calls of the second level in a row that failed.
    pub second_level_failures: u32,
    /// Whether the second level is not read, because an invalidation in it failed.
    pub second_level_distrusted: bool,
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age {
            Some(age) => write!(formatter, "{} s old", age.as_secs())?,
            None => formatter.write_str("nothing kept")?,
        }
        if let Some(last) = &self.last_failure {
            write!(formatter, ", {} failed loads in a row ({last})", self.failures)?;
        }
        if self.second_level_failures > 0 {
            write!(formatter, ", second level failed {} times in a row", self.second_level_failures)?;
        }
        if self.second_level_distrusted {
            formatter.write_str(", second level is not read: an invalidation failed")?;
        }
        Ok(())
    }
}
