//! The gate: every seeded bug has to be caught by the promises, else a quiet simulation proves nothing.

use vip_core::seeded_bugs::{self, SeededBug};

use crate::method::Kind;
use crate::orders::Order;
use crate::plan::{Fault, Plan};
use crate::run::{Outcome, Setup, Trace, run, run_twin};
use crate::swarm;

/// Random schedules after which a bug counts as not seen.
const SEEDS: u64 = 3_000;

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

/// Searches for a run that shows the bug.
#[must_use]
pub fn hunt(bug: SeededBug) -> Verdict {
    seeded_bugs::activate(Some(bug));
    let mut runs = 0;
    let mut breaks = Vec::new();
    let mut caught = None;
    for order in Order::ALL {
        let setup = Setup { seed: 1, order, plan: Plan::default() };
        runs += 1;
        let broken = run(&setup, Trace::Off).violations;
        if !broken.is_empty() {
            breaks.push(order.as_str());
            caught.get_or_insert((runs, setup.to_string(), broken));
        }
    }
    let setup = Setup { seed: 1, order: Order::TwoTenants, plan: Plan::default() };
    if caught.is_none() && run_twin(&setup, "db").seen_by_first != run_twin(&setup, "other").seen_by_first {
        caught = Some((runs + 2, "twin".to_owned(), vec!["P5: a tenant sees another's data".to_owned()]));
    }
    let (seen_at, caught_by) = match caught.or_else(|| by_faults(&mut runs)) {
        Some((at, line, broken)) => (Some(at), format!("{line}: {}", broken.first().cloned().unwrap_or_default())),
        None => (None, String::new()),
    };
    seeded_bugs::activate(None);
    Verdict { bug, runs: seen_at, caught_by, breaks_without_faults: breaks }
}

type Caught = Option<(u64, String, Vec<String>)>;

fn by_faults(runs: &mut u64) -> Caught {
    for order in Order::ALL {
        let usual = run(&Setup { seed: 1, order, plan: Plan::default() }, Trace::Off);
        for (ordinal, method) in (0_u32..).zip(&usual.counted) {
            for kind in Kind::ALL.iter().filter(|kind| method.can(**kind)) {
                let fault = Fault { kind: *kind, lasting: false };
                let setup = Setup { seed: 1, order, plan: Plan::of(&[(ordinal, fault)]) };
                *runs += 1;
                if let Some(found) = broken(*runs, setup.to_string(), run(&setup, Trace::Off)) {
                    return Some(found);
                }
            }
        }
    }
    (1..=SEEDS).find_map(|seed| {
        *runs += 1;
        broken(*runs, format!("--seed {seed}"), swarm::run(seed, Trace::Off))
    })
}

fn broken(runs: u64, line: String, outcome: Outcome) -> Caught {
    (!outcome.violations.is_empty()).then_some((runs, line, outcome.violations))
}
