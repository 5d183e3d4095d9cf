//! Moves between states, each written once: what else changes with the state.

use std::time::Duration;

use super::outlook::LONGEST_NAMED;
use super::step::{Change, View};
use crate::model::{
    Desired, FailReason, Landing, OperationStatus, OutcomeClass, ParkReason, Server, ServerState, Unsettled, Verb,
    WaitReason, is_catalog_name,
};
use crate::ports::{OperationChange, QuotaChange, ServerView};

/// Sets the next time at which a request may be made, and why.
pub(super) fn back_off(server: &mut Server, view: &View<'_>, delay: Duration, reason: WaitReason) {
    server.backoff = server.backoff.saturating_add(1);
    server.not_before = Some(view.now.plus(delay));
    server.wait_reason = Some(reason);
}

/// Waits as long as the provider asked for, within bounds: an order is not lost to a number that makes no sense.
pub(super) fn throttled(server: &mut Server, view: &View<'_>, retry_after: Duration) {
    back_off(server, view, retry_after.min(LONGEST_NAMED), WaitReason::Throttled);
}

/// Forgets back-offs, and what was refused: something went on.
pub(super) fn progress(server: &mut Server) {
    server.backoff = 0;
    server.sold_out = false;
    server.busy = 0;
    server.not_before = None;
    server.wait_reason = None;
}

/// Keeps the type and the location of the record's own server. What the provider does not say, or what is no name, changes nothing.
pub(super) fn keep_type_and_location(server: &mut Server, seen: &ServerView) {
    if is_catalog_name(&seen.server_type) {
        server.server_type = Some(seen.server_type.clone());
    }
    if is_catalog_name(&seen.location) {
        server.location = Some(seen.location.clone());
    }
}

/// Goes on from a create or an adoption.
pub(super) fn to_confirming(server: &mut Server, view: &View<'_>) {
    progress(server);
    server.state = ServerState::Confirming;
    server.exhausted_since = None;
    server.exhausted_at = None;
    server.shortages.clear();
    server.waiting_since = None;
    server.last_answer = None;
    server.not_before = Some(view.at_a_common_time(view.first_look()));
    server.wait_reason = Some(WaitReason::ProviderWorking);
}

/// Ends a create with success.
pub(super) fn to_running(mut server: Server) -> Change {
    progress(&mut server);
    server.state = ServerState::Running;
    server.actions.clear();
    server.waiting_since = None;
    server.parked_from = None;
    server.park_reason = None;
    // What the provider has been given need not be kept, and may hold secrets.
    server.spec.user_data = None;
    let mut change = Change::new(server, Verb::Look);
    if change.server.desired == Desired::Present {
        change.operations.push(status(&change.server, OperationStatus::Succeeded, None));
    }
    change
}

/// Turns an order towards an end with nothing.
pub(super) fn fail(mut server: Server, reason: FailReason) -> Change {
    progress(&mut server);
    server.state = ServerState::Failing;
    server.fail_reason = Some(reason);
    server.parked_from = None;
    server.park_reason = None;
    let mut change = Change::new(server, Verb::Move);
    change.code = Some(reason.as_str().to_owned());
    change
}

/// Turns an order towards an end with nothing, without asking anybody.
pub(super) fn to_failing(view: &View<'_>, reason: FailReason) -> Change {
    fail(view.server.clone(), reason)
}

/// Turns a record towards removal.
pub(super) fn to_deleting(view: &View<'_>) -> Change {
    let mut server = view.server.clone();
    progress(&mut server);
    server.state = ServerState::Deleting;
    server.parked_from = None;
    server.park_reason = None;
    Change::new(server, Verb::Move)
}

/// D5: nothing is left at the provider.
pub(super) fn to_gone(view: &View<'_>) -> Change {
    let mut server = view.server.clone();
    progress(&mut server);
    let first_end = server.gone_at.is_none();
    let wanted = server.desired == Desired::Present;
    server.state = if wanted { ServerState::Failed } else { ServerState::Deleted };
    server.removing = None;
    server.unsettled = None;
    server.actions.clear();
    server.spec.user_data = None;
    server.parked_from = None;
    server.park_reason = None;
    let quota = server.quota_held.then_some(QuotaChange::Release);
    server.quota_held = false;
    let code = server.fail_reason.map(|reason| reason.as_str().to_owned());
    let mut change = Change::new(server, Verb::Move);
    change.quota = quota;
    change.outcome = OutcomeClass::Absent;
    if wanted && first_end {
        // A record that was opened again keeps the end that its operation had.
        change.operations.push(status(&change.server, OperationStatus::Failed, code));
    } else if !wanted {
        change.operations.push(status(&change.server, OperationStatus::Succeeded, None));
    }
    change
}

/// Parks a record, unless a delete has overtaken what it was doing: that goes on.
pub(super) fn park(view: &View<'_>, mut server: Server, reason: ParkReason) -> Change {
    let overtaken =
        server.desired == Desired::Absent && !matches!(view.state(), ServerState::Failing | ServerState::Deleting);
    if overtaken {
        return Change::new(server, Verb::Record);
    }
    // One whose deletion came in between does not rest: its new operation has to be told.
    let parked_already = view.server.is_resting_parked() && view.server.park_reason == Some(reason);
    progress(&mut server);
    server.parked_from = Some(goes_on_as(view));
    server.state = ServerState::Parked;
    server.park_reason = Some(reason);
    server.not_before = Some(view.now.plus(view.timing.park_recheck));
    server.wait_reason = Some(WaitReason::Parked);
    let mut change = Change::new(server, Verb::Park);
    change.code = Some(reason.as_str().to_owned());
    // The answer of an effect is recorded even if it changes nothing else.
    change.only_work = parked_already && view.server.intent.is_none();
    if !parked_already {
        let code = change.code.clone();
        change.operations.push(status(&change.server, OperationStatus::Parked, code));
    }
    change
}

/// Parks a record without asking anybody.
pub(super) fn to_parked(view: &View<'_>, reason: ParkReason) -> Change {
    park(view, view.server.clone(), reason)
}

/// Returns the state in which a record that is parked now goes on: a wish to remove it that converge has not begun would
/// be taken up from any other state than this one, and then the record would not rest.
fn goes_on_as(view: &View<'_>) -> ServerState {
    match view.server.desired {
        Desired::Absent => ServerState::Deleting,
        Desired::Present => view.state(),
    }
}

/// Parks a record without a re-check: only a person, a replay or a new command ends this.
pub(super) fn park_for_good(view: &View<'_>, reason: ParkReason) -> Change {
    let mut server = view.server.clone();
    server.parked_from = Some(goes_on_as(view));
    server.state = ServerState::Parked;
    server.park_reason = Some(reason);
    server.wait_reason = Some(WaitReason::Parked);
    server.not_before = None;
    if reason == ParkReason::Restored {
        expect_forgotten_creates(&mut server, view);
    }
    let mut change = Change::new(server, Verb::Park);
    let code = Some(reason.as_str().to_owned());
    change.operations.push(status(&change.server, OperationStatus::Parked, code));
    change
}

/// Goes on from a record whose latest commits its store has lost. Of what was asked since, a create alone can leave what nobody
/// would find: a delete is sent again, a look made again, and what was refused is refused again.
pub(super) fn after_lost_commits(view: &View<'_>) -> Change {
    let mut server = view.server.clone();
    expect_forgotten_creates(&mut server, view);
    let may_have_created = server.provider_ref.is_none() && server.park_reason != Some(ParkReason::Restored);
    let mut change = Change::new(server, Verb::Move);
    change.code = Some("commits_lost".to_owned());
    // As after the check of a parked order that may have made a server: it rests no more until that is known.
    if may_have_created { resumed(view, unparked(change)) } else { change }
}

/// What was announced after a backup, or in commits that are lost, is forgotten: a create may have made a server, or may yet make one,
/// in any account that the order may use. Each is looked at before the order goes on there or anywhere else.
fn expect_forgotten_creates(server: &mut Server, view: &View<'_>) {
    if server.provider_ref.is_some() {
        return;
    }
    let by = view.now.plus(view.timing.request_deadline).plus(view.timing.landing_allowance);
    for candidate in &server.candidates {
        let known = server.land.get(&candidate.account).map_or(by, |landing| landing.by.max(by));
        server.land.insert(candidate.account.clone(), Landing { by: known, looked_at: None });
    }
    let account = server.candidate().map(|candidate| candidate.account.clone());
    // A token that nobody has seen before is not believed there only because nothing seems to be recorded (S8).
    if server.account.is_none() {
        server.account.clone_from(&account);
    }
    if let (None, Some(account)) = (&server.unsettled, account) {
        server.unsettled = Some(Unsettled { account, since: view.now, looked_at: None, taken_since: None });
    }
}

/// Lets a parked record go on where it was; a record that is not parked stays as it is.
pub(super) fn unparked(mut change: Change) -> Change {
    if change.server.state == ServerState::Parked {
        change.server.state = change.server.parked_from.take().unwrap_or(ServerState::Creating);
        change.server.park_reason = None;
        change.only_work = false;
    }
    change
}

/// Lets a parked record go on, because somebody asked for it.
pub(super) fn resume(view: &View<'_>) -> Change {
    let mut server = view.server.clone();
    progress(&mut server);
    resumed(view, unparked(Change::new(server, Verb::Park)))
}

/// Completes a change that takes a record out of its parking place: the operation is pending again.
pub(super) fn resumed(view: &View<'_>, mut change: Change) -> Change {
    let left = view.server.state == ServerState::Parked && change.server.state != ServerState::Parked;
    if left {
        change.server.parked_from = None;
        change.server.park_reason = None;
        if change.operations.is_empty() {
            change.operations.push(status(&change.server, OperationStatus::Pending, None));
        }
    }
    change
}

/// Moves the operation that a record is working for.
pub(super) fn status(server: &Server, status: OperationStatus, code: Option<String>) -> OperationChange {
    let id = match (server.desired, server.delete_operation) {
        (Desired::Absent, Some(delete)) => delete,
        (Desired::Absent | Desired::Present, _) => server.create_operation,
    };
    OperationChange::Status { id, status, code }
}
