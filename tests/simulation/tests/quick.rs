//! The quick set: all single faults, a sample of pairs and of random schedules, and the runs that once found a bug.

#![expect(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::time::Duration;

use vip_simulation::cloud::LAG;
use vip_simulation::exhaustive::{Extent, enumerate};
use vip_simulation::method::Method;
use vip_simulation::orders::Order;
use vip_simulation::parts::{Share, Shelf, Tally};
use vip_simulation::plan::Plan;
use vip_simulation::run::{Setup, Trace, run, run_twin, silence_planned_panics, timing};
use vip_simulation::swarm;
use vip_simulation::world::{LATE_MOST, STALL};

/// Random schedules of the quick set.
const SEEDS: u64 = 1000;
/// Threads of the enumeration.
const THREADS: usize = 2;

/// Runs a line again whose faults have to hit calls of these methods, as they did when it found something: a planned fault that
/// does not fit the call at its place does nothing.
fn replay(line: &str, methods: &[Method]) {
    silence_planned_panics();
    let setup: Setup = line.parse().unwrap();
    let outcome = run(&setup, Trace::Off);
    assert_eq!(outcome.violations, Vec::<String>::new(), "{line}");
    let planned = methods.iter().copied().zip(setup.plan.0.values().map(|fault| fault.kind));
    let missed: Vec<_> = planned.filter(|fault| !outcome.fired.contains(fault)).collect();
    assert!(missed.is_empty() && methods.len() == setup.plan.0.len(), "{line}: {:?}", outcome.fired);
}

#[test]
fn every_single_fault_and_a_sample_of_pairs_break_no_promise() {
    silence_planned_panics();
    for order in Order::ALL {
        let found = enumerate(
            order,
            Extent { seed: 1, one_pair_of: 499, one_single_of: 1, share: Share::ALL, threads: THREADS },
        );
        assert!(found.singles > 100 && found.pairs > 0, "{}: {} singles", order.as_str(), found.singles);
        assert_eq!(found.failed, 0, "{}:\n{}", order.as_str(), found.failures.join("\n"));
    }
}

#[test]
fn random_schedules_break_no_promise() {
    silence_planned_panics();
    for seed in 1..=SEEDS {
        let outcome = swarm::run(seed, Trace::Off);
        assert_eq!(outcome.violations, Vec::<String>::new(), "tests/run simulation --seed {seed}");
    }
}

#[test]
fn what_lands_last_is_shown_by_every_read_within_the_landing_allowance() {
    let timing = timing(Duration::from_secs(1));
    let shown = STALL.max(LATE_MOST) + timing.commit_deadline + LAG;
    assert!(shown <= timing.request_deadline + timing.landing_allowance, "{shown:?}");
}

#[test]
fn one_seed_is_one_run_byte_for_byte() {
    silence_planned_panics();
    for seed in 1..=20 {
        let (one, two) = (swarm::run(seed, Trace::Hash), swarm::run(seed, Trace::Hash));
        assert_eq!((one.trace, one.calls), (two.trace, two.calls), "seed {seed}");
        assert_ne!(one.trace, swarm::run(seed + 1, Trace::Hash).trace, "another seed is another run");
    }
}

#[test]
fn what_a_tenant_orders_changes_nothing_that_another_can_observe() {
    for seed in 1..=20 {
        let setup = Setup { seed, order: Order::TwoTenants, plan: Plan::default() };
        let (one, two) = (run_twin(&setup, "db"), run_twin(&setup, "quite-another-name"));
        assert!(one.seen_by_first.contains("acme") && one.calls == two.calls, "seed {seed}");
        assert_eq!(one.seen_by_first, two.seen_by_first, "seed {seed}");
    }
}

#[test]
fn a_load_that_hides_a_wish_costs_time_and_no_order() {
    replay("seed=1 order=create-then-delete faults=25:StaleRead", &[Method::Load]);
}

#[test]
fn what_the_run_of_full_length_found_stays_found() {
    // A list that hid every server closed the account; the last process ended while its sink failed.
    for seed in [70_209, 360_366, 616_603, 701_682, 805_100] {
        assert_eq!(swarm::run(seed, Trace::Off).violations, Vec::<String>::new(), "tests/run simulation --seed {seed}");
    }
    // What landed late has to ripen anew after a list that hid it.
    for list in [208, 219, 239] {
        let line = format!("seed=1 order=very-late faults=197:CrashAfter,{list}:StaleRead");
        replay(&line, &[Method::Enqueue, Method::Inventory]);
    }
}

#[test]
fn a_process_with_a_token_of_another_project_delays_no_order_for_long() {
    // It claimed every job again as soon as it was due, and the process with the right token never had a turn.
    for seed in [6, 13, 14, 22, 30, 39, 40, 41, 53, 55] {
        replay(&format!("seed={seed} order=other-project faults="), &[]);
    }
}

#[test]
fn a_restored_order_whose_first_account_is_full_now_is_not_made_again_in_the_second() {
    // The backup was older than its create; the refusal said nothing about the server that was there already.
    assert_eq!(swarm::run(53, Trace::Off).violations, Vec::<String>::new(), "tests/run simulation --seed 53");
}

#[test]
fn orders_with_a_mishap_of_their_own_and_a_sample_of_single_faults_break_no_promise() {
    silence_planned_panics();
    for order in Order::MISHAPS {
        for seed in 1..=5 {
            replay(&format!("seed={seed} order={} faults=", order.as_str()), &[]);
        }
        let found = enumerate(
            order,
            Extent { seed: 1, one_pair_of: 0, one_single_of: 40, share: Share::ALL, threads: THREADS },
        );
        assert!(found.singles > 5 || order == Order::Refusals, "{}: {} singles", order.as_str(), found.singles);
        assert_eq!(found.failed, 0, "{}:\n{}", order.as_str(), found.failures.join("\n"));
    }
}

#[test]
fn a_setup_is_read_back_as_it_was_printed() {
    let line = "seed=7 order=two-tenants faults=3:CrashAfter,17:Stall*";
    let setup: Setup = line.parse().unwrap();
    assert_eq!(setup.to_string(), line);
    assert!("seed=1 order=none".parse::<Setup>().is_err() && "faults=1:Nothing".parse::<Setup>().is_err());
}

#[test]
fn parts_are_all_runs_each_once_and_a_part_that_is_done_is_read_back_and_not_of_another_plan() {
    silence_planned_panics();
    let part = |share| {
        let found = enumerate(Order::Create, Extent { seed: 1, one_pair_of: 500, one_single_of: 1, share, threads: 1 });
        Tally { matrix: found.matrix, singles: found.singles, pairs: found.pairs, ..Tally::default() }
    };
    let folder = std::env::temp_dir().join(format!("vip-parts-{}", std::process::id()));
    let shelf = Shelf::open(&folder, "one plan").unwrap();
    let mut sum = Tally::default();
    for number in 0..3 {
        let share = Share { part: number, of: 3 };
        assert!(shelf.kept(share).unwrap().is_none());
        let mut tally = part(share);
        tally.failures.push("a line\nand another".to_owned());
        shelf.keep(share, &tally).unwrap();
        let kept = shelf.kept(share).unwrap().unwrap();
        assert_eq!(kept.failures, ["a line and another"]);
        assert_eq!(
            Tally { failures: Vec::new(), ..kept.clone() }.written(),
            Tally { failures: Vec::new(), ..tally }.written()
        );
        sum.add(&Tally { failures: Vec::new(), ..kept });
    }
    assert_eq!(sum.written(), part(Share::ALL).written());
    let other = Shelf::open(&folder, "another plan").unwrap();
    assert!(other.kept(Share { part: 0, of: 3 }).unwrap().is_none());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_order_that_is_refused_for_its_quota_is_not_accepted_later_by_a_commit_that_was_on_its_way() {
    silence_planned_panics();
    for seed in [7401, 27_400, 848_200, 999_400] {
        assert_eq!(swarm::run(seed, Trace::Off).violations, Vec::<String>::new(), "tests/run simulation --seed {seed}");
    }
}

#[test]
fn a_panic_of_the_catalog_ends_no_run() {
    silence_planned_panics();
    assert_eq!(swarm::run(471_603, Trace::Off).violations, Vec::<String>::new(), "tests/run simulation --seed 471603");
}

#[test]
fn what_a_provider_refuses_for_good_is_refused_again_when_the_first_answer_was_lost() {
    for (fault, method) in [
        ("10:Stall", Method::Create),
        ("10:Duplicate*", Method::Create),
        ("15:Stall", Method::Commit),
        ("16:Stall", Method::Note),
        ("443:Nonsense", Method::Find),
        ("443:StaleRead", Method::Find),
        ("444:Nonsense", Method::FindLabelled),
    ] {
        replay(&format!("seed=1 order=refusals faults={fault}"), &[method]);
    }
}
