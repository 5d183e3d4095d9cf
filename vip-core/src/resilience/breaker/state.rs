//! The breaker's state machine: what is let through, and what a result changes. Pure; time and jitter are arguments.
//!
//! ```text
//!            failures in a row, share of failures, share of slow calls
//!   closed ─────────────────────────────────────────────────────────────▶ open ◀─┐
//!     ▲ creates 1, 2, 4, …                                                 │      │ it fails: open for longer
//!     └────────────────────────── probing ◀────────────────────────────────┘      │
//!          the probe is answered     │         its time is over and somebody asks │
//!                                    └─────────────────────────────────────────────┘
//! ```
//!
//! There are two circuits: one over all calls, one over creates alone; a create needs both. A location has a machine of its own for
//! its creates, and both circuits of that are over them. Each change of a circuit
//! begins a new generation, and a result of an older generation changes nothing.

use std::time::Duration;

use super::circuit::{Circuit, Phase};
use super::crowd::Crowd;
use super::ramp::Ramp;
use super::settings::BreakerSettings;
use super::why::{Cause, Why};
use super::window::Counts;
use crate::ports::Shut;

/// How soon to ask again while an operator holds it open without an end.
const FORCED_RETRY: Duration = Duration::from_secs(60);
/// Percent of the rate in the time after easing.
const HALF: u8 = 50;

/// Names a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Over all calls.
    All,
    /// Over creates alone.
    Creates,
}

/// Says how an operator wants a breaker to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerMode {
    /// It decides by what it sees.
    #[default]
    Automatic,
    /// Nothing is let through; the probe neither.
    ForcedOpen,
    /// Everything is let through, whatever is seen.
    ForcedClosed,
    /// It decides and says so in the log, and everything is let through.
    ObserveOnly,
}

/// Says how a call ended, as far as a breaker is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider answered in time, whatever it said.
    Answered,
    /// It is a sign of an outage.
    Failed,
    /// It tells nothing: the call was not sent, was throttled, or its caller went away.
    Neutral,
}

/// Lets one call through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) generation: u32,
    pub(super) scope: Scope,
    /// Which circuit it probes.
    pub(super) probes: Option<Scope>,
    /// In which round of creates after an outage it takes a place.
    pub(super) round: Option<u32>,
}

/// Is what a breaker says to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It may go.
    Admit(Pass),
    /// A cheap read has to go first, with this pass; then ask again.
    Probe(Pass),
    /// It must not go.
    Refuse { why: Why, until: Duration },
}

/// Is a change of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    Opened { scope: Scope, cause: Cause, until: Duration },
    Closed { scope: Scope },
}

/// Is the whole state of a breaker.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    settings: BreakerSettings,
    pub(super) mode: BreakerMode,
    generation: u32,
    all: Circuit,
    creates: Circuit,
    ramp: Option<Ramp>,
    rounds: u32,
    crowd: Crowd,
}

impl Machine {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let (all, creates) = (Circuit::new(&settings), Circuit::new(&settings));
        Self {
            settings,
            mode: BreakerMode::Automatic,
            generation: 1,
            all,
            creates,
            ramp: None,
            rounds: 0,
            crowd: Crowd::default(),
        }
    }

    /// Returns the generation if everything is let through and only counted; none if a call has to be looked at.
    pub(super) fn plain(&self) -> Option<u32> {
        let closed = self.all.phase == Phase::Closed && self.creates.phase == Phase::Closed;
        let proven = self.all.proven && self.creates.proven && self.ramp.is_none();
        (closed && proven && self.mode == BreakerMode::Automatic).then_some(self.generation)
    }

    /// Returns the present generation.
    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the circuit of a scope.
    pub(super) const fn circuit(&self, scope: Scope) -> &Circuit {
        match scope {
            Scope::All => &self.all,
            Scope::Creates => &self.creates,
        }
    }

    const fn circuit_mut(&mut self, scope: Scope) -> &mut Circuit {
        match scope {
            Scope::All => &mut self.all,
            Scope::Creates => &mut self.creates,
        }
    }

    /// Returns what the windows hold.
    pub(super) fn counts(&self, scope: Scope, now: Duration) -> Counts {
        self.circuit(scope).counts(now)
    }

    /// Returns how many creates may be on their way, shortly after an outage.
    pub(super) const fn ramp_size(&self) -> Option<u32> {
        match &self.ramp {
            Some(ramp) => Some(ramp.size()),
            None => None,
        }
    }

    /// Decides about a call.
    pub(super) fn admit(&mut self, now: Duration, scope: Scope) -> Decision {
        match self.mode {
            BreakerMode::ForcedOpen => {
                return Decision::Refuse { why: Why::Forced, until: now.saturating_add(FORCED_RETRY) };
            }
            BreakerMode::ForcedClosed => return Decision::Admit(self.pass(scope)),
            BreakerMode::Automatic | BreakerMode::ObserveOnly => {}
        }
        self.end_ramp(now);
        // First what holds it back, then who probes: a call that has to wait for one circuit never probes the other.
        if let Some((why, until)) = self.refused(now, scope) {
            return Decision::Refuse { why, until };
        }
        for circuit in scope.needs() {
            if let Phase::Open { cause, .. } | Phase::Probing { cause, .. } = self.circuit(*circuit).phase {
                // Its time is over, or the one who probed has hung: one call probes, and no create.
                self.generation = self.generation.wrapping_add(1).max(1);
                let until = now.saturating_add(self.settings.probe_deadline);
                self.circuit_mut(*circuit).phase = Phase::Probing { until, cause };
                return Decision::Probe(Pass { probes: Some(*circuit), ..self.pass(scope) });
            }
        }
        let mut pass = self.pass(scope);
        if scope == Scope::Creates
            && let Some(ramp) = self.ramp.as_mut()
        {
            ramp.admit();
            pass.round = Some(ramp.round);
        }
        Decision::Admit(pass)
    }

    const fn pass(&self, scope: Scope) -> Pass {
        Pass { generation: self.generation, scope, probes: None, round: None }
    }

    /// Says what holds a call of a scope back: a circuit it needs, or the round of creates.
    fn refused(&self, now: Duration, scope: Scope) -> Option<(Why, Duration)> {
        let by_circuit = scope.needs().iter().find_map(|circuit| match self.circuit(*circuit).phase {
            Phase::Open { until, cause } if now < until => Some((Why::Open(*circuit, cause), until)),
            Phase::Probing { until, .. } if now < until => {
                Some((Why::Probing(*circuit), until.min(now.saturating_add(self.settings.probe_retry()))))
            }
            Phase::Open { .. } | Phase::Probing { .. } | Phase::Closed => None,
        });
        let closed = || scope.needs().iter().all(|circuit| self.circuit(*circuit).phase == Phase::Closed);
        // A circuit whose time is over is probed, whatever the round says: else nobody would ever come to probe it.
        let full = || self.ramp.is_some_and(|ramp| scope == Scope::Creates && !ramp.has_room()) && closed();
        by_circuit.or_else(|| full().then(|| (Why::Ramp, now.saturating_add(self.settings.ramp_retry()))))
    }

    /// Says, without changing anything, until when a call of a scope would be refused.
    pub(super) fn holds_back(&self, now: Duration, scope: Scope) -> Option<(Why, Duration)> {
        match self.mode {
            BreakerMode::ForcedOpen => return Some((Why::Forced, now.saturating_add(FORCED_RETRY))),
            BreakerMode::ForcedClosed | BreakerMode::ObserveOnly => return None,
            BreakerMode::Automatic => {}
        }
        self.refused(now, scope)
    }

    /// Says until when calls of a scope are held back, to somebody who comes back then.
    ///
    /// Places of a round are few and free at once: all who wait for one would ask again each second, and so would all who
    /// wait for a probe that hangs.
    pub(super) fn shut(&mut self, now: Duration, scope: Scope) -> Option<Shut> {
        let (why, until) = self.holds_back(now, scope)?;
        let since = self.circuit(scope).failing_since.or(self.all.failing_since);
        let since = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let left = until.saturating_sub(now);
        let retry_after = match why {
            Why::Ramp | Why::Probing(_) => self.crowd.stay_away(now, left, self.settings.open_first.max(left)),
            Why::Open(..) | Why::Forced => left,
        };
        Some(Shut { retry_after, since, code: why.code() })
    }

    /// Says whether creates have failed and are not all let in again: one whose time is over is doubted until it was probed.
    /// Not while an operator lets everything through.
    pub(super) fn is_doubted(&self, now: Duration) -> bool {
        self.mode != BreakerMode::ForcedClosed
            && (!self.is_closed() || (self.ramp.is_some() && !self.ramp_is_over(now)))
    }

    fn is_closed(&self) -> bool {
        [&self.all, &self.creates].into_iter().all(|circuit| circuit.phase == Phase::Closed)
    }

    fn ramp_is_over(&self, now: Duration) -> bool {
        let closed_at = self.all.closed_at.max(self.creates.closed_at);
        let over = closed_at.is_none_or(|closed_at| now.saturating_sub(closed_at) >= self.easing_in_all());
        self.is_closed() && over && self.ramp.is_some_and(|ramp| ramp.is_idle())
    }

    /// Says how much of the rate may be used, and how long until all of it may be.
    pub(super) fn pace(&self, now: Duration) -> Option<(u8, Duration)> {
        if self.mode != BreakerMode::Automatic || self.all.phase != Phase::Closed {
            return None;
        }
        let (easing, since) = (self.settings.easing, now.saturating_sub(self.all.closed_at?));
        let whole = self.easing_in_all();
        let percent =
            if since < easing { self.settings.easing_percent } else { HALF.max(self.settings.easing_percent) };
        (since < whole).then(|| (percent, whole - since))
    }

    /// Counts calls that went well, of this generation.
    pub(super) fn succeeded(&mut self, scope: Scope, bucket: u64, calls: u64) {
        self.circuit_mut(scope).succeeded(bucket, calls);
    }

    /// Takes the result of a call; says what it changed.
    pub(super) fn record(
        &mut self,
        now: Duration,
        pass: Pass,
        outcome: Outcome,
        slow: bool,
        jitter: f64,
    ) -> Option<Transition> {
        if pass.generation != self.generation {
            return None;
        }
        if let Some(scope) = pass.probes {
            return self.probed(now, scope, outcome, jitter);
        }
        if let Some(cause) = self.counted(now, Scope::All, outcome, slow) {
            return self.open(now, Scope::All, cause, jitter);
        }
        if pass.scope == Scope::Creates {
            if let Some(cause) = self.counted(now, Scope::Creates, outcome, slow) {
                return self.open(now, Scope::Creates, cause, jitter);
            }
            self.ramped(pass, outcome);
        }
        None
    }

    fn counted(&mut self, now: Duration, scope: Scope, outcome: Outcome, slow: bool) -> Option<Cause> {
        let settings = &self.settings;
        let circuit = match scope {
            Scope::All => &mut self.all,
            Scope::Creates => &mut self.creates,
        };
        let closed = circuit.phase == Phase::Closed;
        let cause = if closed { circuit.count(settings, now, outcome, slow) } else { None };
        cause.filter(|_| self.mode != BreakerMode::ForcedClosed)
    }

    fn ramped(&mut self, pass: Pass, outcome: Outcome) {
        let Some(ramp) = self.ramp.as_mut().filter(|ramp| pass.round == Some(ramp.round)) else {
            return;
        };
        match outcome {
            Outcome::Answered => self.ramp = ramp.went_well(),
            Outcome::Neutral => ramp.give_back(),
            // The first one has opened the circuit; a later one begins the rounds anew.
            Outcome::Failed => self.begin_ramp(),
        }
    }

    /// Lets all creates in again once the time of easing is over and nobody of a round is on the way: where few orders
    /// come, the rounds would never end.
    pub(super) fn end_ramp(&mut self, now: Duration) {
        if self.ramp_is_over(now) {
            self.ramp = None;
        }
    }

    fn easing_in_all(&self) -> Duration {
        self.settings.easing.saturating_add(self.settings.easing / 2)
    }

    fn begin_ramp(&mut self) {
        // A gap between the numbers of rounds: those of a ramp count on by themselves.
        self.rounds = self.rounds.wrapping_add(100);
        self.ramp = Some(Ramp::starting(self.rounds));
    }

    fn probed(&mut self, now: Duration, scope: Scope, outcome: Outcome, jitter: f64) -> Option<Transition> {
        let Phase::Probing { cause, .. } = self.circuit(scope).phase else {
            return None;
        };
        match outcome {
            Outcome::Failed => self.open(now, scope, Cause::ProbeFailed, jitter),
            Outcome::Neutral => {
                // It tells nothing: the next call probes, at once.
                self.circuit_mut(scope).phase = Phase::Open { until: now, cause };
                None
            }
            Outcome::Answered => {
                self.generation = self.generation.wrapping_add(1).max(1);
                self.circuit_mut(scope).close(now);
                self.begin_ramp();
                Some(Transition::Closed { scope })
            }
        }
    }

    fn open(&mut self, now: Duration, scope: Scope, cause: Cause, jitter: f64) -> Option<Transition> {
        self.generation = self.generation.wrapping_add(1).max(1);
        // Its places are taken by calls that no longer count; the rounds begin anew when it closes.
        self.ramp = None;
        let settings = self.settings.clone();
        self.circuit_mut(scope).open(&settings, now, cause, jitter);
        match self.circuit(scope).phase {
            Phase::Open { until, .. } => Some(Transition::Opened { scope, cause, until }),
            Phase::Closed | Phase::Probing { .. } => None,
        }
    }
}

impl Scope {
    /// Returns the circuits that a call needs closed.
    const fn needs(self) -> &'static [Self] {
        match self {
            Self::All => &[Self::All],
            Self::Creates => &[Self::All, Self::Creates],
        }
    }
}
