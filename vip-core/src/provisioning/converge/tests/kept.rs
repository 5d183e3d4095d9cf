//! Details that no table names and on which something depends: each was once changed and nobody saw it.

use super::*;
use crate::model::{Desired, ParkReason, Removal, ServerState};
use crate::ports::{ActionStatus, ActionView, ProviderErrorKind};
use crate::provisioning::converge::{
    Answer, Asked, Change, Failure, Look, LookFor, NameFinding, Step, absorb, announce, next_step,
};

fn confirm_look(world: &World) -> Change {
    let look = Look::Id { account: account(), id: id("1"), why: LookFor::Confirm };
    let seen = Answer::Server(Some(seen(world, "1", ServerStatus::Starting)));
    absorb(&world.view(), &Asked::Look { look, started: NOW }, &seen)
}

fn refused(world: &World, effect: Effect, kind: ProviderErrorKind) -> Change {
    let failure = Failure { kind, ..Failure::unanswered() };
    absorb(&world.view(), &Asked::Effect(intent(effect, NOW)), &Answer::Failed(failure))
}

pub(super) fn removal(text: &str) -> Removal {
    Removal {
        account: account(),
        id: id(text),
        since: NOW,
        seen_by_id: true,
        accepted_at: None,
        first_accepted_at: None,
        looks: 0,
        gone: false,
    }
}

#[test]
fn the_time_of_a_create_counts_from_the_first_answer_of_an_unbroken_row() {
    let first = NOW.minus(seconds(900));
    let confirming = |waiting_since, last_answer| {
        let world = World::with(|s| {
            s.state = ServerState::Confirming;
            s.provider_ref = Some(reference("1"));
            s.waiting_since = waiting_since;
            s.last_answer = last_answer;
        });
        let server = confirm_look(&world).server;
        (server.waiting_since, server.last_answer)
    };
    assert_eq!(confirming(Some(first), Some(NOW.minus(seconds(300)))), (Some(first), Some(NOW)));
    assert_eq!(confirming(Some(first), Some(NOW.minus(seconds(301)))), (Some(NOW), Some(NOW)), "too long a pause");
    assert_eq!(confirming(None, Some(NOW.minus(seconds(1)))), (Some(NOW), Some(NOW)), "silence came between");
    assert_eq!(confirming(None, None), (Some(NOW), Some(NOW)));
}

#[test]
fn a_refused_candidate_gives_way_and_the_order_goes_on() {
    let world = World::with(|s| s.state = ServerState::Creating);
    let change = refused(&world, Effect::Create { candidate: 0 }, ProviderErrorKind::InvalidInput);
    assert_eq!((change.server.state, change.server.cursor), (ServerState::Creating, 1));
}

#[test]
fn an_announced_create_leaves_requested_and_no_other_state() {
    for (before, after) in [
        (ServerState::Requested, ServerState::Creating),
        (ServerState::Creating, ServerState::Creating),
        (ServerState::Parked, ServerState::Parked),
    ] {
        let world = World::with(|s| s.state = before);
        let change = announce(&world.view(), intent(Effect::Create { candidate: 0 }, NOW));
        assert_eq!((change.server.state, change.server.account), (after, Some(account())));
    }
}

#[test]
fn the_first_create_without_an_answer_leaves_requested_and_a_failing_order_stays_failing() {
    for (before, after) in
        [(ServerState::Requested, ServerState::Creating), (ServerState::Failing, ServerState::Failing)]
    {
        let world = World::with(|s| s.state = before);
        let change = refused(&world, Effect::Create { candidate: 0 }, ProviderErrorKind::Unknown);
        assert_eq!(change.server.state, after);
    }
}

#[test]
fn a_new_turn_forgets_the_back_off_of_the_old_one() {
    let world = World::with(|s| {
        s.desired = Desired::Absent;
        s.backoff = 5;
        s.not_before = Some(NOW.plus(seconds(60)));
        s.wait_reason = Some(crate::model::WaitReason::NoStock);
    });
    let Step::Move(change) = next_step(&world.view()) else { panic!("no move") };
    assert_eq!((change.server.backoff, change.server.not_before, change.server.wait_reason), (0, None, None));
}

#[test]
fn while_an_outage_eases_creates_wait_and_looks_do_not() {
    let mut world = World::new();
    let until = NOW.plus(seconds(9));
    world.gates.insert(account(), GateView::Easing { until });
    let reason = crate::model::WaitReason::ProviderUnavailable;
    assert_eq!(next_step(&world.view()), Step::Wait { until, reason });
    world.server.state = ServerState::Creating;
    world.server.unsettled = Some(unsettled(None));
    assert_eq!(next_step(&world.view()), Step::Look(Look::Name { account: account() }));
}

#[test]
fn a_deletion_removes_the_recorded_server_before_a_second_one_that_was_begun() {
    let world = World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.provider_ref = Some(reference("1"));
        s.removing = Some(removal("2"));
    });
    let call = Step::Call { effect: Effect::Delete { id: id("1") }, account: account() };
    assert_eq!(next_step(&world.view()), call);
}

#[test]
fn a_removal_knows_of_the_recorded_server_since_it_was_recorded_and_of_another_since_now() {
    let mut world = World::with(|s| s.provider_ref = Some(reference("1")));
    world.server.provider_ref.as_mut().unwrap().seen_by_id = true;
    for (text, since, seen_by_id) in [("1", NOW.minus(seconds(5)), true), ("2", NOW, false)] {
        let change = announce(&world.view(), intent(Effect::Delete { id: id(text) }, NOW));
        let removing = change.server.removing.unwrap();
        assert_eq!((removing.since, removing.seen_by_id), (since, seen_by_id), "{text}");
    }
}

#[test]
fn a_server_with_the_id_of_one_that_is_gone_is_another_if_its_account_is_another() {
    let mut world = World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.provider_ref = Some(ProviderRef { gone: true, ..reference("7") });
        s.removing = Some(Removal { gone: true, ..removal("7") });
        s.land = BTreeMap::from([(other_account(), landing(NOW))]);
    });
    let look = Look::Name { account: other_account() };
    assert_eq!(next_step(&world.view()), Step::Look(look.clone()));
    let found = NameFinding { named: Some(seen(&world, "7", ServerStatus::Running)), labelled: Vec::new() };
    world.server = absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Name(found)).server;
    let call = Step::Call { effect: Effect::Delete { id: id("7") }, account: other_account() };
    assert_eq!(next_step(&world.view()), call, "there is one in the other account");
}

#[test]
fn what_is_gone_in_one_account_is_not_gone_in_another() {
    let removing = Removal { account: other_account(), accepted_at: Some(NOW), ..removal("7") };
    let world = World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.provider_ref = Some(reference("7"));
        s.removing = Some(removing);
    });
    let look = Look::Id { account: other_account(), id: id("7"), why: LookFor::Removal };
    let mut world = World {
        server: absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Server(None)).server,
        ..world
    };
    assert!(!world.server.provider_ref.as_ref().unwrap().gone);
    world.server.not_before = None;
    let call = Step::Call { effect: Effect::Delete { id: id("7") }, account: account() };
    assert_eq!(next_step(&world.view()), call);
}

#[test]
fn the_recorded_id_is_never_surplus_in_whatever_account_and_what_is_lost_comes_back_in_its_own_alone() {
    let elsewhere = |state, class| {
        let mut world = World::with(|s| {
            s.state = state;
            s.provider_ref = Some(reference("7"));
        });
        let mut seen = sighting("7", world.server.id, class);
        seen.key.account = other_account();
        world.sightings = vec![seen];
        world
    };
    assert_eq!(next_step(&elsewhere(ServerState::Running, SightingClass::Surplus).view()), Step::Settled);
    for state in [ServerState::Running, ServerState::Lost] {
        let world = elsewhere(state, SightingClass::Resurfaced);
        let look = Look::Id { account: other_account(), id: id("7"), why: LookFor::Resurfaced };
        let shown = Answer::Server(Some(seen(&world, "7", ServerStatus::Running)));
        let change = absorb(&world.view(), &Asked::Look { look, started: NOW }, &shown);
        assert_eq!((change.server.state, change.server.removing), (state, None));
    }
}

#[test]
fn protection_parks_a_failing_order_though_its_server_is_still_wanted() {
    let world = World::with(|s| {
        s.state = ServerState::Failing;
        s.provider_ref = Some(reference("1"));
        s.removing = Some(removal("1"));
    });
    let change = refused(&world, Effect::Delete { id: id("1") }, ProviderErrorKind::Protected);
    assert_eq!((change.server.state, change.server.park_reason), (ServerState::Parked, Some(ParkReason::Protected)));
}

#[test]
fn of_the_refusals_of_a_delete_a_bug_alone_burns_an_attempt() {
    let world = World::with(|s| s.state = ServerState::Deleting);
    for (kind, is_bug) in [(ProviderErrorKind::Bug, true), (ProviderErrorKind::NotSent, false)] {
        assert_eq!(refused(&world, Effect::Delete { id: id("1") }, kind).bug, is_bug);
    }
}

#[test]
fn a_time_on_the_grid_stays_and_one_beyond_it_goes_to_the_next() {
    let mut world = World::new();
    world.timing.look_again = seconds(3);
    for (now, at) in [(3_000_000, 3_000_000), (3_000_001, 6_000_000), (5_999_999, 6_000_000)] {
        world.now = Timestamp::from_micros(now);
        assert_eq!(world.view().at_a_common_time(Duration::ZERO), Timestamp::from_micros(at));
    }
}

#[test]
fn the_first_look_comes_as_set_until_it_is_known_how_long_a_create_takes() {
    let world = World::new();
    assert_eq!(world.view().first_look(), world.timing.look_first);
    assert_eq!(View { usual_create: Some(seconds(100)), ..world.view() }.first_look(), seconds(95));
}

#[test]
fn an_action_in_error_counts_before_one_that_runs() {
    let world = World::with(|s| s.state = ServerState::Confirming);
    let action = |text: &str, status| ActionView { id: crate::model::ProviderActionId::new(text).unwrap(), status };
    let failed = ActionStatus::Failed { code: "code".to_owned() };
    let seen = vec![action("1", ActionStatus::Running), action("2", failed)];
    let look = Look::Actions { account: account(), ids: Vec::new() };
    let change = absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Actions(seen));
    assert_eq!(change.server.state, ServerState::Failing);
}
