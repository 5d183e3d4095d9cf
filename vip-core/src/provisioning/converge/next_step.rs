//! The first of converge's two pure functions: what to do next. Rows carry the names of `docs/protocol.md` §3.

use super::absorb::absorb_unanswered;
use super::confirm::next_confirm;
use super::create::next_create;
use super::looks::absorb_missing_look;
use super::moves;
use super::removal::{next_removal, removal_target};
use super::step::{GateView, Look, LookFor, Step, View};
use crate::model::{AccountId, Desired, Effect, ParkReason, Server, ServerState, Sighting, SightingClass, WaitReason};
use crate::seeded_bugs::{SeededBug, is_on};

/// Decides what converge does next; the first row that fits wins.
#[must_use]
pub fn next_step(view: &View<'_>) -> Step {
    let server = view.server;
    // N0: a parked record rests until its cause is checked again.
    if server.is_resting_parked() {
        match server.park_reason {
            Some(ParkReason::Restored) => return Step::Settled,
            // A dead job runs again only because somebody replayed it or gave a new command.
            Some(ParkReason::HandlerFailed) => return Step::Move(Box::new(moves::resume(view))),
            _ => {
                if let Some(recheck) = server.not_before
                    && view.now < recheck
                {
                    return Step::Wait { until: recheck, reason: WaitReason::Parked };
                }
            }
        }
    }
    if let Some(intent) = &server.intent {
        // N1: the request of an earlier attempt may still be answered; a delete may be repeated at once.
        if let Some(over_at) = intent.over_at()
            && !matches!(intent.effect, Effect::Delete { .. })
            && view.now < over_at
        {
            return Step::Wait { until: over_at, reason: WaitReason::RequestInFlight };
        }
        // N2: nobody will answer any more.
        return Step::Move(Box::new(absorb_unanswered(view, intent)));
    }
    gated(view, wanted(view))
}

/// Decides what converge wants to do, not asking whether a request may be made now.
fn wanted(view: &View<'_>) -> Step {
    let server = view.server;
    let state = view.state();
    if state.is_final() {
        // N3, N7
        return ripe(view, SightingClass::Resurfaced).map_or(Step::Settled, |s| look_at(s, LookFor::Resurfaced));
    }
    let removes = server.desired == Desired::Absent || state == ServerState::Failing;
    if !removes && let Some(step) = surplus(view) {
        return step;
    }
    if removes {
        // N8
        return match state {
            ServerState::Failing if server.desired == Desired::Present => looked_for_first(view, next_removal),
            ServerState::Deleting => looked_for_first(view, next_removal),
            ServerState::Failing
            | ServerState::Requested
            | ServerState::Creating
            | ServerState::Confirming
            | ServerState::Running
            | ServerState::Lost
            | ServerState::Failed
            | ServerState::Deleted
            | ServerState::Parked => Step::Move(Box::new(moves::resumed(view, moves::to_deleting(view)))),
        };
    }
    match state {
        // N9, N3
        ServerState::Running => ripe(view, SightingClass::Missing).map_or(Step::Settled, |s| {
            if is_on(SeededBug::SweepOnFirstSighting) {
                return Step::Move(Box::new(absorb_missing_look(view, &s.key.account, None)));
            }
            look_at(s, LookFor::Missing)
        }),
        ServerState::Lost => {
            ripe(view, SightingClass::Resurfaced).map_or(Step::Settled, |s| look_at(s, LookFor::Resurfaced))
        }
        // N10
        ServerState::Requested | ServerState::Creating => looked_for_first(view, next_create),
        // N11, N12
        ServerState::Confirming => next_confirm(view),
        ServerState::Failing
        | ServerState::Deleting
        | ServerState::Failed
        | ServerState::Deleted
        | ServerState::Parked => Step::Settled,
    }
}

/// N10, D4: what a sweep has seen of a record that knows of no server is looked for before one is made, and before the record ends.
fn looked_for_first(view: &View<'_>, go_on: impl FnOnce(&View<'_>) -> Step) -> Step {
    match unknown_server(view.server, view.sightings) {
        Some(seen) => Step::Look(Look::Name { account: seen.key.account.clone() }),
        None => go_on(view),
    }
}

/// Finds what a sweep has seen of a record that knows of no server, in an account that the order may use.
pub(in crate::provisioning) fn unknown_server<'a>(server: &Server, sightings: &'a [Sighting]) -> Option<&'a Sighting> {
    if server.provider_ref.is_some() || server.removing.is_some() {
        return None;
    }
    let may_use = |account: &AccountId| server.candidates.iter().any(|candidate| &candidate.account == account);
    let mut ripe = sightings.iter().filter(|seen| seen.ripe && seen.class == SightingClass::Resurfaced);
    ripe.find(|seen| may_use(&seen.key.account))
}

/// N6: a second server of a wanted record is removed; the record keeps its state.
fn surplus(view: &View<'_>) -> Option<Step> {
    let server = view.server;
    // While it is being confirmed the order itself comes first.
    if !matches!(view.state(), ServerState::Running | ServerState::Lost) {
        return None;
    }
    // Whatever the account: under another name for the same project the recorded server would be its own second one.
    let recorded = server.provider_ref.as_ref().map(|reference| &reference.id);
    if let Some(target) = removal_target(view)
        && Some(&target.id) != recorded
    {
        return Some(next_removal(view));
    }
    let sighting = ripe(view, SightingClass::Surplus).filter(|sighting| Some(&sighting.key.id) != recorded)?;
    Some(look_at(sighting, LookFor::Surplus))
}

fn ripe<'a>(view: &View<'a>, class: SightingClass) -> Option<&'a Sighting> {
    view.sightings.iter().find(|sighting| sighting.ripe && sighting.class == class)
}

fn look_at(sighting: &Sighting, why: LookFor) -> Step {
    Step::Look(Look::Id { account: sighting.key.account.clone(), id: sighting.key.id.clone(), why })
}

/// N4, N5: a request waits for the account's gate and for the record's back-off.
fn gated(view: &View<'_>, step: Step) -> Step {
    let account = match &step {
        Step::Call { account, .. } => account,
        Step::Look(look) => look.account(),
        Step::Move(_) | Step::Wait { .. } | Step::Settled => return step,
    };
    match gate(view, account) {
        GateView::Closed { until } => {
            return Step::Wait { until: until.max(view.now), reason: WaitReason::AccountBlocked };
        }
        GateView::Resting { until } => {
            return Step::Wait { until: until.max(view.now), reason: WaitReason::ProviderUnavailable };
        }
        GateView::Easing { until } if matches!(step, Step::Call { effect: Effect::Create { .. }, .. }) => {
            return Step::Wait { until: until.max(view.now), reason: WaitReason::ProviderUnavailable };
        }
        GateView::Easing { .. } | GateView::Open => {}
    }
    match view.server.not_before {
        Some(until) if view.now < until => {
            Step::Wait { until, reason: view.server.wait_reason.unwrap_or(WaitReason::ProviderUnavailable) }
        }
        _ => step,
    }
}

fn gate(view: &View<'_>, account: &AccountId) -> GateView {
    let closed = GateView::Closed { until: view.now.plus(view.timing.probe_first) };
    view.gates.get(account).copied().unwrap_or(closed)
}
