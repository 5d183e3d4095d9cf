//! The gate in short: a run that is known to catch each seeded bug still does, and breaks nothing without it.
//!
//! Only the build with seeded bugs has them; `VIP_SIMULATION_GATE=1 tests/run simulation` searches for such runs anew.
#![cfg(vip_seeded_bugs)]

use vip_core::seeded_bugs::{activate, all};
use vip_simulation::gate::known_run;
use vip_simulation::run::silence_planned_panics;

#[test]
fn a_known_run_catches_every_seeded_bug_and_breaks_nothing_without_it() {
    silence_planned_panics();
    let mut wrong = Vec::new();
    for bug in all() {
        let run = known_run(*bug);
        activate(Some(*bug));
        let broken = run.broken();
        activate(None);
        println!("{:30} {run:?} {broken:?}", bug.name());
        if broken.is_empty() || !run.broken().is_empty() {
            wrong.push(bug.name());
        }
    }
    assert!(wrong.is_empty(), "not caught, or broken without the bug: {wrong:?}");
}
