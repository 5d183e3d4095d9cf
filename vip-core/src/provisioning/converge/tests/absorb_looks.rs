//! Columns "look by name" and "look by id, actions" of the table in `docs/protocol.md` §4.

use std::collections::BTreeMap;

use super::*;
use crate::model::{
    Desired, FailReason, OperationStatus, ParkReason, Power, ProviderActionId, Removal, ServerState, WaitReason,
};
use crate::ports::{ActionStatus, ActionView, Deletion, OperationChange, ProviderErrorKind};
use crate::provisioning::converge::{
    Answer, Asked, Change, Failure, Look, LookFor, NameFinding, Step, absorb, next_step,
};

fn ask(world: &World, look: Look, answer: Answer) -> Change {
    absorb(&world.view(), &Asked::Look { look, started: NOW.minus(seconds(1)) }, &answer)
}

fn by_name(world: &World, named: Option<ServerView>, labelled: Vec<ServerView>) -> Change {
    ask(world, Look::Name { account: account() }, Answer::Name(NameFinding { named, labelled }))
}

fn by_id(world: &World, text: &str, why: LookFor, seen: Option<ServerView>) -> Change {
    ask(world, Look::Id { account: account(), id: id(text), why }, Answer::Server(seen))
}

fn looking() -> World {
    World::with(|s| {
        s.state = ServerState::Creating;
        s.unsettled = Some(unsettled(None));
        s.land.insert(account(), landing(NOW.plus(seconds(100))));
    })
}

#[test]
fn ours_by_name_labels_and_hash_is_adopted_and_the_landing_stays_open() {
    let world = looking();
    let change = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new());
    assert_eq!(change.server.state, ServerState::Confirming);
    assert_eq!(change.server.provider_ref.unwrap().id, id("1"));
    assert!(change.server.unsettled.is_none() && change.server.land.contains_key(&account()));
}

#[test]
fn a_foreign_server_with_our_name_parks_the_order() {
    let world = looking();
    let change = by_name(&world, Some(foreign(&world)), Vec::new());
    assert_eq!(change.server.park_reason, Some(ParkReason::ForeignName));
    assert!(change.server.provider_ref.is_none());
}

#[test]
fn a_server_of_another_installation_is_foreign() {
    let world = looking();
    let mut other = seen(&world, "1", ServerStatus::Running);
    other.labels.insert("vip-owner".to_owned(), uuid::Uuid::from_u128(1).to_string());
    assert_eq!(by_name(&world, Some(other), Vec::new()).server.park_reason, Some(ParkReason::ForeignName));
}

#[test]
fn another_hash_and_another_name_are_for_an_operator() {
    let world = looking();
    let mut changed = seen(&world, "1", ServerStatus::Running);
    changed.labels.insert("vip-spec".to_owned(), "1-else".to_owned());
    assert_eq!(by_name(&world, Some(changed), Vec::new()).server.park_reason, Some(ParkReason::SpecMismatch));
    let renamed = ServerView { name: "renamed".to_owned(), ..seen(&world, "1", ServerStatus::Running) };
    assert_eq!(by_name(&world, None, vec![renamed]).server.park_reason, Some(ParkReason::Ambiguous));
}

#[test]
fn an_empty_look_proves_absence_only_if_it_began_after_the_last_landing() {
    let mut world = looking();
    let change = by_name(&world, None, Vec::new());
    assert_eq!(change.server.unsettled.as_ref().unwrap().looked_at, Some(NOW.minus(seconds(1))));
    assert!(change.server.land.contains_key(&account()));
    world.server.land.insert(account(), landing(NOW.minus(seconds(1))));
    let change = by_name(&world, None, Vec::new());
    assert!(change.server.land.is_empty() && change.server.unsettled.is_none());
    world.server.land.insert(account(), landing(NOW));
    assert!(!by_name(&world, None, Vec::new()).server.land.is_empty(), "it began too early");
}

#[test]
fn what_a_sweep_has_seen_is_dropped_once_it_is_adopted_or_not_found() {
    let mut world = World::with(|s| s.state = ServerState::Creating);
    world.sightings = vec![sighting("1", world.server.id, SightingClass::Resurfaced)];
    let key = world.sightings[0].key.clone();
    let adopted = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new());
    assert_eq!((adopted.server.state, adopted.sighting_done.as_ref()), (ServerState::Confirming, Some(&key)));
    for (state, desired) in [(ServerState::Creating, Desired::Present), (ServerState::Deleting, Desired::Absent)] {
        (world.server.state, world.server.desired) = (state, desired);
        let change = by_name(&world, None, Vec::new());
        assert!(
            change.sighting_done.as_ref() == Some(&key) && !change.only_work,
            "{state:?}: else it is looked for again"
        );
        let elsewhere = Look::Name { account: other_account() };
        assert_eq!(ask(&world, elsewhere, Answer::Name(NameFinding::default())).sighting_done, None);
    }
}

#[test]
fn what_is_found_although_nobody_expected_a_create_is_not_taken_for_the_last_one() {
    for (state, desired) in [(ServerState::Creating, Desired::Present), (ServerState::Deleting, Desired::Absent)] {
        let world = World::with(|s| (s.state, s.desired) = (state, desired));
        let found = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new()).server;
        assert_eq!(found.land, BTreeMap::from([(account(), landing(NOW))]), "{state:?}: its end is preceded by a look");
    }
}

#[test]
fn in_removal_ours_is_removed_whatever_its_hash_and_a_foreign_one_counts_as_nothing() {
    let mut world = looking();
    world.server.state = ServerState::Deleting;
    world.server.desired = Desired::Absent;
    let mut changed = seen(&world, "1", ServerStatus::Running);
    changed.labels.insert("vip-spec".to_owned(), "1-else".to_owned());
    let change = by_name(&world, Some(changed), Vec::new());
    assert_eq!(change.server.removing.unwrap().id, id("1"));
    let change = by_name(&world, Some(foreign(&world)), Vec::new());
    assert!(change.server.removing.is_none() && change.server.state == ServerState::Deleting);
}

#[test]
fn a_parked_order_goes_on_when_its_name_is_free() {
    let mut world = looking();
    world.server.state = ServerState::Parked;
    world.server.parked_from = Some(ServerState::Creating);
    world.server.park_reason = Some(ParkReason::ForeignName);
    let change = by_name(&world, None, Vec::new());
    assert_eq!((change.server.state, change.server.park_reason), (ServerState::Creating, None));
    let pending =
        |change: &OperationChange| matches!(change, OperationChange::Status { status: OperationStatus::Pending, .. });
    assert!(change.operations.iter().any(pending) && !change.only_work);
    let again = by_name(&world, Some(foreign(&world)), Vec::new());
    assert!(again.only_work, "the same cause makes no new version");
}

fn confirming() -> World {
    World::with(|s| {
        s.state = ServerState::Confirming;
        s.provider_ref = Some(reference("1"));
        s.spec.user_data = Some(crate::model::UserData::new("secret"));
    })
}

#[test]
fn a_running_server_ends_the_create_and_its_user_data_is_erased() {
    let world = confirming();
    let change = by_id(&world, "1", LookFor::Confirm, Some(seen(&world, "1", ServerStatus::Running)));
    assert_eq!(change.server.state, ServerState::Running);
    assert!(change.server.spec.user_data.is_none() && change.server.provider_ref.unwrap().seen_by_id);
    let done =
        OperationChange::Status { id: world.server.create_operation, status: OperationStatus::Succeeded, code: None };
    assert_eq!(change.operations, [done]);
}

#[test]
fn t1_a_server_that_only_a_list_has_shown_has_not_answered_by_its_id() {
    let mut world = confirming();
    let listed = |world: &World| ServerView { is_listed: true, ..seen(world, "1", ServerStatus::Starting) };
    let change = by_id(&world, "1", LookFor::Confirm, Some(listed(&world)));
    world.server = change.server;
    let change = by_id(&world, "1", LookFor::Confirm, None);
    assert_eq!(change.server.state, ServerState::Confirming, "its id may not be visible yet");

    world.server.state = ServerState::Deleting;
    world.server.desired = Desired::Absent;
    let (account, id) = (account(), id("1"));
    let removal = Removal {
        account,
        id,
        since: NOW,
        seen_by_id: false,
        accepted_at: None,
        first_accepted_at: None,
        looks: 0,
        gone: false,
    };
    world.server.removing = Some(removal);
    let change = by_id(&world, "1", LookFor::Removal, Some(listed(&world)));
    assert!(!change.server.removing.unwrap().seen_by_id);
    let asked = by_id(&world, "1", LookFor::Removal, Some(seen(&world, "1", ServerStatus::Running)));
    assert!(asked.server.removing.unwrap().seen_by_id);
}

#[test]
fn a_delete_that_came_in_between_is_not_ended_by_the_create() {
    let mut world = confirming();
    world.server.desired = Desired::Absent;
    world.server.delete_operation = Some(crate::model::OperationId::from_uuid(uuid::Uuid::from_u128(3)));
    let change = by_id(&world, "1", LookFor::Confirm, Some(seen(&world, "1", ServerStatus::Running)));
    assert_eq!(change.operations, []);
}

#[test]
fn off_is_running_only_if_it_was_ordered_so() {
    let mut world = confirming();
    let off = || Some(seen(&confirming(), "1", ServerStatus::Off));
    assert_eq!(by_id(&world, "1", LookFor::Confirm, off()).server.state, ServerState::Confirming);
    world.server.spec.power = Power::Off;
    assert_eq!(by_id(&world, "1", LookFor::Confirm, off()).server.state, ServerState::Running);
}

#[test]
fn t1_a_new_server_that_is_not_shown_is_waited_for_and_a_known_one_has_vanished() {
    let mut world = confirming();
    let change = by_id(&world, "1", LookFor::Confirm, None);
    assert!(change.server.state == ServerState::Confirming && change.only_work);
    world.server.provider_ref.as_mut().unwrap().seen_by_id = true;
    let change = by_id(&world, "1", LookFor::Confirm, None);
    assert_eq!(change.server.fail_reason, Some(FailReason::Vanished));
}

#[test]
fn a_failed_action_fails_the_create_and_a_forgotten_one_is_no_obstacle() {
    let mut world = confirming();
    let action = |status| vec![ActionView { id: ProviderActionId::new("7").unwrap(), status }];
    world.server.actions = vec![ProviderActionId::new("7").unwrap()];
    let ids = world.server.actions.clone();
    let ask = |answer| ask(&world, Look::Actions { account: account(), ids: ids.clone() }, Answer::Actions(answer));
    let failed = ask(action(ActionStatus::Failed { code: "x".to_owned() }));
    assert_eq!(failed.server.fail_reason, Some(FailReason::ProviderFailed));
    let running = ask(action(ActionStatus::Running));
    assert!(!running.server.actions.is_empty() && running.server.not_before.is_some());
    assert!(ask(action(ActionStatus::Succeeded)).server.actions.is_empty());
    assert!(ask(Vec::new()).server.actions.is_empty());
}

#[test]
fn an_order_is_timed_out_by_what_its_server_says_and_not_by_what_its_actions_say() {
    let ids = vec![ProviderActionId::new("7").unwrap()];
    let action = |status| Answer::Actions(vec![ActionView { id: ids[0].clone(), status }]);
    // That an action runs is an answer, and with it the time is over; that one has ended says nothing of the server.
    for (status, why) in [(ActionStatus::Running, LookFor::Timeout), (ActionStatus::Succeeded, LookFor::Confirm)] {
        let mut world = confirming();
        world.server.actions.clone_from(&ids);
        world.server.waiting_since = Some(NOW.minus(seconds(1800)));
        world.server.last_answer = Some(NOW.minus(seconds(3)));
        world.server = ask(&world, Look::Actions { account: account(), ids: ids.clone() }, action(status)).server;
        world.server.not_before = None;
        assert_eq!(next_step(&world.view()), Step::Look(Look::Id { account: account(), id: id("1"), why }));
        let change = by_id(&world, "1", why, Some(seen(&world, "1", ServerStatus::Starting)));
        assert_eq!((change.server.state, change.only_work), (ServerState::Failing, false));
        assert_eq!(change.server.fail_reason, Some(FailReason::CreateTimeout));
    }
}

#[test]
fn a_look_without_an_answer_restarts_the_time_that_a_create_may_take() {
    let mut world = confirming();
    world.server.waiting_since = Some(NOW.minus(seconds(900)));
    world.server.last_answer = Some(NOW.minus(seconds(3)));
    let failure =
        Failure { kind: ProviderErrorKind::Unknown, code: "x".to_owned(), correlation_id: None, retry_after: None };
    let look = Look::Id { account: account(), id: id("1"), why: LookFor::Confirm };
    let change = ask(&world, look, Answer::Failed(failure));
    assert_eq!((change.server.waiting_since, change.server.state), (None, ServerState::Confirming));
    assert!(change.server.not_before.is_some());
}

#[test]
fn a_deleted_server_that_is_still_there_after_five_minutes_is_deleted_again() {
    let world = |ago: u64| {
        World::with(|s| {
            s.state = ServerState::Deleting;
            s.desired = Desired::Absent;
            s.removing = Some(Removal {
                account: account(),
                id: id("1"),
                since: NOW,
                seen_by_id: true,
                accepted_at: Some(NOW.minus(seconds(ago))),
                first_accepted_at: None,
                looks: 3,
                gone: false,
            });
        })
    };
    let there = || Some(seen(&World::new(), "1", ServerStatus::Deleting));
    let early = by_id(&world(299), "1", LookFor::Removal, there());
    assert!(early.server.removing.unwrap().accepted_at.is_some());
    assert_eq!(early.server.not_before, Some(NOW.plus(seconds(16))));
    assert!(by_id(&world(300), "1", LookFor::Removal, there()).server.removing.unwrap().accepted_at.is_none());
    assert!(by_id(&world(1), "1", LookFor::Removal, None).server.removing.unwrap().gone);
}

/// Is a deletion whose server a request for its id has proven gone so many seconds ago, after a create that can no longer land.
fn gone(ago: u64) -> World {
    World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.provider_ref = Some(ProviderRef { gone: true, seen_by_id: true, ..reference("1") });
        let accepted_at = Some(NOW.minus(seconds(ago)));
        s.removing = Some(Removal { accepted_at, gone: true, ..super::kept::removal("1") });
        s.land.insert(account(), landing(NOW.minus(seconds(1))));
    })
}

/// Demands that nothing is asked for now; returns for how many seconds.
fn waits_in_removal(world: &World) -> u64 {
    let step = next_step(&world.view());
    let Step::Wait { until, reason: WaitReason::RemovalInProgress } = step else { panic!("no pause: {step:?}") };
    until.since(world.now).as_secs()
}

#[test]
fn a_list_that_is_late_with_a_server_that_is_gone_is_read_again_after_pauses_that_grow() {
    let mut world = gone(1);
    for pause in [2, 4, 8, 16] {
        assert_eq!(next_step(&world.view()), Step::Look(Look::Name { account: account() }), "and no delete");
        let change = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new());
        assert!(change.only_work, "it leaves nothing in the audit");
        world.server = change.server;
        assert_eq!(waits_in_removal(&world), pause);
        world.now = world.now.plus(seconds(pause));
    }
    world.server = by_name(&world, None, Vec::new()).server;
    let Step::Move(change) = next_step(&world.view()) else { panic!("no move") };
    assert_eq!(change.server.state, ServerState::Deleted);
}

#[test]
fn what_a_list_shows_for_five_minutes_after_it_was_gone_is_deleted_again_and_not_more_often() {
    let listed = |world: &World| by_name(world, Some(seen(world, "1", ServerStatus::Running)), Vec::new()).server;
    let mut world = gone(299);
    world.server = listed(&world);
    assert!(world.server.removing.as_ref().unwrap().gone, "it is too early");
    world.now = NOW.plus(seconds(waits_in_removal(&world)));
    world.server = listed(&world);
    world.now = world.now.plus(seconds(waits_in_removal(&world)));
    let delete = Step::Call { effect: Effect::Delete { id: id("1") }, account: account() };
    assert_eq!(next_step(&world.view()), delete);
    let asked = Asked::Effect(intent(Effect::Delete { id: id("1") }, world.now));
    world.server = absorb(&world.view(), &asked, &Answer::Deleted(Deletion::AlreadyGone)).server;
    world.server = listed(&world);
    assert!(world.server.removing.as_ref().unwrap().gone && waits_in_removal(&world) == 8, "as after the first time");
}

#[test]
fn another_server_under_the_name_of_one_that_is_gone_is_deleted_at_once() {
    let mut world = gone(1);
    world.server = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new()).server;
    world.server = by_name(&world, Some(seen(&world, "2", ServerStatus::Running)), Vec::new()).server;
    let delete = Step::Call { effect: Effect::Delete { id: id("2") }, account: account() };
    assert_eq!(next_step(&world.view()), delete);
}

#[test]
fn a_missing_server_is_lost_only_if_a_look_by_id_says_so() {
    let world = World::with(|s| {
        s.state = ServerState::Running;
        s.provider_ref = Some(reference("1"));
    });
    assert_eq!(by_id(&world, "1", LookFor::Missing, None).server.state, ServerState::Lost);
    let there = Some(seen(&world, "1", ServerStatus::Running));
    let change = by_id(&world, "1", LookFor::Missing, there);
    assert!(change.server.state == ServerState::Running && change.sighting_done.is_some());
}

#[test]
fn a_surplus_or_resurfaced_server_is_removed_only_if_its_labels_are_ours() {
    let mut world = World::with(|s| {
        s.state = ServerState::Running;
        s.provider_ref = Some(reference("1"));
    });
    let change = by_id(&world, "2", LookFor::Surplus, Some(seen(&world, "2", ServerStatus::Running)));
    assert_eq!((change.server.state, change.server.removing.unwrap().id), (ServerState::Running, id("2")));
    let mut other = foreign(&world);
    other.id = id("2");
    let change = by_id(&world, "2", LookFor::Surplus, Some(other.clone()));
    assert!(change.server.removing.is_none() && change.sighting_done.is_some());
    for (state, reopened) in
        [(ServerState::Deleted, ServerState::Deleting), (ServerState::Failed, ServerState::Failing)]
    {
        world.server.state = state;
        let ours = Some(seen(&world, "1", ServerStatus::Running));
        let change = by_id(&world, "1", LookFor::Resurfaced, ours);
        assert_eq!(change.server.state, reopened);
        assert_eq!(change.server.removing.unwrap().id, id("1"));
        assert!(change.operations.is_empty(), "the operation keeps its end");
        assert_eq!(by_id(&world, "2", LookFor::Resurfaced, Some(other.clone())).server.state, state);
    }
}

#[test]
fn a_lost_server_that_is_seen_again_runs() {
    let world = World::with(|s| {
        s.state = ServerState::Lost;
        s.provider_ref = Some(reference("1"));
    });
    let there = Some(seen(&world, "1", ServerStatus::Running));
    assert_eq!(by_id(&world, "1", LookFor::Resurfaced, there).server.state, ServerState::Running);
}
