//! Keeps what was seen a moment ago, so that looks which come one after another share a request too. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Most answers that are kept.
const MOST: usize = 20_000;

/// How many times longer than a moment what ends a wait is kept for whoever waits.
const WAITED_FOR: u32 = 30;

/// Says how long what was seen counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// For a moment: it may be out of date at any time.
    Now,
    /// Until it was given to whoever waits for it, which comes once: it is what they wait for, and may change later.
    Once,
    /// For as long, however often it is given: it does not change any more.
    Final,
}

/// Is what was seen, and since when it may be out of date.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    seen: BTreeMap<K, Entry<V>>,
    moment: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    at: Instant,
    counts: Counts,
}

impl<K: Ord, V: Clone> Recent<K, V> {
    /// Remembers nothing yet; a moment is the time for which anything counts as seen now.
    pub(super) const fn new(moment: Duration) -> Self {
        Self { seen: BTreeMap::new(), moment }
    }

    /// Keeps an answer to a request that began at `asked`.
    pub(super) fn put(&mut self, key: K, value: V, asked: Instant, counts: Counts) {
        if self.seen.len() >= MOST {
            let moment = self.moment;
            self.seen.retain(|_, entry| entry.counts_at(asked, moment));
        }
        if self.seen.len() < MOST || self.seen.contains_key(&key) {
            self.seen.insert(key, Entry { value, at: asked, counts });
        }
    }

    /// Says whether it would be given.
    pub(super) fn has(&self, key: &K, now: Instant) -> bool {
        self.seen.get(key).is_some_and(|entry| entry.counts_at(now, self.moment))
    }

    /// Gives what was seen.
    pub(super) fn give(&mut self, key: &K, now: Instant) -> Option<V> {
        let entry = self.seen.get_mut(key).filter(|entry| entry.counts_at(now, self.moment))?;
        if entry.counts == Counts::Once {
            entry.counts = Counts::Now;
        }
        Some(entry.value.clone())
    }

    /// Forgets what was seen: it is being changed.
    pub(super) fn forget(&mut self, key: &K) {
        self.seen.remove(key);
    }
}

impl<V> Entry<V> {
    fn counts_at(&self, now: Instant, moment: Duration) -> bool {
        let longest = match self.counts {
            Counts::Now => moment,
            Counts::Once | Counts::Final => moment.saturating_mul(WAITED_FOR),
        };
        now.saturating_duration_since(self.at) <= longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_counts_for_two_seconds_and_not_longer_and_not_after_a_change() {
        let (mut recent, start) = (Recent::new(MOMENT), Instant::now());
        recent.put(1, "a", start, Counts::Now);
        assert_eq!(recent.give(&1, start + MOMENT), Some("a"));
        assert_eq!(recent.give(&1, start + MOMENT + Duration::from_micros(1)), None);
        recent.forget(&1);
        assert_eq!(recent.give(&1, start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_a_wait_is_kept_for_a_minute_and_given_once() {
        let (mut recent, start) = (Recent::new(MOMENT), Instant::now());
        let minute = start + Duration::from_secs(60);
        recent.put(1, "runs", start, Counts::Once);
        assert!(recent.has(&1, minute) && !recent.has(&1, minute + Duration::from_micros(1)));
        assert_eq!((recent.give(&1, minute), recent.give(&1, minute)), (Some("runs"), None));
        recent.put(3, "has ended", start, Counts::Final);
        assert_eq!((recent.give(&3, minute), recent.give(&3, minute)), (Some("has ended"), Some("has ended")));
        // A moment it counts as anything else does, for whoever looks.
        recent.put(2, "runs", start, Counts::Once);
        assert_eq!((recent.give(&2, start), recent.give(&2, start + MOMENT)), (Some("runs"), Some("runs")));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_kept_than_the_bound_and_what_is_old_makes_room() {
        let (mut recent, start) = (Recent::new(MOMENT), Instant::now());
        for key in 0..=MOST {
            recent.put(key, (), start, Counts::Now);
        }
        assert_eq!(recent.seen.len(), MOST);
        recent.put(MOST + 1, (), start + MOMENT + MOMENT, Counts::Now);
        assert_eq!(recent.seen.len(), 1);
    }
}
