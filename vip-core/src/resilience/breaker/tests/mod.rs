//! Tests of the breaker: its behaviour where others fail, its schedules, its client.

mod behaviour;
mod client;
mod places;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use super::state::{Decision, Machine, Pass, Transition};
use super::{Admission, Breaker, BreakerSettings, Outcome, Permit, Scope};
use crate::model::AccountId;
use crate::ports::SeededRandomness;

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn machine() -> Machine {
    Machine::new(BreakerSettings::default())
}

pub(super) fn breaker() -> Breaker {
    let randomness = Arc::new(SeededRandomness::new(1));
    Breaker::new(AccountId::default_account(), BreakerSettings::default(), randomness).unwrap()
}

pub(super) fn admitted(machine: &mut Machine, now: Duration, scope: Scope) -> Pass {
    match machine.admit(now, scope) {
        Decision::Admit(pass) => pass,
        other @ (Decision::Probe(_) | Decision::Refuse { .. }) => panic!("not admitted: {other:?}"),
    }
}

pub(super) fn probe(machine: &mut Machine, now: Duration, scope: Scope) -> Pass {
    match machine.admit(now, scope) {
        Decision::Probe(pass) => pass,
        other @ (Decision::Admit(_) | Decision::Refuse { .. }) => panic!("no probe: {other:?}"),
    }
}

pub(super) fn fails(machine: &mut Machine, now: Duration, pass: Pass) -> Option<Transition> {
    machine.record(now, pass, Outcome::Failed, false, 0.0)
}

pub(super) fn goes_well(machine: &mut Machine, now: Duration, pass: Pass) -> Option<Transition> {
    machine.record(now, pass, Outcome::Answered, false, 0.0)
}

/// Opens a machine by failures in a row; returns when a probe is due.
pub(super) fn tripped(machine: &mut Machine, now: Duration) -> Duration {
    loop {
        let pass = admitted(machine, now, Scope::All);
        if let Some(Transition::Opened { until, .. }) = fails(machine, now, pass) {
            return until;
        }
    }
}

pub(super) fn permit(breaker: &Breaker, scope: Scope) -> Permit<'_> {
    match breaker.admit(scope) {
        Admission::Go(permit) => permit,
        other @ (Admission::ProbeFirst(_) | Admission::Refused(_)) => panic!("not admitted: {other:?}"),
    }
}
