//! D1: how urgently a delete is tried again that the provider refuses.

use super::kept::removal;
use super::*;
use crate::model::{Desired, ServerState};
use crate::ports::ProviderErrorKind::{
    self, AccountLimit, AlreadyExists, Busy, Exhausted, InvalidInput, NotSent, Placement, Protected, Throttled, Unknown,
};
use crate::ports::{Deletion, Priority};
use crate::provisioning::converge::{Answer, Asked, Failure, Step, absorb, announce, moves, next_step, outlook};

/// Makes a record with a server to remove: its own, or a second one where its order runs.
fn leaving(state: ServerState) -> World {
    World::with(|s| {
        s.state = state;
        s.desired = if state == ServerState::Deleting { Desired::Absent } else { Desired::Present };
        s.removing = (state == ServerState::Running).then(|| removal("2"));
        s.provider_ref = Some(reference("1"));
    })
}

/// Answers the delete that comes next, and lets the wait pass that follows; returns how urgent it was.
fn pass(world: &mut World, answer: &Answer) -> Priority {
    let step = next_step(&world.view());
    let Step::Call { effect, account } = step else { panic!("no delete: {step:?}") };
    assert!(matches!(effect, Effect::Delete { .. }), "{effect:?}");
    let priority = outlook::of_effect(&effect, &world.server);
    let open = Intent { account, ..intent(effect, world.now) };
    world.server = announce(&world.view(), open.clone()).server;
    world.server = absorb(&world.view(), &Asked::Effect(open), answer).server;
    world.now = world.server.not_before.unwrap_or(world.now);
    priority
}

fn failed(kind: ProviderErrorKind) -> Answer {
    Answer::Failed(Failure { kind, ..Failure::unanswered() })
}

#[test]
fn d1_a_delete_that_was_refused_twice_is_only_tried_until_it_is_accepted() {
    for (state, urgent) in [
        (ServerState::Deleting, Priority::Change),
        (ServerState::Failing, Priority::Settle),
        (ServerState::Running, Priority::Change),
    ] {
        for kind in [Busy, Exhausted, AlreadyExists, InvalidInput, Placement, AccountLimit] {
            let mut world = leaving(state);
            for other in [NotSent, Unknown, Throttled { retry_after: seconds(5) }] {
                assert_eq!(pass(&mut world, &failed(other)), urgent, "{state:?}: nobody has refused it");
            }
            assert_eq!(pass(&mut world, &failed(kind)), urgent, "{state:?} {kind:?}");
            assert_eq!(pass(&mut world, &failed(kind)), urgent, "{state:?} {kind:?}");
            assert_eq!(pass(&mut world, &failed(NotSent)), Priority::BestEffort, "{state:?} {kind:?}");
            let accepted = Answer::Deleted(Deletion::Accepted);
            assert_eq!(pass(&mut world, &accepted), Priority::BestEffort, "whatever came since: {state:?} {kind:?}");
            // Nothing comes of it, and it is deleted again.
            world.server.removing.as_mut().unwrap().accepted_at = None;
            assert_eq!(pass(&mut world, &failed(kind)), urgent, "it was accepted: {state:?} {kind:?}");
        }
    }
}

#[test]
fn the_check_of_a_parked_deletion_is_only_tried_until_somebody_resumes_it() {
    let mut world = leaving(ServerState::Deleting);
    assert_eq!(pass(&mut world, &failed(Protected)), Priority::Change);
    assert_eq!(world.server.state, ServerState::Parked);
    assert_eq!(pass(&mut world, &failed(Protected)), Priority::BestEffort);
    world.server = moves::resume(&world.view()).server;
    assert_eq!(pass(&mut world, &failed(Protected)), Priority::Change);
}

#[test]
fn a_delete_that_is_accepted_again_was_first_accepted_when_it_was() {
    let mut world = leaving(ServerState::Deleting);
    let first = world.now;
    for _ in 0..3 {
        pass(&mut world, &Answer::Deleted(Deletion::Accepted));
        let removing = world.server.removing.as_mut().unwrap();
        assert_eq!(removing.first_accepted_at, Some(first));
        // Nothing comes of it.
        removing.accepted_at = None;
    }
    assert!(world.now > first);
}

#[test]
fn a_delete_of_what_is_gone_counts_as_accepted() {
    let mut world = leaving(ServerState::Deleting);
    world.server.provider_ref.as_mut().unwrap().seen_by_id = true;
    let now = world.now;
    pass(&mut world, &Answer::Deleted(Deletion::AlreadyGone));
    let removing = world.server.removing.as_ref().unwrap();
    assert_eq!((removing.gone, removing.accepted_at, removing.first_accepted_at), (true, Some(now), Some(now)));
}
