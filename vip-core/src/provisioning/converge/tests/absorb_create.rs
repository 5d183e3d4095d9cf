//! Columns "create" and "delete" of the table in `docs/protocol.md` §4.

use super::*;
use crate::model::{
    Desired, FailReason, OperationStatus, ParkReason, ProviderActionId, Removal, ServerState, WaitReason,
};
use crate::ports::{Created, Deletion, OperationChange, ProviderErrorKind, QuotaChange};
use crate::provisioning::converge::{Answer, Asked, Change, Failure, absorb, moves};

fn creating() -> World {
    World::with(|s| {
        s.state = ServerState::Creating;
        s.intent = Some(intent(Effect::Create { candidate: 0 }, NOW.minus(seconds(10))));
    })
}

fn answer(world: &World, answer: Answer) -> Change {
    let intent = world.server.intent.clone().unwrap();
    let change = absorb(&world.view(), &Asked::Effect(intent), &answer);
    assert!(change.server.intent.is_none(), "an answer closes the intent");
    change
}

fn refused(world: &World, kind: ProviderErrorKind) -> Change {
    answer(world, Answer::Failed(Failure { kind, code: "code".to_owned(), correlation_id: None, retry_after: None }))
}

fn statuses(change: &Change) -> Vec<OperationStatus> {
    let status = |change: &OperationChange| match change {
        OperationChange::Status { status, .. } => *status,
        OperationChange::Insert(operation) => operation.status,
    };
    change.operations.iter().map(status).collect()
}

#[test]
fn an_answered_create_is_confirmed_and_an_earlier_one_stays_in_the_air() {
    let mut world = creating();
    world.server.unsettled = Some(unsettled(Some(NOW)));
    world.server.land.insert(account(), landing(NOW.plus(seconds(99))));
    let actions = vec![ProviderActionId::new("4").unwrap()];
    let server = seen(&world, "1", ServerStatus::Starting);
    let created = Created { server, actions: actions.clone(), correlation_id: Some("c".to_owned()) };
    let change = answer(&world, Answer::Created(created));
    assert_eq!(change.server.state, ServerState::Confirming);
    assert_eq!(change.server.provider_ref.as_ref().unwrap().id, id("1"));
    assert_eq!(change.server.actions, actions);
    assert!(change.server.unsettled.is_none());
    assert_eq!(change.server.land[&account()].by, NOW.plus(seconds(99)));
    assert_eq!(change.correlation_id.as_deref(), Some("c"));
}

#[test]
fn an_unanswered_create_may_land_until_its_deadline_and_the_allowance_are_over() {
    let change = refused(&creating(), ProviderErrorKind::Unknown);
    assert_eq!(change.server.state, ServerState::Creating);
    assert_eq!(change.server.land[&account()].by, NOW.plus(seconds(20 + 600)));
    let open = change.server.unsettled.unwrap();
    assert!(open.looked_at.is_none() && open.taken_since.is_none());
}

#[test]
fn a_taken_name_is_a_question_not_a_refusal() {
    let change = refused(&creating(), ProviderErrorKind::AlreadyExists);
    assert_eq!(change.server.state, ServerState::Creating);
    assert_eq!(change.server.land[&account()].by, NOW.plus(seconds(600)));
    assert_eq!(change.server.unsettled.unwrap().taken_since, Some(NOW));
}

#[test]
fn c3_a_name_that_is_called_taken_for_an_hour_and_seen_by_no_look_is_parked_by_the_answer_that_says_so() {
    let mut world = creating();
    let since = |ago| Some(Unsettled { taken_since: Some(NOW.minus(seconds(ago))), ..unsettled(Some(NOW)) });
    for (ago, kind, parked) in [
        (3600, ProviderErrorKind::AlreadyExists, true),
        (3599, ProviderErrorKind::AlreadyExists, false),
        (7200, ProviderErrorKind::Unknown, false),
    ] {
        world.server.unsettled = since(ago);
        let change = refused(&world, kind);
        assert_eq!(change.server.state == ServerState::Parked, parked, "{kind:?} after {ago} s");
        let open = change.server.unsettled.unwrap();
        assert_eq!((open.looked_at, open.taken_since.is_none()), (None, parked), "{kind:?} after {ago} s");
        assert_eq!(change.server.park_reason, parked.then_some(ParkReason::NameTakenUnseen));
    }
}

#[test]
fn the_latest_landing_counts() {
    let mut world = creating();
    world.server.land.insert(account(), landing(NOW.plus(seconds(9999))));
    let change = refused(&world, ProviderErrorKind::Unknown);
    assert_eq!(change.server.land[&account()].by, NOW.plus(seconds(9999)));
}

#[test]
fn an_exhausted_candidate_gives_way_and_after_the_last_the_order_waits_then_fails() {
    let mut world = creating();
    let change = refused(&world, ProviderErrorKind::Exhausted);
    assert_eq!((change.server.cursor, change.server.not_before), (1, None));

    world.server.cursor = 1;
    let change = refused(&world, ProviderErrorKind::Exhausted);
    assert_eq!((change.server.cursor, change.server.state), (0, ServerState::Creating));
    assert_eq!(change.server.not_before, Some(NOW.plus(seconds(30))));
    assert_eq!(change.server.wait_reason, Some(WaitReason::NoStock));

    world.server.exhausted_since = Some(NOW.minus(seconds(86_400)));
    let change = refused(&world, ProviderErrorKind::Exhausted);
    assert_eq!(change.server.state, ServerState::Failing);
    assert_eq!(change.server.fail_reason, Some(FailReason::NoStock));
}

#[test]
fn c5_a_pause_in_which_nobody_was_answered_uses_up_no_patience() {
    let mut world = creating();
    world.server.cursor = 1;
    for (pause, since, state) in [
        (1200, NOW.minus(seconds(86_400)), ServerState::Failing),
        (1201, NOW.minus(seconds(85_199)), ServerState::Creating),
    ] {
        world.server.exhausted_since = Some(NOW.minus(seconds(86_400)));
        world.server.exhausted_at = Some(NOW.minus(seconds(pause)));
        let server = refused(&world, ProviderErrorKind::Exhausted).server;
        assert_eq!((server.state, server.exhausted_since), (state, Some(since)), "after {pause} s");
        assert_eq!(server.exhausted_at, Some(NOW));
    }
}

#[test]
fn a_record_that_was_written_before_pauses_were_left_out_can_be_read() {
    let server = creating().server;
    let mut old = serde_json::to_value(&server).unwrap();
    assert!(old.as_object_mut().unwrap().remove("exhausted_at").is_some());
    assert_eq!(serde_json::from_value::<Server>(old).unwrap(), server);
}

#[test]
fn a_rejected_candidate_gives_way_and_after_the_last_the_order_fails() {
    let mut world = creating();
    for kind in [ProviderErrorKind::InvalidInput, ProviderErrorKind::Placement] {
        world.server.cursor = 0;
        assert_eq!(refused(&world, kind).server.cursor, 1);
        world.server.cursor = 1;
        let change = refused(&world, kind);
        assert_eq!(change.server.state, ServerState::Failing);
        assert!(change.operations.is_empty(), "an order is failed only when nothing is left");
    }
}

#[test]
fn c2_no_refusal_gives_an_order_up_while_a_create_before_the_refused_one_may_land() {
    let by = NOW.plus(seconds(500));
    for kind in [
        ProviderErrorKind::InvalidInput,
        ProviderErrorKind::Placement,
        ProviderErrorKind::Protected,
        ProviderErrorKind::Exhausted,
    ] {
        let mut world = creating();
        world.server.cursor = 1;
        world.server.exhausted_since = (kind == ProviderErrorKind::Exhausted).then(|| NOW.minus(seconds(86_400)));
        world.server.unsettled = Some(unsettled(Some(NOW)));
        world.server.land.insert(account(), landing(by));
        let waiting = refused(&world, kind).server;
        assert_eq!((waiting.state, waiting.not_before), (ServerState::Creating, Some(by)), "{kind:?}");
        assert_eq!(waiting.wait_reason, Some(WaitReason::LookingForCreate));
        assert!(waiting.candidate().is_some() && waiting.unsettled.is_some(), "{kind:?}");
        // None can land any more; that the name was called taken before is no reason to wait for ever.
        world.server.land.clear();
        world.server.unsettled.as_mut().unwrap().taken_since = Some(NOW);
        assert_eq!(refused(&world, kind).server.state, ServerState::Failing, "{kind:?}");
    }
}

#[test]
fn a_refused_token_closes_the_gate_and_leaves_the_record() {
    for (kind, may_read) in [(ProviderErrorKind::Unauthorized, false), (ProviderErrorKind::ReadOnly, true)] {
        let world = creating();
        let change = refused(&world, kind);
        let refusal = change.refused_by.unwrap();
        assert_eq!((refusal.account, refusal.may_read), (account(), may_read));
        assert_eq!((change.server.state, change.server.unsettled), (ServerState::Creating, None));
    }
}

#[test]
fn an_account_limit_tries_another_account_or_parks() {
    let mut world = creating();
    let change = refused(&world, ProviderErrorKind::AccountLimit);
    assert_eq!(change.server.park_reason, Some(ParkReason::ProviderLimit));
    assert_eq!(statuses(&change), [OperationStatus::Parked]);
    world.server.candidates[1].account = other_account();
    assert_eq!(refused(&world, ProviderErrorKind::AccountLimit).server.cursor, 1);
    // Where the last one has no room either, the check begins with the first again.
    world.server.cursor = 1;
    world.server.intent.as_mut().unwrap().account = other_account();
    let change = refused(&world, ProviderErrorKind::AccountLimit);
    assert_eq!((change.server.park_reason, change.server.cursor), (Some(ParkReason::ProviderLimit), 0));
}

#[test]
fn what_was_not_applied_waits_and_nothing_is_unsettled() {
    let throttled = ProviderErrorKind::Throttled { retry_after: seconds(4) };
    for (kind, delay) in [(ProviderErrorKind::NotSent, 1), (ProviderErrorKind::Busy, 1), (throttled, 4)] {
        let change = refused(&creating(), kind);
        assert_eq!(change.server.not_before, Some(NOW.plus(seconds(delay))), "{kind:?}");
        assert!(change.server.unsettled.is_none() && change.server.land.is_empty() && !change.bug);
    }
    assert!(refused(&creating(), ProviderErrorKind::Bug).bug, "a bug burns an attempt");
}

fn deleting() -> World {
    World::with(|s| {
        s.state = ServerState::Deleting;
        s.desired = Desired::Absent;
        s.provider_ref = Some(reference("1"));
        s.removing = Some(Removal {
            account: account(),
            id: id("1"),
            since: NOW.minus(seconds(5)),
            seen_by_id: false,
            accepted_at: None,
            first_accepted_at: None,
            looks: 0,
            gone: false,
        });
        s.intent = Some(intent(Effect::Delete { id: id("1") }, NOW));
    })
}

#[test]
fn an_accepted_delete_is_looked_after_in_a_second() {
    let change = answer(&deleting(), Answer::Deleted(Deletion::Accepted));
    let removal = change.server.removing.unwrap();
    assert_eq!((removal.accepted_at, removal.gone), (Some(NOW), false));
    assert_eq!(change.server.not_before, Some(NOW.plus(seconds(1))));
}

#[test]
fn t1_a_404_soon_after_the_create_means_not_visible_yet() {
    let mut world = deleting();
    let change = answer(&world, Answer::Deleted(Deletion::AlreadyGone));
    assert!(!change.server.removing.unwrap().gone && change.server.not_before.is_some());
    world.server.removing.as_mut().unwrap().seen_by_id = true;
    assert!(answer(&world, Answer::Deleted(Deletion::AlreadyGone)).server.removing.unwrap().gone);
    world.server.removing.as_mut().unwrap().seen_by_id = false;
    world.server.removing.as_mut().unwrap().since = NOW.minus(seconds(600));
    let change = answer(&world, Answer::Deleted(Deletion::AlreadyGone));
    assert!(change.server.removing.unwrap().gone && change.server.provider_ref.unwrap().gone);
}

#[test]
fn a_protected_server_parks_its_delete_and_an_unanswered_delete_is_repeated() {
    let change = refused(&deleting(), ProviderErrorKind::Protected);
    assert_eq!(change.server.parked_from, Some(ServerState::Deleting));
    assert_eq!(statuses(&change), [OperationStatus::Parked]);
    let change = refused(&deleting(), ProviderErrorKind::Unknown);
    assert_eq!((change.server.state, change.server.not_before), (ServerState::Deleting, Some(NOW.plus(seconds(1)))));
}

/// Returns for how many seconds a delete waits that failed so often before, and why.
fn waits(timing: Timing, kind: ProviderErrorKind, backoff: u32) -> (u64, Option<WaitReason>) {
    let mut world = deleting();
    (world.timing, world.server.backoff) = (timing, backoff);
    let server = refused(&world, kind).server;
    (server.not_before.unwrap().since(NOW).as_secs(), server.wait_reason)
}

#[test]
fn a_refused_delete_waits_longer_than_one_that_nobody_answers() {
    let refused = [
        (ProviderErrorKind::Busy, WaitReason::Busy),
        (ProviderErrorKind::Exhausted, WaitReason::RemovalRefused),
        (ProviderErrorKind::AlreadyExists, WaitReason::RemovalRefused),
        (ProviderErrorKind::InvalidInput, WaitReason::RemovalRefused),
        (ProviderErrorKind::Placement, WaitReason::RemovalRefused),
        (ProviderErrorKind::AccountLimit, WaitReason::RemovalRefused),
    ];
    for (kind, reason) in refused {
        for (backoff, delay) in [(0, 1), (1, 2), (5, 32), (6, 64), (9, 512), (10, 600), (99, 600)] {
            assert_eq!(waits(Timing::default(), kind, backoff), (delay, Some(reason)), "{kind:?}");
        }
    }
    for kind in [ProviderErrorKind::NotSent, ProviderErrorKind::Unknown, ProviderErrorKind::Bug] {
        for (backoff, delay) in [(0, 1), (5, 32), (6, 60), (99, 60)] {
            let unavailable = Some(WaitReason::ProviderUnavailable);
            assert_eq!(waits(Timing::default(), kind, backoff), (delay, unavailable), "{kind:?}");
        }
    }
}

#[test]
fn the_wait_of_a_refused_delete_follows_the_timings_and_what_the_provider_names() {
    for (most, delay) in [(1, 10), (59, 590), (60, 600), (61, 600), (600, 600), (86_400, 86_400)] {
        let timing = Timing { backoff_most: seconds(most), ..Timing::default() };
        assert_eq!(waits(timing, ProviderErrorKind::Busy, 99).0, delay, "{most}");
    }
    let mut world = deleting();
    world.server.backoff = 99;
    let named = Failure { kind: ProviderErrorKind::Busy, retry_after: Some(seconds(10)), ..Failure::unanswered() };
    assert_eq!(answer(&world, Answer::Failed(named)).server.not_before, Some(NOW.plus(seconds(11))));
}

#[test]
fn an_end_gives_the_quota_back_once_and_moves_the_operation() {
    let mut world = deleting();
    world.server.intent = None;
    world.server.removing.as_mut().unwrap().gone = true;
    world.server.provider_ref.as_mut().unwrap().gone = true;
    let crate::provisioning::converge::Step::Move(change) = crate::provisioning::converge::next_step(&world.view())
    else {
        panic!("no move")
    };
    assert_eq!(change.server.state, ServerState::Deleted);
    assert_eq!(change.quota, Some(QuotaChange::Release));
    assert_eq!(statuses(&change), [OperationStatus::Succeeded]);
    assert!(!change.server.quota_held);
}

#[test]
fn a_wait_without_sense_is_cut_to_an_hour_and_a_share_more() {
    let throttled = ProviderErrorKind::Throttled { retry_after: Duration::MAX };
    for world in [creating(), deleting()] {
        assert_eq!(refused(&world, throttled).server.not_before, Some(NOW.plus(seconds(3600))));
        let failure = Failure { retry_after: Some(Duration::MAX), ..Failure::unanswered() };
        let failure = Failure { kind: ProviderErrorKind::NotSent, ..failure };
        let change = answer(&world, Answer::Failed(failure));
        assert_eq!(change.server.not_before, Some(NOW.plus(seconds(3960))));
    }
}

#[test]
fn a_parked_order_whose_check_has_no_answer_is_parked_no_more() {
    let mut world = creating();
    world.server.state = ServerState::Parked;
    world.server.parked_from = Some(ServerState::Creating);
    world.server.park_reason = Some(ParkReason::ProviderLimit);
    for kind in [ProviderErrorKind::Unknown, ProviderErrorKind::AlreadyExists] {
        let change = refused(&world, kind);
        assert_eq!((change.server.state, change.server.park_reason), (ServerState::Creating, None));
        assert!(!change.server.is_converged(), "it is woken by its time, whatever becomes of its job");
        assert_eq!(statuses(&change), [OperationStatus::Pending]);
    }
    world.server.exhausted_since = Some(NOW);
    world.server.cursor = 1;
    for kind in [ProviderErrorKind::Exhausted, ProviderErrorKind::InvalidInput] {
        let change = refused(&world, kind);
        assert_eq!((change.server.state, statuses(&change)), (ServerState::Creating, vec![OperationStatus::Pending]));
        assert_eq!(change.server.wait_reason, Some(WaitReason::NoStock));
    }
    // A check that is refused once more leaves it where it is.
    let change = refused(&world, ProviderErrorKind::AccountLimit);
    assert_eq!((change.server.state, statuses(&change)), (ServerState::Parked, vec![]));
}

#[test]
fn an_order_whose_commits_are_lost_rests_no_more_unless_it_waits_for_a_person() {
    let mut world = creating();
    world.server.state = ServerState::Parked;
    world.server.parked_from = Some(ServerState::Creating);
    let rests = [(ParkReason::ProviderLimit, ServerState::Creating), (ParkReason::Restored, ServerState::Parked)];
    for (reason, state) in rests {
        world.server.park_reason = Some(reason);
        let change = moves::after_lost_commits(&world.view());
        assert_eq!((change.server.state, change.server.land.is_empty()), (state, false), "{reason:?}");
        assert_eq!(change.operations.len(), usize::from(state == ServerState::Creating), "{reason:?}");
    }
}

#[test]
fn a_deletion_that_meets_what_its_order_was_parked_for_is_told_so() {
    let mut world = deleting();
    world.server.state = ServerState::Parked;
    world.server.park_reason = Some(ParkReason::Protected);
    world.server.delete_operation = Some(crate::model::OperationId::from_uuid(uuid::Uuid::from_u128(8)));
    world.server.parked_from = Some(ServerState::Failing);
    let change = refused(&world, ProviderErrorKind::Protected);
    assert_eq!(change.server.parked_from, Some(ServerState::Deleting));
    let told = OperationChange::Status {
        id: world.server.delete_operation.unwrap(),
        status: OperationStatus::Parked,
        code: Some("protected".to_owned()),
    };
    assert_eq!(change.operations, [told]);
    world.server.parked_from = Some(ServerState::Deleting);
    assert_eq!(refused(&world, ProviderErrorKind::Protected).operations, [], "it was told before");
}

#[test]
fn a_second_server_that_is_protected_is_left_to_the_next_sweep() {
    let mut world = deleting();
    world.server.state = ServerState::Running;
    world.server.desired = Desired::Present;
    world.server.removing.as_mut().unwrap().id = id("2");
    world.server.intent = Some(intent(Effect::Delete { id: id("2") }, NOW));
    let change = refused(&world, ProviderErrorKind::Protected);
    assert_eq!((change.server.state, change.server.removing), (ServerState::Running, None));
    assert_eq!(change.sighting_done, Some(SightingKey { account: account(), id: id("2") }));
}
