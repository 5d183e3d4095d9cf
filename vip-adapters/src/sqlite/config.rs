//! The settings of the SQLite adapter, each with its unit, default and bound.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vip_core::ports::{Clock, Randomness, SystemClock, SystemRandomness};

use crate::missing::Missing;

use super::error::OpenError;

/// Most readers that may be configured: each is a thread and a file handle.
const READERS_MOST: u32 = 64;
/// Longest time-outs that may be configured; whoever waits longer has another problem.
const WAIT_MOST: Duration = Duration::from_secs(60);

/// Says how far a commit is on its way to the disk when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// On the disk: nothing that was answered is lost, as long as the disk is honest.
    Full,
    /// Handed to the operating system: a power failure may take the last commits, never a part of one.
    Normal,
}

impl Synchronous {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// Changes the text of a statement before it is used; for tests that take a guard away.
pub(super) type QueryFilter = Arc<dyn Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync>;

/// Holds the settings of the SQLite adapter.
#[derive(Clone)]
#[must_use]
pub struct SqliteConfig {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) busy_deadline: Duration,
    pub(super) poll_interval: Duration,
    pub(super) readers: u32,
    pub(super) synchronous: Synchronous,
    pub(super) bounded_loss: BoundedLoss,
    pub(super) missing: Missing,
    pub(super) filter: QueryFilter,
}

/// Says whether a setting may be used that can lose the last commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoundedLoss {
    Refused,
    Allowed,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            busy_deadline: Duration::from_secs(4),
            poll_interval: Duration::from_millis(200),
            readers: 4,
            synchronous: Synchronous::Full,
            bounded_loss: BoundedLoss::Refused,
            missing: Missing::Made,
            filter: Arc::new(|_, text| Cow::Borrowed(text)),
        }
    }
}

impl SqliteConfig {
    /// Sets the clock of store and queue. Default: the machine's.
    ///
    /// All processes on one file have to use the same clock; those of one machine do by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the source of the installation's id and of jitter. Default: the operating system's.
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = randomness;
        self
    }

    /// Sets how long a call waits for its turn while others write. Default 4 s, from 1 ms to 60 s.
    ///
    /// Afterwards the call answers `Unavailable`, and nothing was changed. Keep it below `Timing::commit_deadline`.
    pub const fn busy_deadline(mut self, deadline: Duration) -> Self {
        self.busy_deadline = deadline;
        self
    }

    /// Sets how often a waiting worker looks for jobs of other processes. Default 200 ms, from 1 ms to 60 s.
    ///
    /// Jobs of the same process are noticed at once, whatever is set here.
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets how many statements may read at once. Default 4, from 1 to 64; further ones wait up to the busy deadline.
    pub const fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// Sets when a commit is answered. Default [`Synchronous::Full`]; less is refused unless
    /// [`allow_bounded_loss`](Self::allow_bounded_loss) is called, too.
    pub const fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Allows a setting with which a power failure may take the last commits; `durability()` then says so.
    pub const fn allow_bounded_loss(mut self) -> Self {
        self.bounded_loss = BoundedLoss::Allowed;
        self
    }

    /// Refuses a file that is missing, or that has no tables of ours, and makes none. Default: it is made.
    ///
    /// For production: a file that is not where it is looked for is not an empty installation, in which a repeat of an
    /// order would buy a second server.
    pub const fn must_exist(mut self) -> Self {
        self.missing = Missing::Refused;
        self
    }

    /// Changes the text of statements, given their name and text; for tests that take a guard away.
    #[doc(hidden)]
    pub fn query_filter(
        mut self,
        filter: impl Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync + 'static,
    ) -> Self {
        self.filter = Arc::new(filter);
        self
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let least = Duration::from_millis(1);
        let rules = [
            ((least..=WAIT_MOST).contains(&self.busy_deadline), "busy_deadline must be from 1 ms to 60 s"),
            ((least..=WAIT_MOST).contains(&self.poll_interval), "poll_interval must be from 1 ms to 60 s"),
            ((1..=READERS_MOST).contains(&self.readers), "readers must be from 1 to 64"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(OpenError::Config { rule }))
    }
}

impl fmt::Debug for SqliteConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SqliteConfig")
            .field("clock", &self.clock)
            .field("busy_deadline", &self.busy_deadline)
            .field("poll_interval", &self.poll_interval)
            .field("readers", &self.readers)
            .field("synchronous", &self.synchronous)
            .field("bounded_loss", &self.bounded_loss)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(change: impl FnOnce(SqliteConfig) -> SqliteConfig) -> bool {
        change(SqliteConfig::default()).check().is_ok()
    }

    #[test]
    fn each_bound_is_accepted_and_one_beyond_is_refused() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        let beyond = s(60) + Duration::from_nanos(1);
        assert!(is_sound(|config| config.busy_deadline(ms(1))) && is_sound(|config| config.busy_deadline(s(60))));
        assert!(!is_sound(|config| config.busy_deadline(Duration::ZERO)));
        assert!(!is_sound(|config| config.busy_deadline(beyond)));
        assert!(is_sound(|config| config.poll_interval(ms(1))) && is_sound(|config| config.poll_interval(s(60))));
        assert!(!is_sound(|config| config.poll_interval(Duration::ZERO)));
        assert!(!is_sound(|config| config.poll_interval(beyond)));
        assert!(is_sound(|config| config.readers(1)) && is_sound(|config| config.readers(64)));
        assert!(!is_sound(|config| config.readers(0)) && !is_sound(|config| config.readers(65)));
    }
}
