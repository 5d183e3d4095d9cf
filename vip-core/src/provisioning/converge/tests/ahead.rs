//! What is left of times that a record was given while the clock was ahead.

use super::*;
use crate::model::Removal;
use crate::provisioning::converge::ahead::bring_back;

fn brought_back(change: impl FnOnce(&mut Server)) -> Server {
    let mut world = World::with(change);
    bring_back(&mut world.server, NOW, &world.timing);
    world.server
}

fn furthest() -> Timestamp {
    NOW.plus(Timing::default().furthest_ahead())
}

/// Fills every time of a record.
fn fill(server: &mut Server, at: Timestamp) {
    (server.not_before, server.exhausted_since, server.exhausted_at) = (Some(at), Some(at), Some(at));
    (server.waiting_since, server.last_answer) = (Some(at), Some(at));
    server.intent = Some(intent(Effect::Create { candidate: 0 }, at));
    server.unsettled = Some(Unsettled { since: at, taken_since: Some(at), ..unsettled(None) });
    server.land.insert(account(), Landing { by: at, looked_at: Some(at) });
    server.provider_ref = Some(ProviderRef { at, ..reference("1") });
    server.removing = Some(Removal {
        account: account(),
        id: id("1"),
        since: at,
        seen_by_id: false,
        accepted_at: Some(at),
        first_accepted_at: Some(at),
        looks: 0,
        gone: false,
    });
}

#[test]
fn times_that_converge_may_have_planned_stay_as_they_are() {
    for at in [NOW, NOW.minus(seconds(99)), furthest()] {
        let filled = World::with(|s| fill(s, at)).server;
        assert_eq!(brought_back(|s| fill(s, at)), filled);
    }
}

#[test]
fn of_times_further_ahead_a_wait_is_over_and_what_has_to_last_lasts_in_full() {
    let ahead = furthest().plus(Duration::from_micros(1));
    let mut expected = World::with(|s| fill(s, NOW)).server;
    expected.not_before = None;
    (expected.waiting_since, expected.last_answer) = (None, None);
    expected.land.insert(account(), landing(NOW.plus(seconds(30 + 600))));
    assert_eq!(brought_back(|s| fill(s, ahead)), expected);
    // Of answers a year apart none counts, whichever was in the year to come.
    for (since, last) in [(NOW, ahead), (ahead, NOW)] {
        let server = brought_back(|s| (s.waiting_since, s.last_answer) = (Some(since), Some(last)));
        assert_eq!((server.waiting_since, server.last_answer), (None, None));
    }
}
