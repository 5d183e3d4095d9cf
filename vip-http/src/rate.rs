//! Limits of requests for each tenant and each caller; every process counts what it serves itself.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use vip_core::telemetry;

use crate::auth::Identity;
use crate::limits;
use crate::problem::{Problem, ProblemCode};

/// Says what the limits are.
static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Says what is left of them.
static LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Is how many requests there may be in a time: so many at once, and then as they come back, evenly over the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    requests: NonZeroU32,
    window: Duration,
}

/// Says why a limit cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit has 1 to 1,000,000 requests, and a time of 1 s to 24 h in whole seconds")]
pub struct RateLimitError;

impl RateLimit {
    /// Allows so many requests in a time.
    ///
    /// # Errors
    ///
    /// [`RateLimitError`] unless there are 1 to 1,000,000 requests and the time is from 1 s to 24 h in whole seconds.
    pub fn new(requests: u32, window: Duration) -> Result<Self, RateLimitError> {
        let requests =
            NonZeroU32::new(requests).filter(|it| it.get() <= limits::RATE_REQUESTS).ok_or(RateLimitError)?;
        let is_told_whole = window.subsec_nanos() == 0;
        if window < limits::RATE_WINDOW_LEAST || window > limits::RATE_WINDOW_MOST || !is_told_whole {
            return Err(RateLimitError);
        }
        Ok(Self { requests, window })
    }
}

/// Shows how many in which time.
impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} in {} s", self.requests, self.window.as_secs())
    }
}

/// Is how many requests there may be, by whom; none are limited unless it is said.
///
/// The caller's limit is looked at first and used up also by what the tenant's refuses. Operators are not counted on the
/// routes that are theirs: whoever watches a process and mends it is not to be turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub struct RateLimits {
    /// Of all callers of a tenant together. Default: as many as come.
    pub tenant: Option<RateLimit>,
    /// Of one caller: a key, or the subject of a token. Default: as many as come.
    pub caller: Option<RateLimit>,
}

type Keyed = RateLimiter<String, HashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// Is one limit and who has used how much of it.
struct Counted {
    name: &'static str,
    limit: RateLimit,
    keyed: Keyed,
    /// At how many of whom something is known they are looked through.
    look_at: AtomicUsize,
}

/// Says how one request fared.
#[derive(Debug, Clone, Copy)]
struct Left {
    requests: u32,
    /// How long until there is one more, if there is none.
    wait: Option<Duration>,
}

impl Counted {
    fn new(name: &'static str, limit: RateLimit) -> Option<Self> {
        let quota = Quota::with_period(limit.window / limit.requests.get())?.allow_burst(limit.requests);
        let look_at = AtomicUsize::new(limits::RATE_KEYS);
        Some(Self { name, limit, keyed: RateLimiter::hashmap(quota).with_middleware(), look_at })
    }

    fn take(&self, key: String) -> Left {
        if self.keyed.len() >= self.look_at.load(Ordering::Relaxed) {
            // Whoever has all of it left is as good as unknown. The others are looked through again when they are twice as many:
            // each pays for as much as one of them.
            self.keyed.retain_recent();
            self.look_at.store(limits::RATE_KEYS.max(self.keyed.len().saturating_mul(2)), Ordering::Relaxed);
        }
        match self.keyed.check_key(&key) {
            Ok(state) => Left { requests: state.remaining_burst_capacity(), wait: None },
            Err(until) => Left { requests: 0, wait: Some(until.wait_time_from(DefaultClock::default().now())) },
        }
    }
}

/// Counts requests by tenant and by caller.
#[derive(Clone, Default)]
pub(crate) struct Rates {
    /// The caller's first: what it is refused costs its tenant nothing.
    counted: Arc<[Counted]>,
    policy: Option<HeaderValue>,
}

impl fmt::Debug for Rates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rates").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let both = [("caller", limits.caller), ("tenant", limits.tenant)];
        let counted: Arc<[Counted]> = both.into_iter().filter_map(|(name, limit)| Counted::new(name, limit?)).collect();
        let of_one = |it: &Counted| format!("\"{}\";q={};w={}", it.name, it.limit.requests, it.limit.window.as_secs());
        let policy = counted.iter().map(of_one).collect::<Vec<_>>().join(", ");
        Self { policy: HeaderValue::try_from(policy).ok().filter(|policy| !policy.is_empty()), counted }
    }

    /// Counts a request, and refuses it if there are too many.
    pub(crate) fn take(&self, identity: &Identity, told: Option<&RateTold>) -> Result<(), Problem> {
        let mut left = Vec::with_capacity(self.counted.len());
        let mut refused = None;
        for counted in self.counted.iter() {
            let tenant = identity.tenant().map(|tenant| tenant.as_str());
            let key = match (counted.name, tenant) {
                ("tenant", Some(tenant)) => tenant.to_owned(),
                ("tenant", None) => continue,
                // No tenant has a line break in its name.
                (_, tenant) => format!("{}\n{}", tenant.unwrap_or_default(), identity.subject()),
            };
            let now = counted.take(key);
            let seconds = now.wait.map(|wait| (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1));
            let time = seconds.map(|seconds| format!(";t={seconds}")).unwrap_or_default();
            left.push(format!("\"{}\";r={}{time}", counted.name, now.requests));
            if let Some(seconds) = seconds {
                refused = Some((counted.name, seconds));
                break;
            }
        }
        if let (Some(told), Some(policy)) = (told, &self.policy)
            && let Ok(left) = HeaderValue::try_from(left.join(", "))
        {
            told.set(policy.clone(), left);
        }
        let Some((name, seconds)) = refused else {
            return Ok(());
        };
        telemetry::tell(|| tracing::info!(code = "too_many_requests", limit = name, "request refused"));
        let problem = Problem::new(ProblemCode::TooManyRequests).with_retry_after(Duration::from_secs(seconds));
        Err(problem.with_detail(format!("The limit of the {name} is used up.")))
    }
}

/// Is what the caller is told of its limits, from where they are counted to where the answer is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateTold(Arc<Mutex<Option<(HeaderValue, HeaderValue)>>>);

impl RateTold {
    fn set(&self, policy: HeaderValue, left: HeaderValue) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((policy, left));
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Some((policy, left)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            headers.insert(&POLICY, policy);
            headers.insert(&LEFT, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_one_to_a_million_requests_and_a_time_of_one_second_to_a_day() {
        let seconds = Duration::from_secs;
        for (requests, window) in [(1, limits::RATE_WINDOW_LEAST), (limits::RATE_REQUESTS, limits::RATE_WINDOW_MOST)] {
            assert!(RateLimit::new(requests, window).is_ok());
        }
        let wrong = [
            (0, seconds(1)),
            (limits::RATE_REQUESTS + 1, seconds(1)),
            (1, seconds(1) - Duration::from_nanos(1)),
            (1, seconds(86_400) + seconds(1)),
            (1, seconds(2) - Duration::from_nanos(1)),
        ];
        for (requests, window) in wrong {
            assert_eq!(RateLimit::new(requests, window), Err(RateLimitError), "{requests} {window:?}");
        }
    }

    #[test]
    fn whoever_has_all_of_it_left_is_forgotten_when_there_are_too_many() {
        let limit = RateLimit::new(limits::RATE_REQUESTS, limits::RATE_WINDOW_LEAST).unwrap();
        let counted = Counted::new("caller", limit).unwrap();
        for number in 0..=limits::RATE_KEYS {
            assert_eq!(counted.take(format!("caller-{number}")).wait, None);
        }
        assert!(counted.keyed.len() < limits::RATE_KEYS, "{}", counted.keyed.len());
    }

    #[test]
    fn when_nobody_can_be_forgotten_they_are_looked_through_again_at_twice_as_many() {
        let counted = Counted::new("caller", RateLimit::new(1, limits::RATE_WINDOW_MOST).unwrap()).unwrap();
        for number in 0..limits::RATE_KEYS {
            counted.take(format!("caller-{number}"));
        }
        assert_eq!(counted.look_at.load(Ordering::Relaxed), limits::RATE_KEYS);
        assert!(counted.take("caller-0".to_owned()).wait.is_some(), "nobody is forgiven");
        assert_eq!(counted.look_at.load(Ordering::Relaxed), 2 * limits::RATE_KEYS);
    }
}
