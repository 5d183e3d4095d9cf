//! The settings of the Redis adapters, each with its unit, default and bound.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vip_core::ports::{Clock, Randomness, SystemRandomness};

use super::error::OpenError;

/// Most characters of a name that keeps caches or queues of one server apart.
const NAME_MOST: usize = 64;
/// Longest deadlines that may be configured; whoever waits longer has another problem.
const WAIT_MOST: Duration = Duration::from_secs(60);
/// Longest life of a cached value that may be configured.
const LIFE_MOST: Duration = Duration::from_secs(24 * 3600);

/// Changes the text of a script before it is used; for tests that take a guard away.
pub(super) type ScriptFilter = Arc<dyn Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync>;

/// Says whether a server may be used that can lose everything at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnsafeServer {
    Refused,
    Allowed,
}

/// Holds the settings of a queue or a cache on Redis.
#[derive(Clone)]
#[must_use]
pub struct RedisConfig {
    pub(super) name: String,
    pub(super) connect_deadline: Duration,
    pub(super) answer_deadline: Duration,
    pub(super) life_most: Duration,
    pub(super) unsafe_server: UnsafeServer,
    #[cfg(feature = "redis-tls")]
    pub(super) trusted: Option<Vec<u8>>,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) filter: ScriptFilter,
}

impl RedisConfig {
    /// Returns the settings of a queue: it waits as long as a commit may take.
    pub fn queue() -> Self {
        Self {
            name: "default".to_owned(),
            connect_deadline: Duration::from_secs(2),
            answer_deadline: Duration::from_secs(4),
            life_most: Duration::from_secs(15 * 60),
            unsafe_server: UnsafeServer::Refused,
            #[cfg(feature = "redis-tls")]
            trusted: None,
            clock: None,
            randomness: Arc::new(SystemRandomness),
            filter: Arc::new(|_, text| Cow::Borrowed(text)),
        }
    }

    /// Returns the settings of a cache: it must not be slower than what it spares.
    pub fn cache() -> Self {
        let short = Duration::from_millis(250);
        Self { connect_deadline: short, answer_deadline: short, ..Self::queue() }
    }

    /// Sets the name that keeps queues, or caches, of one server apart. Default `default`; 1 to 64 of `a-z`, `0-9`, `-`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how long a connection may take. Default 2 s for a queue, 250 ms for a cache; from 1 ms to 60 s.
    ///
    /// Afterwards the call answers that nothing was sent.
    pub const fn connect_deadline(mut self, deadline: Duration) -> Self {
        self.connect_deadline = deadline;
        self
    }

    /// Sets how long an answer may take. Default 4 s for a queue, 250 ms for a cache; from 1 ms to 60 s.
    ///
    /// Afterwards the call ends with an error, but for a claim: that waits as long as the lease that it asks for, while the
    /// connection stands, because the server may still grant it. A caller that gives up earlier ends it earlier: this deadline
    /// makes no call longer. Keep that of a queue below `Timing::commit_deadline`.
    pub const fn answer_deadline(mut self, deadline: Duration) -> Self {
        self.answer_deadline = deadline;
        self
    }

    /// Sets for how long a cached value is answered at the most, whatever it was put with. Default 15 minutes, from
    /// 1 s to 24 h.
    ///
    /// It bounds how old a value can be that somebody failed to invalidate before their process ended.
    pub const fn life_most(mut self, life: Duration) -> Self {
        self.life_most = life;
        self
    }

    /// Allows a server for a queue that throws keys away when its memory is full, or keeps no append-only file. The
    /// queue's `durability()` is `Volatile` then, and health says so.
    pub const fn allow_unsafe_server(mut self) -> Self {
        self.unsafe_server = UnsafeServer::Allowed;
        self
    }

    /// Trusts these certificate authorities (PEM) and no others to vouch for the server of a `rediss:` URL. Default: those
    /// that Mozilla trusts, as bundled.
    #[cfg(feature = "redis-tls")]
    pub fn trust(mut self, authorities: impl Into<Vec<u8>>) -> Self {
        self.trusted = Some(authorities.into());
        self
    }

    /// Sets the source of jitter and of the names of a cache's generations, none of which may come twice. Default: the
    /// operating system's.
    pub fn randomness(mut self, randomness: Arc<dyn Randomness>) -> Self {
        self.randomness = randomness;
        self
    }

    /// Sets a clock in place of the server's; for tests, because all processes have to use the same one.
    #[doc(hidden)]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Changes the text of scripts, given their name and text; for tests that take a guard away.
    #[doc(hidden)]
    pub fn script_filter(
        mut self,
        filter: impl Fn(&str, &'static str) -> Cow<'static, str> + Send + Sync + 'static,
    ) -> Self {
        self.filter = Arc::new(filter);
        self
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let least = Duration::from_millis(1);
        let allowed =
            |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
        let is_named = (1..=NAME_MOST).contains(&self.name.len()) && self.name.chars().all(allowed);
        let rules = [
            (is_named, "name must be 1 to 64 of a-z, 0-9 and -"),
            ((least..=WAIT_MOST).contains(&self.connect_deadline), "connect_deadline must be from 1 ms to 60 s"),
            ((least..=WAIT_MOST).contains(&self.answer_deadline), "answer_deadline must be from 1 ms to 60 s"),
            ((Duration::from_secs(1)..=LIFE_MOST).contains(&self.life_most), "life_most must be from 1 s to 24 h"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(OpenError::Config { rule }))
    }

    /// Returns the time that scripts are told: none, so that they ask the server, unless a test has a clock.
    pub(super) fn time(&self) -> String {
        self.clock.as_ref().map_or_else(String::new, |clock| clock.now().as_micros().to_string())
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisConfig")
            .field("name", &self.name)
            .field("connect_deadline", &self.connect_deadline)
            .field("answer_deadline", &self.answer_deadline)
            .field("life_most", &self.life_most)
            .field("unsafe_server", &self.unsafe_server)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound(change: impl FnOnce(RedisConfig) -> RedisConfig) -> bool {
        change(RedisConfig::queue()).check().is_ok()
    }

    #[test]
    fn each_bound_is_accepted_and_one_beyond_is_refused() {
        let (ms, s, nano) = (Duration::from_millis, Duration::from_secs, Duration::from_nanos(1));
        assert!(is_sound(|config| config.name("a".repeat(64))) && is_sound(|config| config.name("a-1")));
        for name in [String::new(), "a".repeat(65), "A".to_owned(), "{a}".to_owned(), "a:b".to_owned()] {
            assert!(!is_sound(|config| config.name(name)));
        }
        for set in [RedisConfig::connect_deadline, RedisConfig::answer_deadline] {
            assert!(is_sound(|config| set(config, ms(1))) && is_sound(|config| set(config, s(60))));
            assert!(!is_sound(|config| set(config, ms(1) - nano)) && !is_sound(|config| set(config, s(60) + nano)));
        }
        assert!(is_sound(|config| config.life_most(s(1))) && is_sound(|config| config.life_most(s(86_400))));
        assert!(!is_sound(|config| config.life_most(s(1) - nano)));
        assert!(!is_sound(|config| config.life_most(s(86_400) + nano)));
        assert!(RedisConfig::cache().check().is_ok());
    }
}
