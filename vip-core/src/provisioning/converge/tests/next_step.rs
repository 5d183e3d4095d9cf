//! Rows N0 to N12, C1 to C5 and D1 to D5.

use super::*;
use crate::model::{Desired, FailReason, ParkReason, Removal, ServerState, WaitReason};
use crate::provisioning::converge::{Answer, Asked, Look, LookFor, NameFinding, Step, absorb, next_step};

fn create(candidate: usize) -> Step {
    Step::Call { effect: Effect::Create { candidate }, account: account() }
}

fn delete(text: &str) -> Step {
    Step::Call { effect: Effect::Delete { id: id(text) }, account: account() }
}

fn look_by_id(text: &str, why: LookFor) -> Step {
    Step::Look(Look::Id { account: account(), id: id(text), why })
}

fn look_by_name() -> Step {
    Step::Look(Look::Name { account: account() })
}

fn wait(until: Timestamp, reason: WaitReason) -> Step {
    Step::Wait { until, reason }
}

fn moved_to(world: &World) -> ServerState {
    let step = next_step(&world.view());
    let Step::Move(change) = step else { panic!("{step:?}") };
    change.server.state
}

#[test]
fn n0_a_parked_record_waits_for_its_check_and_then_goes_on_where_it_was() {
    let parked = |check: Timestamp| {
        World::with(|s| {
            s.state = ServerState::Parked;
            s.parked_from = Some(ServerState::Creating);
            s.park_reason = Some(ParkReason::ForeignName);
            s.unsettled = Some(unsettled(None));
            s.not_before = Some(check);
        })
    };
    assert_eq!(next_step(&parked(NOW.plus(seconds(1))).view()), wait(NOW.plus(seconds(1)), WaitReason::Parked));
    assert_eq!(next_step(&parked(NOW).view()), look_by_name());
}

#[test]
fn n0_a_restored_record_rests_and_a_dead_one_goes_on_when_its_job_runs() {
    let parked = |reason| {
        World::with(|s| {
            s.state = ServerState::Parked;
            s.parked_from = Some(ServerState::Creating);
            s.park_reason = Some(reason);
        })
    };
    assert_eq!(next_step(&parked(ParkReason::Restored).view()), Step::Settled);
    assert_eq!(moved_to(&parked(ParkReason::HandlerFailed)), ServerState::Creating);
}

#[test]
fn n0_a_delete_moves_a_parked_create_on_but_not_a_parked_delete() {
    let parked = |from| {
        World::with(|s| {
            s.state = ServerState::Parked;
            s.parked_from = Some(from);
            s.park_reason = Some(ParkReason::Protected);
            s.not_before = Some(NOW.plus(seconds(9)));
            s.desired = Desired::Absent;
        })
    };
    assert_eq!(moved_to(&parked(ServerState::Creating)), ServerState::Deleting);
    assert_eq!(next_step(&parked(ServerState::Deleting).view()), wait(NOW.plus(seconds(9)), WaitReason::Parked));
}

#[test]
fn n1_n2_an_open_create_is_waited_for_until_its_request_is_over_and_is_unknown_then() {
    let open = |announced: Timestamp| {
        World::with(|s| {
            s.state = ServerState::Creating;
            s.intent = Some(intent(Effect::Create { candidate: 0 }, announced));
        })
    };
    let over = NOW.plus(seconds(1));
    assert_eq!(next_step(&open(NOW.minus(seconds(29))).view()), wait(over, WaitReason::RequestInFlight));
    let Step::Move(change) = next_step(&open(NOW.minus(seconds(30))).view()) else { panic!("no move") };
    assert!(change.server.intent.is_none() && change.server.unsettled.is_some());
    assert_eq!(change.server.land[&account()].by, NOW.plus(seconds(600)));
}

#[test]
fn n2_an_open_delete_is_not_waited_for() {
    let world = World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.provider_ref = Some(reference("1"));
        s.intent = Some(intent(Effect::Delete { id: id("1") }, NOW.minus(seconds(1))));
    });
    let Step::Move(change) = next_step(&world.view()) else { panic!("no move") };
    assert!(change.server.intent.is_none() && change.server.not_before.is_some());
}

#[test]
fn n3_final_and_running_records_are_settled() {
    for state in [ServerState::Failed, ServerState::Deleted, ServerState::Running, ServerState::Lost] {
        assert_eq!(next_step(&World::with(|s| s.state = state).view()), Step::Settled, "{state:?}");
    }
}

#[test]
fn n4_n5_a_request_waits_for_the_gate_and_the_back_off() {
    let mut world = World::new();
    world.gates.insert(account(), GateView::Closed { until: NOW.plus(seconds(7)) });
    assert_eq!(next_step(&world.view()), wait(NOW.plus(seconds(7)), WaitReason::AccountBlocked));
    world.gates.clear();
    assert_eq!(next_step(&world.view()), wait(NOW.plus(seconds(60)), WaitReason::AccountBlocked));
    let world = World::with(|s| {
        s.not_before = Some(NOW.plus(seconds(3)));
        s.wait_reason = Some(WaitReason::Throttled);
    });
    assert_eq!(next_step(&world.view()), wait(NOW.plus(seconds(3)), WaitReason::Throttled));
}

#[test]
fn n6_a_ripe_surplus_is_looked_at_and_then_removed_while_the_record_stays() {
    let mut world = World::with(|s| {
        s.state = ServerState::Running;
        s.provider_ref = Some(reference("1"));
    });
    world.sightings = vec![sighting("2", world.server.id, SightingClass::Surplus)];
    assert_eq!(next_step(&world.view()), look_by_id("2", LookFor::Surplus));
    world.server.removing = Some(removal("2"));
    assert_eq!(next_step(&world.view()), delete("2"));
    // The recorded server itself is never surplus, whatever a sighting says.
    world.server.removing = None;
    world.sightings = vec![sighting("1", world.server.id, SightingClass::Surplus)];
    assert_eq!(next_step(&world.view()), Step::Settled);
    world.sightings[0].ripe = false;
    assert_eq!(next_step(&world.view()), Step::Settled);
}

#[test]
fn n7_n9_resurfaced_and_missing_servers_are_looked_at_by_id() {
    for (state, class, why) in [
        (ServerState::Deleted, SightingClass::Resurfaced, LookFor::Resurfaced),
        (ServerState::Failed, SightingClass::Resurfaced, LookFor::Resurfaced),
        (ServerState::Lost, SightingClass::Resurfaced, LookFor::Resurfaced),
        (ServerState::Running, SightingClass::Missing, LookFor::Missing),
    ] {
        let mut world = World::with(|s| s.state = state);
        world.sightings = vec![sighting("1", world.server.id, class)];
        assert_eq!(next_step(&world.view()), look_by_id("1", why), "{state:?}");
    }
}

#[test]
fn n8_a_wish_for_absence_moves_every_live_state_towards_deleting() {
    for state in [
        ServerState::Requested,
        ServerState::Creating,
        ServerState::Confirming,
        ServerState::Running,
        ServerState::Lost,
    ] {
        let world = World::with(|s| {
            s.state = state;
            s.desired = Desired::Absent;
        });
        assert_eq!(moved_to(&world), ServerState::Deleting, "{state:?}");
    }
}

fn sighted(mut world: World) -> World {
    world.sightings = vec![sighting("1", world.server.id, SightingClass::Resurfaced)];
    world
}

#[test]
fn n10_what_a_sweep_has_seen_of_an_order_is_looked_for_before_anything_is_made() {
    for state in [ServerState::Requested, ServerState::Creating] {
        assert_eq!(next_step(&sighted(World::with(|s| s.state = state)).view()), look_by_name(), "{state:?}");
    }
    let mut parked = sighted(World::with(|s| {
        s.state = ServerState::Parked;
        s.parked_from = Some(ServerState::Creating);
        s.park_reason = Some(ParkReason::ProviderLimit);
        s.not_before = Some(NOW.plus(seconds(1)));
    }));
    assert_eq!(next_step(&parked.view()), wait(NOW.plus(seconds(1)), WaitReason::Parked), "when its check is due");
    parked.now = NOW.plus(seconds(1));
    assert_eq!(next_step(&parked.view()), look_by_name());
    // Where the order may not go nothing was made for it.
    let mut elsewhere = sighted(World::new());
    elsewhere.sightings[0].key.account = other_account();
    assert_eq!(next_step(&elsewhere.view()), create(0));
    elsewhere.server.candidates[1].account = other_account();
    assert_eq!(next_step(&elsewhere.view()), Step::Look(Look::Name { account: other_account() }));
    elsewhere.sightings[0].ripe = false;
    assert_eq!(next_step(&elsewhere.view()), create(0));
}

#[test]
fn n11_only_answers_can_time_a_create_out() {
    let world = |since: u64, last: u64| {
        World::with(|s| {
            s.state = ServerState::Confirming;
            s.provider_ref = Some(reference("1"));
            s.waiting_since = Some(NOW.minus(seconds(since)));
            s.last_answer = Some(NOW.minus(seconds(last)));
        })
    };
    // The answers may have been those of lists, or about an action: the server itself is asked.
    assert_eq!(next_step(&world(1800, 0).view()), look_by_id("1", LookFor::Timeout));
    assert_eq!(next_step(&world(1800, 1).view()), look_by_id("1", LookFor::Confirm));
    let mut open = world(1800, 0);
    open.server.actions = vec![crate::model::ProviderActionId::new("7").unwrap()];
    assert_eq!(next_step(&open.view()), look_by_id("1", LookFor::Timeout));
}

#[test]
fn n12_actions_are_looked_at_before_the_server() {
    let mut world = World::with(|s| {
        s.state = ServerState::Confirming;
        s.provider_ref = Some(reference("1"));
        s.actions = vec![crate::model::ProviderActionId::new("7").unwrap()];
    });
    let ids = world.server.actions.clone();
    assert_eq!(next_step(&world.view()), Step::Look(Look::Actions { account: account(), ids }));
    world.server.actions.clear();
    assert_eq!(next_step(&world.view()), look_by_id("1", LookFor::Confirm));
}

#[test]
fn c1_c2_c3_a_create_is_called_then_looked_for_then_called_again() {
    let mut world = World::new();
    assert_eq!(next_step(&world.view()), create(0));
    world.server.state = ServerState::Creating;
    world.server.unsettled = Some(unsettled(None));
    world.server.land.insert(account(), landing(NOW.plus(seconds(500))));
    assert_eq!(next_step(&world.view()), look_by_name());
    world.server.unsettled = Some(unsettled(Some(NOW)));
    assert_eq!(next_step(&world.view()), create(0));
}

#[test]
fn c2_a_create_without_an_answer_is_looked_for_again_when_it_can_no_longer_land() {
    let mut world = World::with(|s| {
        s.state = ServerState::Creating;
        s.unsettled = Some(unsettled(Some(NOW.minus(seconds(50)))));
        s.land.insert(account(), landing(NOW.plus(seconds(1))));
    });
    assert_eq!(next_step(&world.view()), create(0), "until then it may meet the name");
    world.now = NOW.plus(seconds(1));
    assert_eq!(next_step(&world.view()), look_by_name());
    // Of a parked order the check begins with the look.
    world.server.state = ServerState::Parked;
    world.server.parked_from = Some(ServerState::Creating);
    world.server.park_reason = Some(ParkReason::ProviderLimit);
    world.server.not_before = Some(world.now);
    assert_eq!(next_step(&world.view()), look_by_name());
    // That there is none is settled by it, not that there is room: the create asks for that, and nobody looks again.
    let asked = Asked::Look { look: Look::Name { account: account() }, started: world.now };
    let change = absorb(&world.view(), &asked, &Answer::Name(NameFinding::default()));
    assert!(change.server.state == ServerState::Parked && change.operations.is_empty());
    world.server = change.server;
    world.now = world.now.plus(seconds(60));
    assert_eq!(next_step(&world.view()), create(0));
}

#[test]
fn c3_a_name_that_was_called_taken_is_asked_for_again_however_long_ago_that_was() {
    let world = World::with(|s| {
        s.state = ServerState::Creating;
        s.unsettled = Some(Unsettled { taken_since: Some(NOW.minus(seconds(7200))), ..unsettled(Some(NOW)) });
    });
    assert_eq!(next_step(&world.view()), create(0), "silence since then proves nothing");
}

#[test]
fn c4_no_open_question_in_one_account_meets_a_create_in_another() {
    let mut world = World::with(|s| {
        s.state = ServerState::Creating;
        s.candidates[1].account = other_account();
        s.cursor = 1;
        s.land.insert(account(), landing(NOW.plus(seconds(1))));
    });
    assert_eq!(next_step(&world.view()), wait(NOW.plus(seconds(1)), WaitReason::LookingForCreate));
    world.now = NOW.plus(seconds(1));
    assert_eq!(next_step(&world.view()), look_by_name());
    world.server.land.clear();
    let call = Step::Call { effect: Effect::Create { candidate: 1 }, account: other_account() };
    assert_eq!(next_step(&world.view()), call);
}

fn removal(text: &str) -> Removal {
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

fn deleting(change: impl FnOnce(&mut Server)) -> World {
    World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        change(s);
    })
}

#[test]
fn d1_d2_a_recorded_server_is_deleted_and_then_looked_for() {
    let mut world = deleting(|s| s.provider_ref = Some(reference("1")));
    assert_eq!(next_step(&world.view()), delete("1"));
    world.server.removing = Some(Removal { accepted_at: Some(NOW), ..removal("1") });
    assert_eq!(next_step(&world.view()), look_by_id("1", LookFor::Removal));
}

#[test]
fn d1_what_another_installation_recorded_is_never_deleted() {
    let mut world = deleting(|s| s.provider_ref = Some(reference("1")));
    world.server.provider_ref.as_mut().unwrap().owner = InstallationId::from_uuid(uuid::Uuid::from_u128(78));
    assert_eq!(moved_to(&world), ServerState::Parked);
}

#[test]
fn d1_both_a_second_server_and_the_recorded_one_are_removed() {
    let world = deleting(|s| {
        s.provider_ref = Some(reference("1"));
        s.removing = Some(Removal { gone: true, ..removal("2") });
    });
    assert_eq!(next_step(&world.view()), delete("1"));
}

#[test]
fn d3_quarantine_looks_after_thirty_seconds_two_minutes_and_then_every_five() {
    let over_at = NOW;
    let by = over_at.plus(Timing::default().landing_allowance);
    let cases = [(None, 30), (Some(30), 120), (Some(120), 420), (Some(420), 600)];
    for (looked, due) in cases {
        let mut world = deleting(|s| {
            let looked_at = looked.map(|after| over_at.plus(seconds(after)));
            s.land.insert(account(), Landing { by, looked_at });
        });
        world.now = over_at.plus(seconds(looked.unwrap_or(0)));
        let step = next_step(&world.view());
        assert_eq!(step, wait(over_at.plus(seconds(due)), WaitReason::Quarantine), "looked at {looked:?}");
        world.now = over_at.plus(seconds(due));
        assert_eq!(next_step(&world.view()), look_by_name(), "due at {due}");
    }
}

#[test]
fn d4_d5_a_look_after_the_last_landing_ends_the_quarantine() {
    let mut world = deleting(|s| {
        s.land.insert(account(), Landing { by: NOW, looked_at: Some(NOW.minus(seconds(1))) });
    });
    assert_eq!(next_step(&world.view()), look_by_name());
    world.server.land.clear();
    assert_eq!(moved_to(&world), ServerState::Deleted);
    world.server.desired = Desired::Present;
    world.server.state = ServerState::Failing;
    world.server.fail_reason = Some(FailReason::NoStock);
    assert_eq!(moved_to(&world), ServerState::Failed);
}

#[test]
fn d4_what_a_sweep_has_seen_is_looked_for_before_a_record_ends() {
    let mut world = sighted(deleting(|_| {}));
    assert_eq!(next_step(&world.view()), look_by_name());
    world.server.removing = Some(removal("1"));
    assert_eq!(next_step(&world.view()), delete("1"), "it is known");
    let failing = sighted(World::with(|s| s.state = ServerState::Failing));
    assert_eq!(next_step(&failing.view()), look_by_name());
}

#[test]
fn d5_an_order_that_was_never_announced_ends_without_a_request() {
    assert_eq!(moved_to(&deleting(|_| {})), ServerState::Deleted);
}
