//! Which type and location a record names: those of its server, as the provider shows it, whatever its order would try next.

use super::*;
use crate::model::{Desired, ServerState};
use crate::ports::{Created, ProviderErrorKind};
use crate::provisioning::converge::{Answer, Asked, Failure, Look, LookFor, NameFinding, absorb};

/// Is the server with this id as a provider shows it that says so much of it.
fn shown(world: &World, text: &str, server_type: &str, location: &str) -> ServerView {
    let (server_type, location) = (server_type.to_owned(), location.to_owned());
    ServerView { server_type, location, ..seen(world, text, ServerStatus::Starting) }
}

/// Answers a create of the candidate to try next.
fn created(world: &World, answer: Answer) -> Server {
    let asked = Asked::Effect(intent(Effect::Create { candidate: world.server.cursor }, NOW));
    absorb(&world.view(), &asked, &answer).server
}

fn found(world: &World, named: ServerView) -> Server {
    let asked = Asked::Look { look: Look::Name { account: account() }, started: NOW };
    let finding = NameFinding { named: Some(named), labelled: Vec::new() };
    absorb(&world.view(), &asked, &Answer::Name(finding)).server
}

fn confirmed(world: &World, seen: ServerView) -> Server {
    let look = Look::Id { account: account(), id: id("1"), why: LookFor::Confirm };
    absorb(&world.view(), &Asked::Look { look, started: NOW }, &Answer::Server(Some(seen))).server
}

/// Demands the type and the location that a record names; empty for none.
fn demand(server: &Server, server_type: &str, location: &str) {
    let named = [&server.server_type, &server.location].map(|name| name.as_deref().unwrap_or_default());
    assert_eq!(named, [server_type, location]);
}

#[test]
fn the_record_names_the_type_that_was_created_after_another_was_sold_out() {
    let mut world = World::with(|s| s.state = ServerState::Creating);
    let sold_out = Failure { kind: ProviderErrorKind::Exhausted, ..Failure::unanswered() };
    world.server = created(&world, Answer::Failed(sold_out));
    demand(&world.server, "", "");
    let server = shown(&world, "1", "b", "l");
    let answer = Answer::Created(Created { server, actions: Vec::new(), correlation_id: None });
    demand(&created(&world, answer), "b", "l");
}

#[test]
fn a_server_that_a_look_adopts_is_named_as_it_is_though_the_order_has_gone_on_to_its_next_candidate() {
    let world = World::with(|s| {
        s.state = ServerState::Creating;
        s.cursor = 1;
        s.unsettled = Some(unsettled(None));
        s.land.insert(account(), landing(NOW.plus(seconds(100))));
    });
    let adopted = found(&world, shown(&world, "1", "a", "l"));
    assert_eq!((adopted.state, adopted.cursor), (ServerState::Confirming, 1));
    demand(&adopted, "a", "l");
}

#[test]
fn a_server_that_is_found_only_to_be_removed_is_named_and_a_second_one_is_not_taken_for_it() {
    let mut world = World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.land.insert(account(), landing(NOW));
    });
    world.server = found(&world, shown(&world, "1", "a", "l"));
    demand(&world.server, "a", "l");
    let second = found(&world, shown(&world, "2", "b", "m"));
    assert_eq!(second.removing.as_ref().unwrap().id, id("2"));
    demand(&second, "a", "l");
}

#[test]
fn what_a_provider_does_not_say_is_learned_while_the_server_is_confirmed_and_is_not_forgotten() {
    let mut world = World::with(|s| s.state = ServerState::Creating);
    // A NUL would make a record that a database cannot show.
    let server = shown(&world, "1", "", "l\0");
    let answer = Answer::Created(Created { server, actions: Vec::new(), correlation_id: None });
    world.server = created(&world, answer);
    demand(&world.server, "", "");
    for (server_type, location, named) in [("a", "", ["a", ""]), ("", "l", ["a", "l"]), ("b", "l", ["b", "l"])] {
        world.server = confirmed(&world, shown(&world, "1", server_type, location));
        demand(&world.server, named[0], named[1]);
    }
}
