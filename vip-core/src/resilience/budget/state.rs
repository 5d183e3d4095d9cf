//! Who may send a request now, who waits, and for how long. Pure; the time is an argument.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ports::{Pace, Priority, ProviderError, RateLimit};

/// Requests an hour while the provider has not said how many.
const DEFAULT_LIMIT: u32 = 3600;
/// Longest pause after throttling: no limit that we know of gives less than one request a minute.
const THROTTLED_MOST: Duration = Duration::from_secs(60);
/// Most doublings of the pause after throttling: requests come back evenly, so a longer pause leaves them to others.
const THROTTLED_DOUBLINGS: u32 = 3;
/// Most turns within which all are asked back while nobody knows how much is left.
const DOUBT_TURNS: u32 = 8;
/// Shortest time that somebody who leaves is told to stay away: a request may be due sooner, and whoever waits for one
/// day in a crowd would ask for it all the time.
const AWAY_LEAST: Duration = Duration::from_secs(1);
/// Longest time that somebody who leaves is told to stay away.
const AWAY_MOST: Duration = Duration::from_secs(300);

/// Of so many requests that come back one is for [`Priority::BestEffort`] while less is left than that has to leave free, or others wait
/// before it: they may keep it so for days. Of creates and of deletes, and in each process: one knows nothing of the tries of another.
const BEST_EFFORT_SHARE: u32 = 20;
/// The same after one that was not in vain, for the next may not be either; of creates and deletes together.
const DONE_SHARE: u32 = 2;
/// As what a try goes by its share: the first that leaves more free than a poll. The shares of some processes together may be all that
/// comes back, and at the level that polls leave free each of them would take turns from polls in another one.
const SHARE_GOES_AS: Priority = Priority::UserRead;

/// Returns the percent of the limit that has to stay free after a request of this priority.
pub(super) const fn reserve_percent(priority: Priority) -> u8 {
    match priority {
        Priority::Settle => 0,
        Priority::Change => 2,
        Priority::Poll => 10,
        Priority::UserRead => 15,
        Priority::Sweep => 30,
        Priority::Catalog => 50,
        // Above all others, so that none of them ever waits for it; below the whole, so that it has its turn when they rest.
        Priority::BestEffort => 60,
    }
}

/// Returns how much has to be left for a request.
fn needed(limit: u32, priority: Priority, cost: u32) -> f64 {
    let free = f64::from(limit) * f64::from(reserve_percent(priority)) / 100.0;
    // What must stay free must not make a request impossible where the limit is tiny.
    (free + f64::from(cost)).min(f64::from(limit))
}

/// Is a place among those who wait: the most urgent first, then who came first.
pub(super) type Place = (Priority, u64);

/// Is what a call wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) priority: Priority,
    /// Requests that the call takes at the least.
    pub(super) cost: u32,
    pub(super) is_create: bool,
}

/// Is what a call is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may send.
    Go,
    /// It may not before this time, counted from the birth of the budget.
    Wait(Duration),
}

/// Says how a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was answered, and what was asked is done.
    Done,
    /// It was answered, whatever was said.
    Answered,
    /// It was sent, or may have been, and no answer says how much is left.
    Unanswered,
    /// It was held back behind us: what it took is given back.
    No,
    /// The provider refused it as one too many; when the next one has a chance.
    Throttled(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Level {
    limit: u32,
    tokens: f64,
    at: Duration,
}

/// Is the state of one account's budget in this process.
#[derive(Debug)]
pub(super) struct Ledger {
    level: Option<Level>,
    /// The last answer whose headers were read.
    answers: u64,
    under_way: u32,
    blocked_until: Duration,
    throttles: u32,
    /// Whether nothing was answered since the provider refused a request as one too many.
    doubtful: bool,
    paced_until: Duration,
    waiting: BTreeSet<Place>,
    places: u64,
    away: Away,
    /// The same of [`Priority::BestEffort`]: they are many for long, and nobody else comes back later for it.
    away_best_effort: Away,
    /// What creates that are only tried may take while there is not enough for them.
    creates: Share,
    /// The same of deletes: a server that is paid for does not stand back for orders that wait for stock.
    deletes: Share,
}

/// Is the share of one kind of [`Priority::BestEffort`].
#[derive(Debug, Clone, Copy)]
struct Share {
    /// From when on one may go as [`SHARE_GOES_AS`]: by its reserve, and before all who wait for less. Empty while there is enough.
    from: Option<Duration>,
    /// When the last one ended that was not in vain.
    done: Option<Duration>,
}

impl Share {
    const UNUSED: Self = Self { from: None, done: None };
}

/// Counts those who were told to come back, less those whose time has come.
#[derive(Debug, Clone, Copy)]
struct Away {
    count: f64,
    at: Duration,
}

impl Away {
    const NOBODY: Self = Self { count: 0.0, at: Duration::ZERO };
}

impl Ledger {
    pub(super) const fn new() -> Self {
        Self {
            level: None,
            answers: 0,
            under_way: 0,
            blocked_until: Duration::ZERO,
            throttles: 0,
            doubtful: false,
            paced_until: Duration::ZERO,
            waiting: BTreeSet::new(),
            places: 0,
            away: Away::NOBODY,
            away_best_effort: Away::NOBODY,
            creates: Share::UNUSED,
            deletes: Share::UNUSED,
        }
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the limit and what is left of it, as far as it is known.
    pub(super) fn left(&self, now: Duration) -> Option<(u32, f64)> {
        let level = self.level?;
        let refilled = now.saturating_sub(level.at).as_secs_f64() * f64::from(level.limit) / 3600.0;
        Some((level.limit, (level.tokens + refilled).min(f64::from(level.limit))))
    }

    /// Takes a place among those who wait.
    pub(super) fn queue(&mut self, priority: Priority) -> Place {
        self.places = self.places.saturating_add(1);
        let place = (priority, self.places);
        self.waiting.insert(place);
        place
    }

    /// Leaves.
    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// Says whether it is a call's turn; if so, it has left the queue and taken what it costs.
    pub(super) fn turn(&mut self, now: Duration, place: Place, want: Want, pace: Option<Pace>) -> Turn {
        let priority = self.goes_as(now, want);
        let ready = self.ready(now, Want { priority, ..want }, pace);
        let before = self.waiting.range(..(priority, place.1)).count();
        let next_share = now.saturating_add(self.interval(pace).saturating_mul(BEST_EFFORT_SHARE));
        if before > 0 || ready > now {
            if want.priority == Priority::BestEffort {
                self.share(want).from.get_or_insert(next_share);
            }
            let theirs = self.interval(pace).saturating_mul(u32::try_from(before).unwrap_or(u32::MAX));
            return Turn::Wait(ready.max(now).saturating_add(theirs));
        }
        self.waiting.remove(&place);
        let left = self.left(now);
        if want.priority == Priority::BestEffort {
            let is_scarce = left.is_some_and(|(limit, tokens)| tokens < needed(limit, Priority::BestEffort, want.cost));
            self.share(want).from = is_scarce.then_some(next_share);
        }
        if let Some((limit, tokens)) = left {
            self.level = Some(Level { limit, tokens: tokens - f64::from(want.cost), at: now });
        }
        self.under_way = self.under_way.saturating_add(1);
        let interval = self.interval(pace).saturating_mul(want.cost);
        self.paced_until = if pace.is_some() { now.saturating_add(interval) } else { Duration::ZERO };
        Turn::Go
    }

    /// Returns as what a call stands in line and has its turn: what is only tried as more than that once its share is due, but not while
    /// nobody knows how much is left.
    fn goes_as(&mut self, now: Duration, want: Want) -> Priority {
        let is_due = !self.doubtful && self.share(want).from.is_some_and(|from| now >= from);
        if want.priority == Priority::BestEffort && is_due { SHARE_GOES_AS } else { want.priority }
    }

    const fn share(&mut self, want: Want) -> &mut Share {
        if want.is_create { &mut self.creates } else { &mut self.deletes }
    }

    /// Brings the share after a try that was not in vain nearer: half as much if tries of the other kind are not in vain either.
    fn was_done(&mut self, now: Duration, want: Want) {
        let interval = self.interval(None);
        let lately = interval.saturating_mul(BEST_EFFORT_SHARE);
        let other = if want.is_create { self.deletes } else { self.creates };
        let kinds = if other.done.is_some_and(|at| now.saturating_sub(at) <= lately) { 2 } else { 1 };
        let from = Some(now.saturating_add(interval.saturating_mul(DONE_SHARE * kinds)));
        *self.share(want) = Share { from, done: Some(now) };
    }

    /// Returns the first time at which the first one who waits may send.
    fn ready(&self, now: Duration, want: Want, pace: Option<Pace>) -> Duration {
        let mut ready = self.blocked_until;
        if pace.is_some() {
            ready = ready.max(self.paced_until);
        }
        // After throttling one request asks how much is left, whatever was told then.
        let asks = self.doubtful && self.under_way == 0;
        if let Some((limit, tokens)) = self.left(now).filter(|_| !asks) {
            let needed = needed(limit, want.priority, want.cost);
            if tokens < needed {
                let wait = (needed - tokens) * 3600.0 / f64::from(limit.max(1));
                ready = ready.max(now.saturating_add(Duration::from_secs_f64(wait)));
            }
        }
        ready
    }

    /// Returns the time in which one request comes back.
    fn interval(&self, pace: Option<Pace>) -> Duration {
        let limit = self.level.map_or(DEFAULT_LIMIT, |level| level.limit).max(1);
        let percent = pace.map_or(100, |pace| pace.percent).clamp(1, 100);
        Duration::from_secs(3600).mul_f64(100.0 / (f64::from(limit) * f64::from(percent)))
    }

    /// Says why somebody has no turn: whether others leave none, or the provider is not as well as usual.
    pub(super) const fn why_no_turn(&self, pace: Option<Pace>) -> &'static str {
        if self.doubtful || pace.is_some() { ProviderError::EASING } else { ProviderError::NO_TURN }
    }

    /// Says when to come back to somebody who does not wait: after all who were told so before.
    pub(super) fn send_away(
        &mut self,
        now: Duration,
        priority: Priority,
        turn: Duration,
        pace: Option<Pace>,
    ) -> Duration {
        let interval = self.interval(pace);
        // What the refusal said of the rest is no reason to stay away for long: the one that asks may find plenty.
        let soon = self.blocked_until.max(now).saturating_add(interval);
        let turn = if self.doubtful { turn.min(soon) } else { turn };
        // When the pace ends, what has been saved up meanwhile may be spent at once.
        let most = pace.map_or(AWAY_MOST, |pace| pace.full_after.saturating_add(interval)).min(AWAY_MOST);
        // Whoever is told the longest time is not counted on: else they would be told it long after all have gone.
        let places = AWAY_MOST.as_secs_f64() / interval.as_secs_f64().max(f64::MIN_POSITIVE);
        let away = if priority == Priority::BestEffort { &mut self.away_best_effort } else { &mut self.away };
        let passed = now.saturating_sub(away.at).as_secs_f64() / interval.as_secs_f64().max(f64::MIN_POSITIVE);
        away.count = (away.count - passed).clamp(0.0, places);
        away.at = now;
        let wait = turn.saturating_sub(now).saturating_add(interval.mul_f64(away.count));
        away.count += 1.0;
        let doubt = turn.saturating_sub(now).saturating_add(interval.saturating_mul(DOUBT_TURNS));
        let most = if self.doubtful { most.min(doubt) } else { most };
        wait.min(most).max(AWAY_LEAST)
    }

    /// Takes note of how a call ended and of what the last answer said.
    pub(super) fn ended(&mut self, now: Duration, want: Want, sent: Sent, rate: Option<RateLimit>) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(rate) = rate.filter(|rate| rate.answers > self.answers) {
            self.answers = rate.answers;
            let told = f64::from(rate.remaining);
            // Upward the answer counts only when nothing is under way that it does not know of.
            let tokens = match self.left(now) {
                Some((_, known)) if self.under_way > 0 => known.min(told),
                Some(_) => told,
                None => told - f64::from(self.under_way),
            };
            self.level = Some(Level { limit: rate.limit_per_hour.max(1), tokens, at: now });
        }
        match sent {
            Sent::Unanswered => {}
            Sent::Done | Sent::Answered => {
                self.throttles = 0;
                self.doubtful = false;
                if sent == Sent::Done && want.priority == Priority::BestEffort {
                    self.was_done(now, want);
                }
            }
            Sent::No => {
                if let Some((limit, tokens)) = self.left(now) {
                    let tokens = (tokens + f64::from(want.cost)).min(f64::from(limit));
                    self.level = Some(Level { limit, tokens, at: now });
                }
            }
            Sent::Throttled(retry_after) => {
                // Only who was sent after a pause says that it was too short; the others are of the same crowd.
                if now >= self.blocked_until {
                    self.throttles = self.throttles.saturating_add(1).min(THROTTLED_DOUBLINGS + 1);
                }
                let doubled = retry_after.saturating_mul(1 << self.throttles.saturating_sub(1));
                self.doubtful = true;
                self.blocked_until = self.blocked_until.max(now.saturating_add(doubled.min(THROTTLED_MOST)));
            }
        }
    }
}
