//! What a breaker does where a client that buys things needs care; each case is one that published breakers get wrong.

use std::time::Duration;

use super::super::circuit::Phase;
use super::*;
use crate::resilience::breaker::{BreakerMode, Cause, Why};

/// Shared ground: after a hundred thousand successes a few failures have to be enough.
#[tokio::test(start_paused = true)]
async fn after_a_hundred_thousand_successes_five_failures_in_a_row_open_it() {
    let breaker = breaker();
    for _ in 0..100_000 {
        permit(&breaker, Scope::All).record(Outcome::Answered);
    }
    let mut failures = 0;
    while let Admission::Go(permit) = breaker.admit(Scope::All) {
        permit.record(Outcome::Failed);
        failures += 1;
    }
    assert_eq!(failures, 5);
}

#[test]
fn of_a_thousand_calls_at_once_after_the_open_time_one_probes_and_none_goes() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    let decisions: Vec<Decision> = (0..1000).map(|_| machine.admit(due, Scope::All)).collect();
    assert_eq!(decisions.iter().filter(|it| matches!(it, Decision::Probe(_))).count(), 1);
    assert_eq!(decisions.iter().filter(|it| matches!(it, Decision::Admit(_))).count(), 0);
}

#[test]
fn a_failure_of_a_call_admitted_before_the_trip_changes_nothing_afterwards() {
    let mut machine = machine();
    let early = admitted(&mut machine, seconds(1), Scope::All);
    let due = tripped(&mut machine, seconds(1));
    let pass = probe(&mut machine, due, Scope::All);
    assert_eq!(fails(&mut machine, due, early), None);
    assert!(matches!(goes_well(&mut machine, due, pass), Some(Transition::Closed { scope: Scope::All })));
    let late = early;
    assert_eq!(fails(&mut machine, due, late), None);
    assert!(matches!(machine.admit(due, Scope::All), Decision::Admit(_)));
}

#[test]
fn a_success_of_a_call_admitted_before_the_trip_closes_nothing() {
    let mut machine = machine();
    let early = admitted(&mut machine, seconds(1), Scope::All);
    let due = tripped(&mut machine, seconds(1));
    assert_eq!(goes_well(&mut machine, due, early), None);
    probe(&mut machine, due, Scope::All);
    assert_eq!(goes_well(&mut machine, due, early), None);
    assert!(matches!(machine.admit(due, Scope::All), Decision::Refuse { .. }));
}

#[test]
fn half_of_the_calls_of_the_window_open_it_and_a_smaller_share_does_not() {
    for (good, opens) in [(5, true), (6, false)] {
        let mut machine = Machine::new(BreakerSettings { failures_in_a_row: 1000, ..BreakerSettings::default() });
        machine.succeeded(Scope::All, 1, good);
        let mut last = None;
        for _ in 0..5 {
            let pass = admitted(&mut machine, seconds(2), Scope::All);
            assert_eq!(last, None);
            last = fails(&mut machine, seconds(2), pass);
        }
        let opened = matches!(last, Some(Transition::Opened { cause: Cause::FailedShare, .. }));
        assert_eq!(opened, opens, "{good} good ones");
    }
}

#[test]
fn slow_answers_open_it_at_the_bound_and_not_below() {
    for (slow, opens) in [(8, true), (7, false)] {
        let mut machine = machine();
        let mut opened = false;
        for n in 0..10 {
            let pass = admitted(&mut machine, seconds(1), Scope::All);
            let is_slow = n >= 10 - slow;
            opened |= machine.record(seconds(1), pass, Outcome::Answered, is_slow, 0.0).is_some();
        }
        assert_eq!(opened, opens, "{slow} of 10");
    }
}

#[test]
fn failing_creates_open_it_for_creates_alone() {
    let mut machine = machine();
    let now = seconds(1);
    let mut opened = None;
    for _ in 0..5 {
        let pass = admitted(&mut machine, now, Scope::Creates);
        opened = fails(&mut machine, now, pass);
        if opened.is_none() {
            let read = admitted(&mut machine, now, Scope::All);
            assert_eq!(goes_well(&mut machine, now, read), None);
        }
    }
    let Some(Transition::Opened { scope: Scope::Creates, until, .. }) = opened else {
        panic!("{opened:?}");
    };
    let refused = Decision::Refuse { why: Why::Open(Scope::Creates, Cause::InARow), until };
    assert_eq!(machine.admit(now, Scope::Creates), refused);
    assert!(matches!(machine.admit(now, Scope::All), Decision::Admit(_)));
}

#[test]
fn creates_come_back_one_two_four_and_a_failing_first_one_opens_it_again_for_longer() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    let pass = probe(&mut machine, due, Scope::Creates);
    assert!(goes_well(&mut machine, due, pass).is_some());
    let first = admitted(&mut machine, due, Scope::Creates);
    assert!(matches!(machine.admit(due, Scope::Creates), Decision::Refuse { why: Why::Ramp, .. }));
    let again = fails(&mut machine, due, first);
    let Some(Transition::Opened { cause: Cause::FirstAfterOutage, until, .. }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(until - due, seconds(45));
    let pass = probe(&mut machine, until, Scope::Creates);
    assert!(goes_well(&mut machine, until, pass).is_some());
    let mut rounds = Vec::new();
    while machine.ramp_size().is_some() {
        let mut passes = Vec::new();
        while let Decision::Admit(pass) = machine.admit(until, Scope::Creates) {
            passes.push(pass);
        }
        rounds.push(passes.len());
        passes.into_iter().for_each(|pass| assert_eq!(goes_well(&mut machine, until, pass), None));
    }
    assert_eq!(rounds, [1, 2, 4, 8, 16, 32, 64]);
    assert!(machine.plain().is_some());
}

#[test]
fn rounds_that_too_few_orders_would_ever_fill_end_with_the_time_of_easing() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    let pass = probe(&mut machine, due, Scope::Creates);
    assert!(goes_well(&mut machine, due, pass).is_some());
    let first = admitted(&mut machine, due, Scope::Creates);
    assert_eq!(goes_well(&mut machine, due, first), None);
    assert_eq!(machine.ramp_size(), Some(2));
    // Easing takes 60 s at a part and 30 s at half of the rate.
    machine.end_ramp(due + seconds(90) - Duration::from_millis(1));
    assert_eq!(machine.ramp_size(), Some(2));
    // A create without an answer still takes its place.
    let second = admitted(&mut machine, due + seconds(89), Scope::Creates);
    machine.end_ramp(due + seconds(90));
    assert_eq!(machine.ramp_size(), Some(2));
    assert_eq!(goes_well(&mut machine, due + seconds(90), second), None);
    machine.end_ramp(due + seconds(90));
    assert_eq!((machine.ramp_size(), machine.plain().is_some()), (None, true));
}

#[test]
fn a_crowd_that_waits_for_a_probe_that_hangs_comes_back_spread() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    probe(&mut machine, due, Scope::All);
    let told: Vec<Duration> = (0..2_000).map(|_| machine.shut(due, Scope::All).unwrap().retry_after).collect();
    let retry = BreakerSettings::default().probe_retry();
    let at_once = told.iter().filter(|wait| **wait < retry + seconds(1)).count();
    assert!(told.iter().all(|wait| *wait >= retry) && at_once <= 400, "{at_once}");
}

#[test]
fn a_create_that_is_dropped_after_an_outage_gives_its_place_back() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    let pass = probe(&mut machine, due, Scope::Creates);
    assert!(goes_well(&mut machine, due, pass).is_some());
    let first = admitted(&mut machine, due, Scope::Creates);
    assert_eq!(machine.record(due, first, Outcome::Neutral, false, 0.0), None);
    admitted(&mut machine, due, Scope::Creates);
}

#[test]
fn a_probe_that_hangs_is_given_up_and_its_late_result_changes_nothing() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    let hung = probe(&mut machine, due, Scope::All);
    let lease = BreakerSettings::default().probe_deadline;
    assert!(matches!(machine.admit(due + lease - seconds(1), Scope::All), Decision::Refuse { .. }));
    let second = probe(&mut machine, due + lease, Scope::All);
    assert_eq!(goes_well(&mut machine, due + lease, hung), None);
    assert!(matches!(machine.circuit(Scope::All).phase, Phase::Probing { .. }));
    assert!(goes_well(&mut machine, due + lease, second).is_some());
}

#[test]
fn a_probe_that_is_dropped_is_taken_over_by_the_next_call_at_once() {
    let mut machine = machine();
    let due = tripped(&mut machine, seconds(1));
    let dropped = probe(&mut machine, due, Scope::All);
    assert_eq!(machine.record(due, dropped, Outcome::Neutral, false, 0.0), None);
    probe(&mut machine, due, Scope::All);
}

#[test]
fn it_stays_open_for_thirty_seconds_then_longer_but_never_so_long_that_the_end_is_missed() {
    let mut machine = machine();
    let mut due = tripped(&mut machine, seconds(100));
    assert_eq!(due, seconds(130));
    for _ in 0..5 {
        let pass = probe(&mut machine, due, Scope::All);
        let opened = machine.record(due, pass, Outcome::Failed, false, 1.0);
        let Some(Transition::Opened { cause: Cause::ProbeFailed, until, .. }) = opened else {
            panic!("{opened:?}");
        };
        assert_eq!(until - due, seconds(45).mul_f64(1.1));
        due = until;
    }
}

#[test]
fn nothing_that_tells_nothing_is_counted() {
    let mut machine = machine();
    for _ in 0..1000 {
        let pass = admitted(&mut machine, seconds(1), Scope::Creates);
        assert_eq!(machine.record(seconds(1), pass, Outcome::Neutral, true, 0.0), None);
    }
    assert_eq!(machine.counts(Scope::All, seconds(1)).calls, 0);
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_hold_it_open_hold_it_closed_or_let_it_only_watch() {
    let breaker = breaker();
    breaker.set_mode(BreakerMode::ForcedOpen);
    let Admission::Refused(refused) = breaker.admit(Scope::All) else { panic!("let through") };
    assert_eq!((refused.why.code(), refused.retry_after), ("breaker_forced_open", seconds(60)));
    for mode in [BreakerMode::ForcedClosed, BreakerMode::ObserveOnly] {
        breaker.set_mode(mode);
        (0..100).for_each(|_| permit(&breaker, Scope::All).record(Outcome::Failed));
    }
    breaker.set_mode(BreakerMode::Automatic);
    let Admission::Refused(refused) = breaker.admit(Scope::All) else { panic!("let through") };
    assert_eq!(refused.why.code(), "breaker_open");
}
