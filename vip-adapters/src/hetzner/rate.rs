//! What the last answers said of the request budget, for whoever shares it out.

use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use vip_core::ports::RateLimit;

/// Smallest limit that is believed: no limit that we know of gives less than one request a minute. One of zero, said once, would
/// stop the account for an hour.
const LIMIT_LEAST: u32 = 60;

/// Remembers the `RateLimit-*` headers. `RateLimit-Reset` is when the budget is full again and is not read.
#[derive(Debug, Default)]
pub(super) struct Rate(Mutex<Option<RateLimit>>);

impl Rate {
    /// Reads the headers of an answer; one without them, or with a limit that is none, says nothing.
    pub(super) fn saw(&self, headers: &HeaderMap) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
        if let (Some(limit_per_hour), Some(remaining)) = (number("ratelimit-limit"), number("ratelimit-remaining"))
            && limit_per_hour >= LIMIT_LEAST
        {
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

    fn answer(rate: &Rate, limit: &str, remaining: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-limit", limit.parse().unwrap());
        headers.insert("ratelimit-remaining", remaining.parse().unwrap());
        rate.saw(&headers);
    }

    #[test]
    fn the_last_answer_with_both_headers_counts() {
        let rate = Rate::default();
        assert_eq!(rate.last(), None);
        answer(&rate, "3600", "17");
        answer(&rate, "many", "16");
        rate.saw(&HeaderMap::new());
        assert_eq!(rate.last(), Some(RateLimit { limit_per_hour: 3600, remaining: 17, answers: 1 }));
        answer(&rate, "3600", "15");
        assert_eq!(rate.last(), Some(RateLimit { limit_per_hour: 3600, remaining: 15, answers: 2 }));
    }

    #[test]
    fn a_limit_of_less_than_one_request_a_minute_is_not_believed() {
        let rate = Rate::default();
        for limit in [0, 1, LIMIT_LEAST - 1] {
            answer(&rate, &limit.to_string(), "17");
            assert_eq!(rate.last(), None, "{limit}");
        }
        answer(&rate, &LIMIT_LEAST.to_string(), "17");
        let least = Some(RateLimit { limit_per_hour: LIMIT_LEAST, remaining: 17, answers: 1 });
        assert_eq!(rate.last(), least);
        answer(&rate, "0", "0");
        assert_eq!(rate.last(), least, "what was known stays");
    }
}
