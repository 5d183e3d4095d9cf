//! Details of looks that no table names and on which something depends: each was once changed and nobody saw it.

use super::*;
use crate::model::{Desired, FailReason, ParkReason, Removal, ServerState, Verb};
use crate::ports::Deletion;
use crate::provisioning::converge::{Answer, Asked, Change, Look, LookFor, NameFinding, Step, absorb, next_step};

fn by_name(world: &World, named: Option<ServerView>, labelled: Vec<ServerView>) -> Change {
    let look = Look::Name { account: account() };
    absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Name(NameFinding { named, labelled }))
}

fn by_id(world: &World, text: &str, why: LookFor, is_listed: bool) -> Change {
    let look = Look::Id { account: account(), id: id(text), why };
    let view = ServerView { is_listed, ..seen(world, text, ServerStatus::Running) };
    absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Server(Some(view)))
}

fn in_state(state: ServerState, desired: Desired) -> World {
    World::with(|s| {
        s.state = state;
        s.desired = desired;
        s.land.insert(account(), landing(NOW.plus(seconds(9))));
    })
}

#[test]
fn what_a_look_finds_after_a_deletion_overtook_the_create_is_removed_and_not_adopted() {
    let world = in_state(ServerState::Creating, Desired::Absent);
    let change = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new());
    assert_eq!((change.server.state, change.server.removing.unwrap().id), (ServerState::Creating, id("1")));
    let world = in_state(ServerState::Failing, Desired::Present);
    let change = by_name(&world, Some(seen(&world, "1", ServerStatus::Running)), Vec::new());
    assert_eq!((change.server.state, change.server.removing.unwrap().id), (ServerState::Failing, id("1")));
}

#[test]
fn a_server_that_only_its_labels_show_is_adopted_if_it_is_the_only_one_and_has_our_name() {
    let world = in_state(ServerState::Creating, Desired::Present);
    let one = seen(&world, "1", ServerStatus::Running);
    assert_eq!(by_name(&world, None, vec![one.clone()]).server.state, ServerState::Confirming);
    let change = by_name(&world, None, vec![one.clone(), seen(&world, "2", ServerStatus::Running)]);
    assert_eq!(change.server.park_reason, Some(ParkReason::Ambiguous));
    let renamed = ServerView { name: "another".to_owned(), ..one };
    assert_eq!(by_name(&world, None, vec![renamed]).server.park_reason, Some(ParkReason::Ambiguous));
}

#[test]
fn the_audit_says_which_look_parked_a_record() {
    let world = in_state(ServerState::Creating, Desired::Present);
    assert_eq!(by_name(&world, Some(foreign(&world)), Vec::new()).verb, Verb::Park);
    assert_eq!(by_name(&world, None, Vec::new()).verb, Verb::Look);
    // Of several with our labels none is named by what the look found.
    let two = vec![seen(&world, "1", ServerStatus::Running), seen(&world, "2", ServerStatus::Running)];
    let change = by_name(&world, None, two);
    assert_eq!((change.verb, change.effect), (Verb::Park, Some("look_by_name")));
}

#[test]
fn the_audit_says_that_a_look_found_a_new_server_gone_and_that_the_answer_of_a_delete_did() {
    let mut world = World::with(|s| {
        s.state = ServerState::Confirming;
        s.provider_ref = Some(ProviderRef { seen_by_id: true, ..reference("1") });
    });
    let look = Look::Id { account: account(), id: id("1"), why: LookFor::Confirm };
    let change = absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Server(None));
    assert_eq!(
        (change.server.state, change.verb, change.effect),
        (ServerState::Failing, Verb::Look, Some("look_by_id"))
    );
    world.server = change.server;
    let asked = Asked::Effect(intent(Effect::Delete { id: id("1") }, NOW));
    for seen_by_id in [true, false] {
        let removing = super::kept::removal("1");
        world.server.removing = Some(Removal { seen_by_id, ..removing });
        let change = absorb(&world.view(), &asked, &Answer::Deleted(Deletion::AlreadyGone));
        assert_eq!(
            (change.verb, change.only_work, change.effect),
            (Verb::Record, false, Some("delete")),
            "{seen_by_id}"
        );
    }
}

#[test]
fn the_sighting_of_a_second_server_stays_until_that_is_gone() {
    let world = World::with(|s| {
        s.state = ServerState::Running;
        s.provider_ref = Some(reference("1"));
    });
    let look = Look::Id { account: account(), id: id("2"), why: LookFor::Surplus };
    let found = Answer::Server(Some(seen(&world, "2", ServerStatus::Running)));
    let change = absorb(&world.view(), &Asked::Look { look, started: NOW }, &found);
    assert_eq!((change.server.removing.unwrap().id, change.sighting_done), (id("2"), None));
}

#[test]
fn an_empty_look_backs_off_a_create_alone_and_is_committed_if_it_proves_something_or_a_create_waits_for_it() {
    for (state, desired, backs_off, commits) in [
        (ServerState::Creating, Desired::Present, true, true),
        (ServerState::Creating, Desired::Absent, false, true),
        (ServerState::Failing, Desired::Present, false, false),
        (ServerState::Deleting, Desired::Absent, false, false),
    ] {
        let mut world = in_state(state, desired);
        let change = by_name(&world, None, Vec::new());
        assert_eq!(
            (change.server.not_before.is_some(), !change.only_work),
            (backs_off, commits),
            "{state:?} {desired:?}"
        );
        world.server.land.insert(account(), landing(NOW));
        let change = by_name(&world, None, Vec::new());
        assert!(
            !change.only_work && change.server.land.is_empty(),
            "{state:?} {desired:?}: it proves that none will come"
        );
    }
}

#[test]
fn n11_a_list_that_does_not_show_a_server_running_fails_no_order() {
    let mut world = in_state(ServerState::Confirming, Desired::Present);
    world.server.provider_ref = Some(reference("1"));
    world.server.waiting_since = Some(NOW.minus(seconds(1800)));
    world.server.last_answer = Some(NOW.minus(seconds(3)));
    let ask = |world: &World, why, is_listed| {
        let look = Look::Id { account: account(), id: id("1"), why };
        let seen = ServerView { is_listed, ..seen(world, "1", ServerStatus::Other) };
        absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Server(Some(seen)))
    };
    let listed = ask(&world, LookFor::Confirm, true);
    assert!(listed.server.state == ServerState::Confirming && listed.only_work);
    world.server = listed.server;
    world.server.not_before = None;
    let by_itself = Look::Id { account: account(), id: id("1"), why: LookFor::Timeout };
    assert_eq!(next_step(&world.view()), Step::Look(by_itself));
    let asked = ask(&world, LookFor::Timeout, false);
    assert_eq!((asked.server.state, asked.verb), (ServerState::Failing, Verb::Look));
    assert_eq!(asked.server.fail_reason, Some(FailReason::CreateTimeout));
    assert_eq!(by_id(&world, "1", LookFor::Timeout, false).server.state, ServerState::Running);
}

#[test]
fn t1_whoever_is_seen_in_a_list_has_not_answered_by_its_id() {
    for is_listed in [false, true] {
        for (state, why) in [(ServerState::Lost, LookFor::Resurfaced), (ServerState::Running, LookFor::Missing)] {
            let mut world = in_state(state, Desired::Present);
            world.server.provider_ref = Some(reference("1"));
            let change = by_id(&world, "1", why, is_listed);
            assert_eq!(change.server.provider_ref.unwrap().seen_by_id, !is_listed, "{why:?}");
            world.server.provider_ref.as_mut().unwrap().seen_by_id = true;
            assert!(by_id(&world, "1", why, is_listed).server.provider_ref.unwrap().seen_by_id, "{why:?}");
        }
        let mut world = in_state(ServerState::Running, Desired::Present);
        world.server.provider_ref = Some(reference("1"));
        let change = by_id(&world, "2", LookFor::Surplus, is_listed);
        assert_eq!(change.server.removing.unwrap().seen_by_id, !is_listed);
    }
}
