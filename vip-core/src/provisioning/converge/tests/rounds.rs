//! C5, C6: rounds whose candidates are refused each in its own way, what their orders wait for, and how urgently they are tried again.

use super::*;
use crate::model::{Candidate, FailReason, ParkReason, ServerState, Shortage, WaitReason};
use crate::ports::Priority;
use crate::ports::ProviderErrorKind::{
    self, AccountLimit, Busy, Exhausted, InvalidInput, NotSent, Placement, Protected, Throttled, Unknown,
};
use crate::provisioning::converge::{
    Answer, Asked, Change, Failure, NameFinding, Step, absorb, announce, moves, next_step, outlook,
};

/// Is what comes of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The order waits for stock.
    Stock,
    /// It waits for room below a limit.
    Room,
    /// It fails.
    Rejected,
}

/// Makes an order with a candidate in each of these accounts.
fn order_in(accounts: &[&str]) -> World {
    let mut world = World::with(|s| {
        let one = s.candidates.remove(0);
        let there = |name: &&str| Candidate { account: AccountId::new(*name).unwrap(), ..one.clone() };
        s.candidates = accounts.iter().map(there).collect();
    });
    let gates = world.server.candidates.iter().map(|it| (it.account.clone(), GateView::Open));
    world.gates = gates.collect();
    world
}

/// Refuses the create that comes next.
fn refuse(world: &mut World, kind: ProviderErrorKind) -> Change {
    let step = next_step(&world.view());
    let Step::Call { effect, account } = step else { panic!("no create: {step:?}") };
    let open = Intent { account, ..intent(effect, world.now) };
    world.server = announce(&world.view(), open.clone()).server;
    let failure = Failure { kind, ..Failure::unanswered() };
    let change = absorb(&world.view(), &Asked::Effect(open), &Answer::Failed(failure));
    world.server = change.server.clone();
    change
}

/// Refuses each create of a round; returns what comes of it.
fn round(world: &mut World, answers: &[ProviderErrorKind]) -> End {
    for kind in answers {
        let before = &world.server;
        let is_between = before.cursor > 0 || before.not_before.is_none_or(|until| until <= world.now);
        assert!(is_between && before.state != ServerState::Failing, "it is over before {kind:?}: {answers:?}");
        drop(refuse(world, *kind));
    }
    let server = &world.server;
    let waits = (server.cursor, server.shortages.len()) == (0, 0) && server.not_before > Some(world.now);
    match (server.state, server.park_reason, server.wait_reason, server.fail_reason) {
        (ServerState::Creating, None, Some(WaitReason::NoStock), None) if waits => End::Stock,
        (ServerState::Parked, Some(ParkReason::ProviderLimit), ..) if waits => End::Room,
        (ServerState::Failing, None, _, Some(FailReason::Rejected)) => End::Rejected,
        _ => panic!("{answers:?}: {server:?}"),
    }
}

#[test]
fn c6_an_order_waits_for_stock_before_a_limit_and_fails_only_if_each_candidate_is_refused_for_good() {
    let kinds = [Exhausted, AccountLimit, InvalidInput];
    let expected = |answers: &[ProviderErrorKind]| {
        if answers.contains(&Exhausted) {
            End::Stock
        } else if answers.contains(&AccountLimit) {
            End::Room
        } else {
            End::Rejected
        }
    };
    for first in kinds {
        assert_eq!(round(&mut order_in(&["a"]), &[first]), expected(&[first]));
        for second in kinds {
            let two = [first, second];
            assert_eq!(round(&mut order_in(&["a", "b"]), &two), expected(&two), "{two:?}");
            for third in kinds {
                let three = [first, second, third];
                assert_eq!(round(&mut order_in(&["a", "b", "c"]), &three), expected(&three), "{three:?}");
            }
        }
    }
    for kind in [Placement, Protected] {
        assert_eq!(round(&mut order_in(&["a", "b"]), &[AccountLimit, kind]), End::Room, "{kind:?}");
    }
}

#[test]
fn c6_of_one_account_the_latest_answer_counts() {
    for (accounts, answers, end) in [
        // Whatever is in stock there, the account has no room for it.
        (vec!["a", "a"], vec![Exhausted, AccountLimit], End::Room),
        (vec!["a", "a", "a"], vec![Exhausted, AccountLimit], End::Room),
        (vec!["a", "a", "b"], vec![Exhausted, AccountLimit, InvalidInput], End::Room),
        (vec!["a", "a", "b"], vec![Exhausted, AccountLimit, Exhausted], End::Stock),
        (vec!["a", "b", "a"], vec![AccountLimit, InvalidInput, Exhausted], End::Stock),
        (vec!["a", "b", "b"], vec![Exhausted, AccountLimit], End::Stock),
    ] {
        assert_eq!(round(&mut order_in(&accounts), &answers), end, "{accounts:?} {answers:?}");
    }
}

#[test]
fn c6_a_parked_order_stays_so_while_one_account_is_at_its_limit_and_each_round_counts_alone() {
    let mut world = order_in(&["a", "b"]);
    assert_eq!(round(&mut world, &[AccountLimit, AccountLimit]), End::Room);
    world.now = world.server.not_before.unwrap();
    drop(refuse(&mut world, AccountLimit));
    assert_eq!((world.server.state, world.server.cursor), (ServerState::Parked, 1));
    let change = refuse(&mut world, InvalidInput);
    assert_eq!((change.server.park_reason, change.operations), (Some(ParkReason::ProviderLimit), vec![]));
    world.now = world.server.not_before.unwrap();
    assert_eq!(round(&mut world, &[InvalidInput, InvalidInput]), End::Rejected, "no account is at its limit any more");
}

#[test]
fn c6_stock_that_was_short_in_an_earlier_round_is_not_waited_for_where_a_limit_is_reached_now() {
    let mut world = order_in(&["a", "b"]);
    assert_eq!(round(&mut world, &[Exhausted, Exhausted]), End::Stock);
    for answers in [[AccountLimit, AccountLimit], [AccountLimit, InvalidInput], [InvalidInput, AccountLimit]] {
        world.now = world.server.not_before.unwrap();
        assert_eq!(round(&mut world, &answers), End::Room, "{answers:?}");
    }
}

#[test]
fn c6_patience_with_stock_ends_though_another_account_is_at_its_limit() {
    let mut world = order_in(&["a", "b"]);
    let mut rounds = 0;
    while world.server.state != ServerState::Failing {
        drop(refuse(&mut world, Exhausted));
        drop(refuse(&mut world, AccountLimit));
        rounds += 1;
        assert!(rounds < 200 && world.server.state != ServerState::Parked, "it never ends: {:?}", world.server);
        world.now = world.server.not_before.unwrap_or(world.now);
    }
    assert_eq!(world.server.fail_reason, Some(FailReason::NoStock));
    assert!(world.now.since(NOW) >= world.timing.stock_patience, "after {:?}", world.now.since(NOW));
}

#[test]
fn c6_a_round_ends_only_once_a_create_before_its_last_refusal_is_settled() {
    let by = NOW.plus(seconds(500));
    for kind in [InvalidInput, AccountLimit] {
        let mut world = order_in(&["a", "b"]);
        drop(refuse(&mut world, AccountLimit));
        let second = world.server.candidates[1].account.clone();
        world.server.unsettled = Some(Unsettled { account: second.clone(), ..unsettled(Some(NOW)) });
        world.server.land.insert(second, landing(by));
        drop(refuse(&mut world, kind));
        let waiting = &world.server;
        assert_eq!(
            (waiting.state, waiting.cursor, waiting.not_before),
            (ServerState::Creating, 1, Some(by)),
            "{kind:?}"
        );
        assert_eq!(waiting.shortages[&waiting.candidates[0].account], Shortage::Limit);
        // A look finds none.
        (world.server.unsettled, world.now) = (None, by);
        world.server.land.clear();
        assert_eq!(round(&mut world, &[kind]), End::Room, "{kind:?}");
    }
}

/// Refuses the create that comes next, looks in vain for one whose answer was lost, and lets the wait pass that follows.
fn pass(world: &mut World, kind: ProviderErrorKind) {
    drop(refuse(world, kind));
    let step = next_step(&world.view());
    if let Step::Look(look) = step {
        let asked = Asked::Look { look, started: world.now };
        world.server = absorb(&world.view(), &asked, &Answer::Name(NameFinding::default())).server;
    }
    world.now = world.server.not_before.unwrap_or(world.now);
}

/// Returns which candidate is asked next, and how urgently.
fn next_create(world: &World) -> (usize, Priority) {
    let step = next_step(&world.view());
    let Step::Call { effect: Effect::Create { candidate }, .. } = step else { panic!("no create: {step:?}") };
    (candidate, outlook::of_effect(&Effect::Create { candidate }, &world.server))
}

#[test]
fn c5_a_candidate_that_nobody_has_asked_is_urgent_whatever_its_order_backed_off_for() {
    for kind in [Throttled { retry_after: seconds(5) }, NotSent, Busy, Unknown] {
        let mut world = order_in(&["a", "a"]);
        pass(&mut world, kind);
        pass(&mut world, Exhausted);
        assert_eq!(next_create(&world), (1, Priority::Change), "after {kind:?}");
        pass(&mut world, kind);
        assert_eq!(next_create(&world), (1, Priority::Change), "after {kind:?} twice");
        pass(&mut world, Exhausted);
        assert_eq!(next_create(&world), (0, Priority::BestEffort), "all were asked, after {kind:?}");
        pass(&mut world, kind);
        assert_eq!(next_create(&world), (0, Priority::BestEffort), "whatever it waited for since: {kind:?}");
    }
}

#[test]
fn c5_an_order_that_somebody_resumes_is_urgent_until_all_is_refused_again() {
    let mut world = order_in(&["a", "a"]);
    pass(&mut world, Exhausted);
    pass(&mut world, Exhausted);
    pass(&mut world, AccountLimit);
    assert_eq!(next_create(&world), (0, Priority::BestEffort), "it is parked");
    world.server = moves::resume(&world.view()).server;
    pass(&mut world, NotSent);
    assert_eq!(next_create(&world), (0, Priority::Change));
}

#[test]
fn a_candidate_is_only_tried_once_it_was_called_busy_six_times_and_an_outage_is_not_busy() {
    let mut world = order_in(&["a", "a"]);
    for _ in 0..9 {
        pass(&mut world, NotSent);
    }
    for _ in 0..5 {
        pass(&mut world, Busy);
        assert_eq!(next_create(&world), (0, Priority::Change));
    }
    pass(&mut world, Busy);
    assert_eq!(next_create(&world), (0, Priority::BestEffort));
    pass(&mut world, NotSent);
    assert_eq!(next_create(&world), (0, Priority::BestEffort), "it was busy when it was last asked");
    pass(&mut world, Exhausted);
    assert_eq!(next_create(&world), (1, Priority::Change), "that is another one");
}
