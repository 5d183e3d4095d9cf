//! The gate: every seeded bug has to be caught by the promises, else a quiet simulation proves nothing.

use std::collections::BTreeSet;

use vip_core::seeded_bugs::{self, SeededBug};

use crate::method::Kind;
use crate::orders::Order;
use crate::plan::{Fault, Plan};
use crate::run::{Outcome, Setup, Trace, run, run_twin};
use crate::swarm;

/// Seeds with which all orders are run without faults.
const QUIET_SEEDS: u64 = 10;
/// Random schedules after which a bug counts as not seen.
const SEEDS: u64 = 10_000;

/// Says how a bug was caught.
#[derive(Debug)]
pub struct Verdict {
    /// The bug.
    pub bug: SeededBug,
    /// Runs until it was caught; none if it was not.
    pub runs: Option<u64>,
    /// The run that caught it, and what it broke.
    pub caught_by: String,
    /// Reference orders that it breaks without any fault.
    pub breaks_without_faults: Vec<&'static str>,
}

/// Searches for a run that shows the bug: without faults, with one fault, in random schedules.
#[must_use]
pub fn hunt(bug: SeededBug) -> Verdict {
    let mut search = Search::new(bug);
    for seed in 1..=QUIET_SEEDS {
        for order in Order::every() {
            let is_new = search.caught.is_none() || Order::ALL.contains(&order);
            if is_new && search.run(seed, order, Plan::default()) && Order::ALL.contains(&order) {
                search.breaks.insert(order.as_str());
            }
        }
        search.twin(seed);
    }
    for order in Order::every() {
        search.singles(order);
    }
    for seed in 1..=SEEDS {
        search.schedule(seed);
    }
    seeded_bugs::activate(None);
    let (runs, caught_by) = search.caught.map_or((None, String::new()), |(runs, line)| (Some(runs), line));
    Verdict { bug, runs, caught_by, breaks_without_faults: search.breaks.into_iter().collect() }
}

#[derive(Debug)]
struct Search {
    bug: SeededBug,
    runs: u64,
    caught: Option<(u64, String)>,
    breaks: BTreeSet<&'static str>,
}

impl Search {
    fn new(bug: SeededBug) -> Self {
        seeded_bugs::activate(Some(bug));
        Self { bug, runs: 0, caught: None, breaks: BTreeSet::new() }
    }

    /// A run that breaks a promise without the bug, too, says nothing about it.
    fn is_clean_without(&self, again: impl FnOnce() -> Outcome) -> bool {
        seeded_bugs::activate(None);
        let outcome = again();
        seeded_bugs::activate(Some(self.bug));
        outcome.violations.is_empty()
    }

    /// Says whether the run broke a promise.
    fn run(&mut self, seed: u64, order: Order, plan: Plan) -> bool {
        let setup = Setup { seed, order, plan };
        self.note(&setup.to_string(), || run(&setup, Trace::Off))
    }

    fn note(&mut self, line: &str, run: impl Fn() -> Outcome) -> bool {
        self.runs += 1;
        let outcome = run();
        let Some(broken) = outcome.violations.first() else { return false };
        if !self.is_clean_without(run) {
            return false;
        }
        self.caught.get_or_insert_with(|| (self.runs, format!("{line}: {broken}")));
        true
    }

    fn twin(&mut self, seed: u64) {
        if self.caught.is_some() {
            return;
        }
        let setup = Setup { seed, order: Order::TwoTenants, plan: Plan::default() };
        self.runs += 2;
        if run_twin(&setup, "db").seen_by_first != run_twin(&setup, "other").seen_by_first {
            self.caught = Some((self.runs, format!("twins of seed {seed}: P5: a tenant sees another's data")));
        }
    }

    fn singles(&mut self, order: Order) {
        if self.caught.is_some() {
            return;
        }
        let usual = run(&Setup { seed: 1, order, plan: Plan::default() }, Trace::Off);
        for (ordinal, method) in (0_u32..).zip(&usual.counted) {
            for kind in Kind::ALL.iter().filter(|kind| method.can(**kind)) {
                for lasting in [true, false] {
                    let fault = Fault { kind: *kind, lasting };
                    if self.run(1, order, Plan::of(&[(ordinal, fault)])) {
                        return;
                    }
                }
            }
        }
    }

    fn schedule(&mut self, seed: u64) {
        if self.caught.is_none() {
            self.note(&format!("--seed {seed}"), || swarm::run(seed, Trace::Off));
        }
    }
}
