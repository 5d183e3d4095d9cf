//! Every single fault on an order's path, and pairs: the second one lands inside the recovery from the first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::matrix::Matrix;
use crate::method::{Kind, Method};
use crate::orders::Order;
use crate::parts::Share;
use crate::plan::{Fault, Plan};
use crate::run::{Outcome, Setup, Trace, run};
use crate::shrink;

/// Failing runs that are shrunk and printed; one is enough to begin with.
const SHOWN: usize = 10;
/// One of so many pairs that begin with a lasting fault is run, for each pair of single ones.
const LASTING_PAIRS: u64 = 10;
/// One of so many runs is made twice, to see that it is the same.
const TWICE: u64 = 100;

/// An odd number whose multiples look random.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Says what is enumerated.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Seed of all runs.
    pub seed: u64,
    /// One pair of so many is run, of those that begin with a lasting fault and of longer orders fewer; 0 means none.
    pub one_pair_of: u64,
    /// One single fault of so many is run; 1 means all.
    pub one_single_of: usize,
    /// Which share of all of them.
    pub share: Share,
    /// Threads.
    pub threads: usize,
}

/// Is what an enumeration found.
#[derive(Debug, Default)]
pub struct Found {
    /// What was tried.
    pub matrix: Matrix,
    /// Runs that broke a promise, each with the line that replays it.
    pub failures: Vec<String>,
    /// How many runs broke a promise.
    pub failed: u64,
    /// Singles.
    pub singles: u64,
    /// Pairs.
    pub pairs: u64,
}

/// Runs every single fault on an order, and pairs as the extent says.
#[must_use]
pub fn enumerate(order: Order, extent: Extent) -> Found {
    let usual = run(&Setup { seed: extent.seed, order, plan: Plan::default() }, Trace::Off);
    let extent = Extent { one_pair_of: extent.one_pair_of * rarity(order), ..extent };
    let found = Mutex::new(Found::default());
    let mut firsts = Vec::new();
    // Whoever has a first fault has the pairs that begin with it, too.
    let all = faults(&usual.counted, 0, &[false, true]).into_iter().step_by(extent.one_single_of.max(1));
    firsts.extend(all.enumerate().filter(|(number, _)| extent.share.has(*number)).map(|(_, first)| first));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..extent.threads.max(1) {
            scope.spawn(|| {
                let mut mine = Found::default();
                while let Some(first) = firsts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one_and_its_pairs(order, extent, &usual, *first, &mut mine);
                }
                let mut all = found.lock().unwrap();
                all.matrix.add(&mine.matrix);
                all.failures.extend(mine.failures);
                all.failed += mine.failed;
                all.singles += mine.singles;
                all.pairs += mine.pairs;
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    if !usual.violations.is_empty() {
        found.failures.push(format!("{} without a fault: {:?}", order.as_str(), usual.violations));
        found.failed += 1;
    }
    found
}

/// Returns of how many pairs one is run of an order with a mishap of its own: it is long, and the reference orders are
/// those whose pairs are complete.
const fn rarity(order: Order) -> u64 {
    match order {
        Order::Create
        | Order::CreateThenDelete
        | Order::DeleteWhileCreating
        | Order::FullLocation
        | Order::ForeignName
        | Order::TwoTenants
        | Order::SweepBeside => 1,
        Order::SecondAccount
        | Order::ForeignThenDelete
        | Order::DeleteAtOnce
        | Order::Suspended
        | Order::LandedTwice => 10,
        Order::Quota | Order::OtherProject | Order::Unreadable | Order::ClocksApart => 50,
        Order::RenamedCopy | Order::RestoredBackup | Order::Outage | Order::BetweenSweeps | Order::VeryLate => 1_000,
        Order::Refusals => 10_000,
    }
}

fn one_and_its_pairs(order: Order, extent: Extent, usual: &Outcome, first: (u32, Fault), mine: &mut Found) {
    let setup = Setup { seed: extent.seed, order, plan: Plan::of(&[first]) };
    let single = attempt(&setup, usual, mine);
    mine.singles += 1;
    if extent.one_pair_of == 0 {
        return;
    }
    // Lasting faults are paired too, one of so many: they reach the same places as repeats of the single ones.
    let one_of = extent.one_pair_of * if first.1.lasting { LASTING_PAIRS } else { 1 };
    // Each first fault begins to count somewhere else, so that a sample is spread over all of them.
    let number = u64::from(first.0) * 31 + first.1.kind as u64;
    let mut place = number.wrapping_mul(SPREAD) >> 33;
    for second in faults(&single.counted, first.0 + 1, &[false]) {
        place += 1;
        if place.is_multiple_of(one_of) {
            let setup = Setup { seed: extent.seed, order, plan: Plan::of(&[first, second]) };
            attempt(&setup, usual, mine);
            mine.pairs += 1;
        }
    }
}

fn attempt(setup: &Setup, usual: &Outcome, mine: &mut Found) -> Outcome {
    let mut outcome = if mine.matrix.runs.is_multiple_of(TWICE) {
        let (one, two) = (run(setup, Trace::Hash), run(setup, Trace::Hash));
        if one.trace != two.trace {
            mine.failures.push(format!("two runs of one seed differ: {setup}"));
            mine.failed += 1;
        }
        one
    } else {
        run(setup, Trace::Off)
    };
    mine.matrix.count(&outcome, usual.path);
    if outcome.violations.is_empty() && outcome.end_state != usual.end_state {
        outcome.violations.push(format!("O3: ended as {} instead of {}", outcome.end_state, usual.end_state));
    }
    if !outcome.violations.is_empty() {
        mine.failed += 1;
        if mine.failures.len() < SHOWN {
            mine.failures.push(shrink::report(setup, &outcome.violations));
        }
    }
    outcome
}

/// Lists all faults on calls from an ordinal on.
fn faults(counted: &[Method], from: u32, lasting: &[bool]) -> Vec<(u32, Fault)> {
    let mut faults = Vec::new();
    for (ordinal, method) in (0_u32..).zip(counted).filter(|(ordinal, _)| *ordinal >= from) {
        for kind in Kind::ALL.iter().filter(|kind| method.can(**kind)) {
            faults.extend(lasting.iter().map(|lasting| (ordinal, Fault { kind: *kind, lasting: *lasting })));
        }
    }
    faults
}
