//! Makes a failing run small: drops faults while it still fails.

use crate::run::{Setup, Trace, run};

/// Returns the smallest plan found that still breaks a promise, and what it breaks.
#[must_use]
pub fn shrink(setup: &Setup) -> (Setup, Vec<String>) {
    let mut best = setup.clone();
    let mut broken = run(&best, Trace::Off).violations;
    let ordinals: Vec<u32> = setup.plan.0.keys().copied().collect();
    for ordinal in ordinals {
        let mut smaller = best.clone();
        smaller.plan.0.remove(&ordinal);
        let violations = run(&smaller, Trace::Off).violations;
        if !violations.is_empty() {
            best = smaller;
            broken = violations;
        }
    }
    (best, broken)
}

/// Returns what is printed of a run that broke a promise: a line that replays it, made small.
#[must_use]
pub fn report(setup: &Setup, seen: &[String]) -> String {
    let (small, mut broken) = shrink(setup);
    if broken.is_empty() {
        // Broken only in comparison with another run.
        broken = seen.to_vec();
    }
    format!("tests/run simulation --replay \"{small}\"\n    {}", broken.join("\n    "))
}
