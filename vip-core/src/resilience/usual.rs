//! Learns how long creates usually take, and which of their actions are still open. Pure; the time is an argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{ProviderActionId, ProviderServerId};

/// Most creates that are watched at a time; further ones are not learned from.
const WATCHED_MOST: usize = 10_000;
/// Most server types that are told apart; a provider has some dozens.
const TYPES_MOST: usize = 100;
/// Durations that are kept of each type; an odd number has a middle.
const SAMPLES: usize = 31;
/// Durations that it takes to say what is usual.
const SAMPLES_LEAST: usize = 3;
/// Longest duration that is learned from: beyond it nobody was looking.
const LONGEST: Duration = Duration::from_secs(600);

/// Is what was seen of creates so far.
#[derive(Debug, Default)]
pub(super) struct Usual {
    watched: BTreeMap<ProviderServerId, Watched>,
    /// Created here and not seen running yet; its actions may have ended.
    unseen: BTreeMap<ProviderServerId, Unseen>,
    servers: BTreeMap<ProviderActionId, ProviderServerId>,
    open: VecDeque<ProviderActionId>,
    samples: BTreeMap<String, VecDeque<Duration>>,
    published: Arc<BTreeMap<String, Duration>>,
}

#[derive(Debug)]
struct Watched {
    server_type: String,
    began: Instant,
    actions: BTreeSet<ProviderActionId>,
}

#[derive(Debug)]
struct Unseen {
    began: Instant,
    /// Page of the inventory on which it stood last.
    page: Option<u32>,
}

impl Usual {
    /// Begins to watch a create that was answered.
    pub(super) fn began(
        &mut self,
        id: &ProviderServerId,
        server_type: &str,
        actions: &[ProviderActionId],
        now: Instant,
    ) {
        if self.unseen.len() >= WATCHED_MOST {
            self.forget_old(now);
        }
        if self.unseen.len() >= WATCHED_MOST {
            return;
        }
        self.unseen.insert(id.clone(), Unseen { began: now, page: None });
        let watched =
            Watched { server_type: server_type.to_owned(), began: now, actions: actions.iter().cloned().collect() };
        self.watched.insert(id.clone(), watched);
        for action in actions {
            self.servers.insert(action.clone(), id.clone());
            self.open.push_back(action.clone());
        }
    }

    /// Takes note that an action has ended; after the last one of a create its duration is known.
    pub(super) fn action_ended(&mut self, action: &ProviderActionId, now: Instant) {
        let Some(server) = self.servers.remove(action) else {
            return;
        };
        let last = self.watched.get_mut(&server).is_some_and(|watched| {
            watched.actions.remove(action);
            watched.actions.is_empty()
        });
        if last {
            self.learn(&server, now);
        }
    }

    /// Takes note that a server runs.
    pub(super) fn is_running(&mut self, id: &ProviderServerId, now: Instant) {
        self.unseen.remove(id);
        self.learn(id, now);
    }

    fn learn(&mut self, id: &ProviderServerId, now: Instant) {
        let Some(watched) = self.forget(id) else {
            return;
        };
        let took = now.saturating_duration_since(watched.began);
        if took > LONGEST || (self.samples.len() >= TYPES_MOST && !self.samples.contains_key(&watched.server_type)) {
            return;
        }
        let samples = self.samples.entry(watched.server_type.clone()).or_default();
        samples.push_back(took);
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
        if samples.len() >= SAMPLES_LEAST {
            let mut sorted: Vec<Duration> = samples.iter().copied().collect();
            sorted.sort_unstable();
            if let Some(middle) = sorted.get(sorted.len() / 2) {
                let mut known = (*self.published).clone();
                known.insert(watched.server_type, *middle);
                self.published = Arc::new(known);
            }
        }
    }

    /// Stops watching a server: it is being removed.
    pub(super) fn removed(&mut self, id: &ProviderServerId) {
        self.unseen.remove(id);
        drop(self.forget(id));
    }

    fn forget(&mut self, id: &ProviderServerId) -> Option<Watched> {
        let watched = self.watched.remove(id)?;
        for action in &watched.actions {
            self.servers.remove(action);
        }
        Some(watched)
    }

    /// Forgets creates that another process looked after.
    fn forget_old(&mut self, now: Instant) {
        let is_old = |unseen: &Unseen| now.saturating_duration_since(unseen.began) > LONGEST;
        let old: Vec<ProviderServerId> =
            self.unseen.iter().filter(|(_, unseen)| is_old(unseen)).map(|(id, _)| id.clone()).collect();
        old.iter().for_each(|id| self.removed(id));
    }

    /// Counts the new servers that were not seen running yet, without those that another process looked after.
    pub(super) fn watched(&mut self, now: Instant) -> usize {
        self.forget_old(now);
        self.unseen.len()
    }

    /// Takes note of the page of the inventory on which a new server stands.
    pub(super) fn stands_on(&mut self, id: &ProviderServerId, page: u32) {
        if let Some(unseen) = self.unseen.get_mut(id) {
            unseen.page = Some(page);
        }
    }

    /// Returns the page on which a new server stood when it was seen last.
    pub(super) fn page(&self, id: &ProviderServerId) -> Option<u32> {
        self.unseen.get(id)?.page
    }

    /// Says whether a server is new and was not seen running yet.
    pub(super) fn watches(&self, id: &ProviderServerId) -> bool {
        self.unseen.contains_key(id)
    }

    /// Returns up to `most` actions that are still open, those of the oldest creates first.
    pub(super) fn open_actions(&mut self, most: usize) -> Vec<ProviderActionId> {
        let servers = &self.servers;
        self.open.retain(|action| servers.contains_key(action));
        self.open.iter().take(most).cloned().collect()
    }

    /// Returns what is usual, by server type.
    pub(super) fn published(&self) -> Arc<BTreeMap<String, Duration>> {
        self.published.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: usize) -> ProviderServerId {
        ProviderServerId::new(n.to_string()).unwrap()
    }

    fn action(n: usize) -> ProviderActionId {
        ProviderActionId::new(n.to_string()).unwrap()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn the_usual_time_is_the_median_of_the_last_creates_and_known_after_three() {
        let (mut usual, start) = (Usual::default(), Instant::now());
        for (n, took) in [10, 11, 300].into_iter().enumerate() {
            assert!(usual.published().is_empty());
            usual.began(&server(n), "small", &[action(n)], start);
            usual.action_ended(&action(n), start + seconds(took));
        }
        assert_eq!(usual.published().get("small"), Some(&seconds(11)));
        for n in 0..SAMPLES {
            usual.began(&server(n), "small", &[], start);
            usual.is_running(&server(n), start + seconds(20));
        }
        assert_eq!(usual.published().get("small"), Some(&seconds(20)));
        assert_eq!(usual.samples["small"].len(), SAMPLES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_is_too_long_is_not_learned_from_and_one_at_the_bound_is() {
        let (mut usual, start) = (Usual::default(), Instant::now());
        for (n, took) in [LONGEST + Duration::from_micros(1), LONGEST, LONGEST].into_iter().enumerate() {
            usual.began(&server(n), "small", &[], start);
            usual.is_running(&server(n), start + took);
        }
        assert_eq!(usual.samples["small"].len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_creates_and_types_are_watched_than_the_bounds_say() {
        let (mut usual, start) = (Usual::default(), Instant::now());
        for n in 0..=WATCHED_MOST {
            usual.began(&server(n), "small", &[], start);
        }
        assert_eq!(usual.watched(start), WATCHED_MOST);
        // Those that nobody looked after here make room.
        usual.began(&server(WATCHED_MOST), "small", &[], start + LONGEST + seconds(1));
        assert_eq!(usual.watched(start + LONGEST + seconds(1)), 1);
        let mut usual = Usual::default();
        for n in 0..=TYPES_MOST {
            usual.began(&server(n), &format!("type-{n}"), &[], start);
            usual.is_running(&server(n), start);
        }
        assert_eq!(usual.samples.len(), TYPES_MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn open_actions_are_those_that_have_not_ended_and_whose_server_is_still_wanted() {
        let (mut usual, start) = (Usual::default(), Instant::now());
        for n in 0..4 {
            usual.began(&server(n), "small", &[action(n), action(n + 10)], start);
        }
        usual.action_ended(&action(0), start);
        usual.removed(&server(1));
        usual.is_running(&server(2), start);
        assert_eq!(usual.open_actions(9), [action(10), action(3), action(13)]);
        assert_eq!(usual.open_actions(2), [action(10), action(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_actions_have_ended_is_new_until_it_is_seen_running() {
        let (mut usual, start) = (Usual::default(), Instant::now());
        usual.began(&server(1), "small", &[action(1)], start);
        usual.action_ended(&action(1), start);
        assert!(usual.watches(&server(1)));
        usual.is_running(&server(1), start);
        assert!(!usual.watches(&server(1)));
    }
}
