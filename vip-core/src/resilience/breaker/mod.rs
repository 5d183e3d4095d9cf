//! Breaker: stops calling a provider that fails, asks it now and then with one cheap read, and comes back gently.
//!
//! One for each account, shared by all calls of the process, and behind it one for the creates of each location: where they
//! fail they are held back, and nowhere else. A call through a closed breaker takes no lock of its state machine (`state.rs`):
//! its success is counted in one word, which the next failure brings there.

mod circuit;
mod client;
mod crowd;
mod permit;
mod ramp;
mod settings;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod why;
mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use client::Guarded;
pub use permit::Permit;
pub use settings::{BreakerSettings, BreakerSettingsError};
pub use state::{BreakerMode, Outcome, Scope};
pub use why::{Cause, Why};

use self::circuit::Phase;
use self::state::{Decision, Machine, Pass, Transition};
use self::tally::Tally;
use crate::model::AccountId;
use crate::ports::{Outlook, Pace, Randomness, Shut};
use crate::telemetry;

/// Most locations with a breaker of their own, of an account: providers have a handful. Creates of further ones count together.
const PLACES_MOST: usize = 64;

/// Is the breaker of one account.
#[derive(Debug)]
pub struct Breaker {
    account: AccountId,
    /// The location whose creates it is for; none for that of the account.
    location: Option<String>,
    /// Those of the creates of each location.
    places: Mutex<BTreeMap<String, Arc<Self>>>,
    settings: BreakerSettings,
    origin: Instant,
    /// The generation while everything is let through and only counted, else 0.
    plain: AtomicU32,
    tallies: [Tally; 2],
    machine: Mutex<Machine>,
    randomness: Arc<dyn Randomness>,
}

/// Says why a call was not let through, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// When to ask again.
    pub retry_after: Duration,
}

/// Is what a breaker says to a call.
#[derive(Debug)]
pub enum Admission<'a> {
    /// It may go.
    Go(Permit<'a>),
    /// A cheap read has to go first, under this permit; then ask again.
    ProbeFirst(Permit<'a>),
    /// It must not go.
    Refused(Refused),
}

/// Is where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything is let through.
    Closed,
    /// Shortly after an outage: creates come back in rounds of this size, or requests at a part of their rate.
    Easing {
        /// How many creates may be on their way; none if there is no bound any more.
        creates: Option<u32>,
    },
    /// Nothing of a scope is let through.
    Open {
        /// Which calls.
        scope: Scope,
        /// Why.
        cause: Cause,
        /// How long until a probe may go; zero if it waits for somebody to come.
        retry_after: Duration,
    },
    /// A probe is on its way.
    Probing {
        /// For which calls.
        scope: Scope,
    },
}

/// Shows a breaker: what it was told, where it stands, what it has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerView {
    /// How it was told to behave.
    pub mode: BreakerMode,
    /// Where it stands.
    pub state: BreakerState,
    /// Calls in the window.
    pub calls: u64,
    /// Those that failed by an outage.
    pub failed: u64,
    /// Those that were slow.
    pub slow: u64,
}

impl Breaker {
    /// Makes a closed breaker.
    ///
    /// # Errors
    ///
    /// [`BreakerSettingsError`] if a number is out of its bounds.
    pub fn new(
        account: AccountId,
        settings: BreakerSettings,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, BreakerSettingsError> {
        settings.check()?;
        Ok(Self::make(account, None, settings, randomness))
    }

    fn make(
        account: AccountId,
        location: Option<String>,
        settings: BreakerSettings,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let machine = Machine::new(settings.clone());
        Self {
            account,
            location,
            places: Mutex::default(),
            settings,
            origin: Instant::now(),
            plain: AtomicU32::new(machine.plain().unwrap_or(0)),
            tallies: [Tally::default(), Tally::default()],
            machine: Mutex::new(machine),
            randomness,
        }
    }

    /// Returns the breaker of the creates of a location; none if none is named, or there are too many.
    fn at(&self, location: &str) -> Option<Arc<Self>> {
        let mut places = self.places();
        if let Some(place) = places.get(location) {
            return Some(place.clone());
        }
        if places.len() >= PLACES_MOST {
            // Orders may name what they like: one that holds nothing back makes room.
            places.retain(|_, place| place.plain.load(Ordering::Acquire) == 0);
        }
        if location.is_empty() || places.len() >= PLACES_MOST {
            return None;
        }
        let (account, named) = (self.account.clone(), Some(location.to_owned()));
        let place = Arc::new(Self::make(account, named, self.settings.clone(), self.randomness.clone()));
        place.put_mode(self.machine().mode);
        places.insert(location.to_owned(), place.clone());
        Some(place)
    }

    /// Returns its settings.
    #[must_use]
    pub const fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// Asks whether a call may go.
    pub fn admit(&self, scope: Scope) -> Admission<'_> {
        let started = self.origin.elapsed();
        let generation = self.plain.load(Ordering::Acquire);
        if generation != 0 {
            return Admission::Go(self.permit(Pass { generation, scope, probes: None, round: None }, started));
        }
        let mut machine = self.machine();
        let decision = machine.admit(started, scope);
        self.publish(&machine);
        let observes = machine.mode == BreakerMode::ObserveOnly;
        drop(machine);
        match decision {
            Decision::Admit(pass) => Admission::Go(self.permit(pass, started)),
            Decision::Probe(pass) => Admission::ProbeFirst(self.permit(pass, started)),
            Decision::Refuse { why, .. } if observes => {
                telemetry::tell(|| {
                    tracing::info!(account.id = %self.account, code = why.code(), "the breaker would have refused a call");
                });
                // Of no generation: what becomes of it changes nothing.
                Admission::Go(self.permit(Pass { generation: 0, scope, probes: None, round: None }, started))
            }
            Decision::Refuse { why, until } => {
                let why = match why {
                    Why::Open(scope, cause) => Why::Open(self.scope(scope), cause),
                    Why::Probing(scope) => Why::Probing(self.scope(scope)),
                    Why::Ramp | Why::Forced => why,
                };
                Admission::Refused(Refused { why, retry_after: until.saturating_sub(started) })
            }
        }
    }

    const fn permit(&self, pass: Pass, started: Duration) -> Permit<'_> {
        Permit { breaker: self, pass, started, open: true }
    }

    /// Sets how it behaves, until it is told otherwise or the process ends.
    pub fn set_mode(&self, mode: BreakerMode) {
        // Nobody makes one with the old mode meanwhile.
        let places = self.places();
        self.put_mode(mode);
        places.values().for_each(|place| place.put_mode(mode));
        drop(places);
        telemetry::tell(|| {
            tracing::warn!(account.id = %self.account, breaker.mode = ?mode, "the breaker was told how to behave");
        });
    }

    fn put_mode(&self, mode: BreakerMode) {
        let mut machine = self.machine();
        machine.mode = mode;
        self.publish(&machine);
    }

    /// Returns the scope of a circuit: of a location's breaker each is over creates.
    const fn scope(&self, scope: Scope) -> Scope {
        if self.location.is_some() { Scope::Creates } else { scope }
    }

    /// Shows it; if it lets everything through itself, the breaker of a location that does not.
    #[must_use]
    pub fn view(&self) -> BreakerView {
        let now = self.origin.elapsed();
        let mut machine = self.machine();
        self.drain(&mut machine);
        machine.end_ramp(now);
        let counts = machine.counts(Scope::All, now);
        let stands = |scope| match machine.circuit(scope).phase {
            Phase::Closed => None,
            Phase::Open { until, cause } => {
                Some(BreakerState::Open { scope: self.scope(scope), cause, retry_after: until.saturating_sub(now) })
            }
            Phase::Probing { .. } => Some(BreakerState::Probing { scope: self.scope(scope) }),
        };
        let creates = machine.ramp_size();
        let eases = creates.is_some() || machine.pace(now).is_some();
        let closed = if eases { BreakerState::Easing { creates } } else { BreakerState::Closed };
        let (state, mode) = (stands(Scope::All).or_else(|| stands(Scope::Creates)), machine.mode);
        drop(machine);
        let at_a_place = if state.is_none() { self.at_a_place() } else { None };
        let state = state.unwrap_or(closed);
        let view = BreakerView { mode, state, calls: counts.calls, failed: counts.failed, slow: counts.slow };
        at_a_place.map_or(view, |place| BreakerView { mode, ..place })
    }

    /// Shows the breaker of a location that holds creates back now; one to which nobody comes tells nothing.
    fn at_a_place(&self) -> Option<BreakerView> {
        let stands = |place: &Arc<Self>| {
            let view = place.creates().0.map(|_shut| place.view())?;
            matches!(view.state, BreakerState::Open { .. } | BreakerState::Probing { .. }).then_some(view)
        };
        self.places().values().find_map(stands)
    }

    /// Says until when creates are held back, to somebody who comes back then, and whether they are in doubt: by its own clock.
    fn creates(&self) -> (Option<Shut>, bool) {
        let now = self.origin.elapsed();
        let mut machine = self.machine();
        (machine.shut(now, Scope::Creates), machine.is_doubted(now))
    }

    /// Adds what it holds back.
    fn add_to(&self, outlook: &mut Outlook) {
        let now = self.origin.elapsed();
        let mut machine = self.machine();
        outlook.shut = machine.shut(now, Scope::All);
        outlook.pace = machine.pace(now).map(|(percent, full_after)| Pace { percent, full_after });
        drop(machine);
        (outlook.creates_shut, outlook.creates_doubted) = self.creates();
        for (location, place) in &*self.places() {
            let (shut, is_doubted) = place.creates();
            outlook.creates_shut_in.extend(shut.map(|shut| (location.clone(), shut)));
            outlook.creates_doubted_in.extend(is_doubted.then(|| location.clone()));
        }
    }

    fn record(&self, pass: Pass, started: Duration, outcome: Outcome) {
        let now = self.origin.elapsed();
        let slow = outcome != Outcome::Neutral && now.saturating_sub(started) >= self.settings.slow_call;
        if outcome == Outcome::Answered && !slow && pass.probes.is_none() && pass.round.is_none() {
            if self.plain.load(Ordering::Acquire) != pass.generation {
                if self.is_over(pass) {
                    return;
                }
            } else if self.tally(pass, now) {
                return;
            }
        }
        let mut machine = self.machine();
        self.drain(&mut machine);
        let transition = machine.record(now, pass, outcome, slow, self.randomness.share());
        self.publish(&machine);
        drop(machine);
        if let Some(transition) = transition {
            self.tell(transition, now);
        }
    }

    /// Says whether a result cannot change anything, without a lock.
    fn is_over(&self, pass: Pass) -> bool {
        pass.generation == 0 || {
            let plain = self.plain.load(Ordering::Acquire);
            plain != 0 && plain != pass.generation
        }
    }

    /// Counts a success in the words of its scope; false if that takes the lock.
    fn tally(&self, pass: Pass, now: Duration) -> bool {
        let bucket = window::number(window::width(self.settings.window), now);
        let [all, creates] = &self.tallies;
        match pass.scope {
            Scope::All => all.add(pass.generation, bucket),
            Scope::Creates => all.add(pass.generation, bucket) && creates.add(pass.generation, bucket),
        }
    }

    /// Brings what was counted without the lock into the machine; what belongs to an older generation is dropped.
    fn drain(&self, machine: &mut Machine) {
        let [all, creates] = &self.tallies;
        for (tally, scope) in [(all, Scope::All), (creates, Scope::Creates)] {
            if let Some((bucket, calls)) = tally.take(machine.generation()) {
                machine.succeeded(scope, bucket, calls);
            }
        }
    }

    fn publish(&self, machine: &Machine) {
        self.plain.store(machine.plain().unwrap_or(0), Ordering::Release);
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Self>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, transition: Transition, now: Duration) {
        telemetry::tell(|| match transition {
            Transition::Opened { scope, cause, until } => tracing::warn!(
                account.id = %self.account,
                breaker.scope = ?self.scope(scope), breaker.location = self.location.as_deref(), breaker.cause = cause.as_str(),
                breaker.open_ms = u64::try_from(until.saturating_sub(now).as_millis()).unwrap_or(u64::MAX),
                "the breaker opened: the provider is failing"
            ),
            Transition::Closed { scope } => tracing::info!(
                account.id = %self.account,
                breaker.scope = ?self.scope(scope), breaker.location = self.location.as_deref(), "the breaker closed"
            ),
        });
    }
}
