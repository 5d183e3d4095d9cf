//! Keeps what was seen a moment ago, so that looks which come one after another share a request too. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Most answers that are kept.
const MOST: usize = 20_000;

/// Is what was seen, and since when it may be out of date.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    seen: BTreeMap<K, (V, Instant)>,
    fresh: Duration,
}

impl<K: Ord, V: Clone> Recent<K, V> {
    /// Remembers nothing yet, and anything for the time for which it counts as one of now.
    pub(super) const fn new(fresh: Duration) -> Self {
        Self { seen: BTreeMap::new(), fresh }
    }

    /// Keeps an answer to a request that began at `asked`.
    pub(super) fn put(&mut self, key: K, value: V, asked: Instant) {
        if self.seen.len() >= MOST {
            let fresh = self.fresh;
            self.seen.retain(|_, (_, at)| asked.saturating_duration_since(*at) <= fresh);
        }
        if self.seen.len() < MOST || self.seen.contains_key(&key) {
            self.seen.insert(key, (value, asked));
        }
    }

    /// Returns what was seen a moment ago.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<V> {
        let (value, at) = self.seen.get(key)?;
        (now.saturating_duration_since(*at) <= self.fresh).then(|| value.clone())
    }

    /// Forgets what was seen: it is being changed.
    pub(super) fn forget(&mut self, key: &K) {
        self.seen.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_counts_for_two_seconds_and_not_longer_and_not_after_a_change() {
        let (mut recent, start) = (Recent::new(FRESH), Instant::now());
        recent.put(1, "a", start);
        assert_eq!(recent.get(&1, start + FRESH), Some("a"));
        assert_eq!(recent.get(&1, start + FRESH + Duration::from_micros(1)), None);
        recent.forget(&1);
        assert_eq!(recent.get(&1, start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_kept_than_the_bound_and_what_is_old_makes_room() {
        let (mut recent, start) = (Recent::new(FRESH), Instant::now());
        for key in 0..=MOST {
            recent.put(key, (), start);
        }
        assert_eq!(recent.seen.len(), MOST);
        recent.put(MOST + 1, (), start + FRESH + FRESH);
        assert_eq!(recent.seen.len(), 1);
    }
}
