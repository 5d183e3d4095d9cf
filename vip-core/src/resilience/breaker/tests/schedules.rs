//! Schedules: all short ones and many long ones, against the rules that hold whatever happens.

use proptest::prelude::*;

use super::*;
use crate::resilience::breaker::circuit::Phase;

/// Is one thing that happens to a breaker.
#[derive(Debug, Clone, Copy)]
enum Event {
    Ask(Scope),
    /// The oldest call on its way ends.
    End(Outcome),
    /// The newest call on its way ends.
    EndNewest(Outcome),
    Wait(u64),
}

const EVENTS: [Event; 8] = [
    Event::Ask(Scope::All),
    Event::Ask(Scope::Creates),
    Event::End(Outcome::Answered),
    Event::End(Outcome::Failed),
    Event::End(Outcome::Neutral),
    Event::EndNewest(Outcome::Answered),
    Event::EndNewest(Outcome::Failed),
    Event::Wait(31),
];

/// Runs a machine and holds the rules against it after each event.
struct Run {
    machine: Machine,
    now: Duration,
    under_way: Vec<(Pass, u64)>,
    /// Counts openings and closings, so that what was admitted before one is known.
    era: u64,
}

impl Run {
    fn new() -> Self {
        // A hair-trigger, so that short schedules reach every state.
        let settings = BreakerSettings { failures_in_a_row: 2, ..BreakerSettings::default() };
        Self { machine: Machine::new(settings), now: seconds(1), under_way: Vec::new(), era: 0 }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Wait(time) => self.now += seconds(time),
            Event::Ask(scope) => self.ask(scope),
            Event::End(outcome) if !self.under_way.is_empty() => {
                let call = self.under_way.remove(0);
                self.end(call, outcome);
            }
            Event::EndNewest(outcome) => {
                if let Some(call) = self.under_way.pop() {
                    self.end(call, outcome);
                }
            }
            Event::End(_) => {}
        }
    }

    fn ask(&mut self, scope: Scope) {
        let before = [Scope::All, Scope::Creates].map(|it| self.machine.circuit(it).phase);
        let held_back = self.machine.holds_back(self.now, scope).is_some();
        let decision = self.machine.admit(self.now, scope);
        // Whoever is told to stay away never comes to probe.
        let refused = matches!(decision, Decision::Refuse { .. });
        assert_eq!(held_back, refused, "what it says it holds back is not what it refuses");
        match decision {
            Decision::Admit(pass) => {
                assert_eq!(before[0], Phase::Closed, "let through by an open circuit");
                assert!(scope == Scope::All || before[1] == Phase::Closed, "a create let through by an open circuit");
                self.under_way.push((pass, self.era));
            }
            Decision::Probe(pass) => {
                let live = |(other, _): &&(Pass, u64)| other.probes.is_some() && other.generation == pass.generation;
                assert_eq!(self.under_way.iter().filter(live).count(), 0, "two probes that count");
                self.era += 1;
                self.under_way.push((pass, self.era));
            }
            Decision::Refuse { until, .. } => assert!(until > self.now, "refused until a time that is over"),
        }
    }

    fn end(&mut self, (pass, era): (Pass, u64), outcome: Outcome) {
        let before = self.machine.clone();
        let transition = self.machine.record(self.now, pass, outcome, false, 0.0);
        if era != self.era {
            assert_eq!(transition, None, "a result of an earlier time changed something");
            assert_eq!(format!("{before:?}"), format!("{:?}", self.machine), "a result of an earlier time was counted");
        }
        if transition.is_some() {
            self.era += 1;
        }
    }

    /// From now on the provider answers everything: whatever happened before, all calls are let through in the end.
    fn recovers(mut self) {
        self.under_way.clear();
        for _ in 0..500 {
            if self.machine.plain().is_some() {
                return;
            }
            match self.machine.admit(self.now, Scope::Creates) {
                Decision::Admit(pass) | Decision::Probe(pass) => {
                    self.machine.record(self.now, pass, Outcome::Answered, false, 0.0);
                }
                Decision::Refuse { until, .. } => self.now = until,
            }
        }
        panic!("stuck: {:?}", self.machine);
    }
}

#[test]
fn every_schedule_of_six_events_keeps_the_rules() {
    let count = EVENTS.len().pow(6);
    for number in 0..count {
        let mut run = Run::new();
        let mut rest = number;
        for _ in 0..6 {
            run.step(EVENTS[rest % EVENTS.len()]);
            rest /= EVENTS.len();
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..EVENTS.len()).prop_map(|n| EVENTS[n]),
        1 => (0_u64..120).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn every_long_schedule_keeps_the_rules_and_ends_closed_once_the_provider_answers(
        events in prop::collection::vec(event(), 0..300)
    ) {
        let mut run = Run::new();
        for event in events {
            run.step(event);
        }
        // Calls whose owner went away give themselves back.
        for call in std::mem::take(&mut run.under_way) {
            run.end(call, Outcome::Neutral);
        }
        run.recovers();
    }
}
