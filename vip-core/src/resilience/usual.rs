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
/// Longest duration that is learned from, and for which a create is watched.
const LONGEST: Duration = Duration::from_secs(600);
/// Pauses by which a look is still in time: it comes up to four after the one before, at the next common time, and is answered.
const PAUSES_MOST: u32 = 6;
/// Creates in a row that nobody saw open when they should have ended; after them first looks come in half of the time.
const EARLY_MOST: u32 = 8;

/// Is what was seen of creates so far.
#[derive(Debug)]
pub(super) struct Usual {
    watched: BTreeMap<ProviderServerId, Watched>,
    /// Created here and not seen running yet; its actions may have ended.
    unseen: BTreeMap<ProviderServerId, Unseen>,
    servers: BTreeMap<ProviderActionId, ProviderServerId>,
    open: VecDeque<ProviderActionId>,
    learned: BTreeMap<String, Learned>,
    published: Arc<BTreeMap<String, Duration>>,
    /// What counts as usual while nothing is known.
    first: Duration,
    /// Time between two looks at one server.
    pause: Duration,
}

#[derive(Debug)]
struct Watched {
    server_type: String,
    began: Instant,
    /// How old it was when it was seen last that it had not ended.
    open: Option<Duration>,
    actions: BTreeSet<ProviderActionId>,
}

#[derive(Debug)]
struct Unseen {
    began: Instant,
    /// Page of the inventory on which it stood last.
    page: Option<u32>,
}

/// Is what was learned of one server type.
#[derive(Debug, Default)]
struct Learned {
    samples: VecDeque<Duration>,
    /// Creates in a row that nobody saw open when they should have ended.
    early: u32,
}

impl Learned {
    /// Returns the middle of the durations, once there are enough.
    fn middle(&self) -> Option<Duration> {
        if self.samples.len() < SAMPLES_LEAST {
            return None;
        }
        let mut sorted: Vec<Duration> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Returns what to go by: the middle, or half of it to find out whether it has become too long.
    fn figure(&self) -> Option<Duration> {
        let middle = self.middle()?;
        Some(if self.early >= EARLY_MOST { middle / 2 } else { middle })
    }

    /// Adds a create that had ended when it was `took` old; `open` is a pause more than the age at which it was seen open last.
    ///
    /// The one is a bound from above and nothing more, so the other alone makes the usual time longer.
    fn add(&mut self, took: Duration, open: Duration, first: Duration) {
        let expected = self.figure().unwrap_or(first);
        let most = self.middle().unwrap_or(first).max(open);
        if self.early >= EARLY_MOST {
            // What an early look finds out counts for more than what was assumed of all those before.
            self.samples.iter_mut().for_each(|sample| *sample = took.min(*sample));
        }
        self.early = if open >= expected { 0 } else { self.early.saturating_add(1) };
        self.samples.push_back(took.min(most));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }
}

impl Usual {
    /// Knows nothing yet but how long is waited for a first look, and between two others.
    pub(super) fn new(first: Duration, pause: Duration) -> Self {
        Self {
            watched: BTreeMap::new(),
            unseen: BTreeMap::new(),
            servers: BTreeMap::new(),
            open: VecDeque::new(),
            learned: BTreeMap::new(),
            published: Arc::default(),
            first,
            pause,
        }
    }

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
        let watched = Watched {
            server_type: server_type.to_owned(),
            began: now,
            open: None,
            actions: actions.iter().cloned().collect(),
        };
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

    /// Takes note that an action had not ended at a time.
    pub(super) fn action_is_open(&mut self, action: &ProviderActionId, at: Instant) {
        if let Some(server) = self.servers.get(action).cloned() {
            self.is_open(&server, at);
        }
    }

    /// Takes note that an action failed, or that the provider does not know it: it says nothing of how long creates take.
    pub(super) fn action_says_nothing(&mut self, action: &ProviderActionId) {
        if let Some(server) = self.servers.get(action).cloned() {
            drop(self.forget(&server));
        }
    }

    /// Takes note that a server did not run yet at a time.
    pub(super) fn is_open(&mut self, id: &ProviderServerId, at: Instant) {
        if let Some(watched) = self.watched.get_mut(id) {
            let age = at.saturating_duration_since(watched.began);
            watched.open = watched.open.max(Some(age));
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
        let (learned, took) = (self.learned.get(&watched.server_type), now.saturating_duration_since(watched.began));
        let open = watched.open.map_or(Duration::ZERO, |age| age.saturating_add(self.pause));
        let known = learned.and_then(Learned::middle).unwrap_or(self.first).max(open);
        // Later than that nobody was looking: another process looked after it, or nobody could.
        let is_late = took > LONGEST || took > known.saturating_add(self.pause.saturating_mul(PAUSES_MOST));
        if is_late || (learned.is_none() && self.learned.len() >= TYPES_MOST) {
            return;
        }
        let learned = self.learned.entry(watched.server_type.clone()).or_default();
        learned.add(took, open, self.first);
        if let Some(figure) = learned.figure() {
            let mut all = (*self.published).clone();
            all.insert(watched.server_type, figure);
            self.published = Arc::new(all);
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

    /// Returns what is usual, by server type; now and then less, to find out whether it has become too long.
    pub(super) fn published(&self) -> Arc<BTreeMap<String, Duration>> {
        self.published.clone()
    }
}

#[cfg(test)]
#[path = "usual_tests.rs"]
mod tests;
