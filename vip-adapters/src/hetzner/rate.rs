//! What the last answers said of the request budget, for whoever shares it out.

use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use vip_core::ports::RateLimit;

/// Remembers the `RateLimit-*` headers. `RateLimit-Reset` is when the budget is full again and is not read.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Option<RateLimit>>);

impl Rate {
    /// Reads the headers of an answer; one without them says nothing.
    pub(super) fn saw(&self, headers: &HeaderMap) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
        if let (Some(limit_per_hour), Some(remaining)) = (number("ratelimit-limit"), number("ratelimit-remaining")) {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let answers = last.map_or(0, |rate| rate.answers).saturating_add(1);
            *last = Some(RateLimit { limit_per_hour, remaining, answers });
        }
    }

    pub(super) fn last(&self) -> Option<RateLimit> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_with_both_headers_counts() {
        let rate = Rate::default();
        let answer = |limit: &str, remaining: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-limit", limit.parse().unwrap());
            headers.insert("ratelimit-remaining", remaining.parse().unwrap());
            rate.saw(&headers);
        };
        assert_eq!(rate.last(), None);
        answer("3600", "17");
        answer("many", "16");
        rate.saw(&HeaderMap::new());
        assert_eq!(rate.last(), Some(RateLimit { limit_per_hour: 3600, remaining: 17, answers: 1 }));
        answer("3600", "15");
        assert_eq!(rate.last(), Some(RateLimit { limit_per_hour: 3600, remaining: 15, answers: 2 }));
    }
}
