//! Removing: what comes next (`docs/protocol.md` §3.2) and what the answer of a delete changes (§4).

use std::time::Duration;

use super::moves;
use super::step::{Change, Failure, Look, LookFor, Refusal, Step, View};
use crate::model::{
    AccountId, Desired, Effect, Intent, Landing, OutcomeClass, ParkReason, ProviderServerId, Removal, Server,
    ServerState, SightingKey, Timestamp, Verb, WaitReason,
};
use crate::ports::{Deletion, ProviderErrorKind, ServerView};
use crate::seeded_bugs::{SeededBug, is_on};

/// Age of an accepted delete, or of a 404 that proved it gone, after which a server that is still found is deleted again.
const DELETE_AGAIN: Duration = Duration::from_secs(300);
/// How many times `backoff_most` the wait after a refused delete grows to, and the longest that this makes it: what holds a server may
/// hold it for days, and each try is in the audit for ever.
const REFUSED_MOST: (u32, Duration) = (10, Duration::from_secs(600));
/// First and longest wait between looks whether a deleted server is gone.
const GONE_LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Looks during quarantine, counted from the end of the unanswered request; afterwards one every five minutes.
const QUARANTINE_LOOKS: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(120)];
const QUARANTINE_EVERY: Duration = Duration::from_secs(300);

/// Is what is to be removed next.
pub(super) struct Target {
    pub(super) account: AccountId,
    pub(super) id: ProviderServerId,
    accepted: bool,
}

/// Finds what is to be removed: what is being removed and not gone, else the record's own server.
pub(super) fn removal_target(view: &View<'_>) -> Option<Target> {
    let server = view.server;
    let own = server.provider_ref.as_ref().filter(|reference| !reference.gone);
    let leaves = server.desired == Desired::Absent || view.state() == ServerState::Failing;
    if let (true, Some(own)) = (leaves, own)
        && !server.removing.as_ref().is_some_and(|removal| removal.names(&own.account, &own.id))
    {
        // The orderer's own server comes first: what else is there is found again by the sweep.
        return Some(Target { account: own.account.clone(), id: own.id.clone(), accepted: false });
    }
    if let Some(removal) = server.removing.as_ref().filter(|removal| !removal.gone) {
        return Some(Target {
            account: removal.account.clone(),
            id: removal.id.clone(),
            accepted: removal.accepted_at.is_some(),
        });
    }
    let own = own?;
    Some(Target { account: own.account.clone(), id: own.id.clone(), accepted: false })
}

/// Decides the next step of a removal.
pub(super) fn next_removal(view: &View<'_>) -> Step {
    if let Some(target) = removal_target(view) {
        if owned_by_another(view, &target) {
            return Step::Move(Box::new(moves::to_parked(view, ParkReason::Ambiguous)));
        }
        return if target.accepted {
            // D2
            Step::Look(Look::Id { account: target.account, id: target.id, why: LookFor::Removal })
        } else {
            // D1
            Step::Call { effect: Effect::Delete { id: target.id }, account: target.account }
        };
    }
    if is_on(SeededBug::QuarantineSkippedOnDelete) && view.server.desired == Desired::Absent {
        return Step::Move(Box::new(moves::to_gone(view)));
    }
    // D4: a look that starts after the last create can land decides.
    let is_over = |landing: &Landing| landing.by <= view.now || is_on(SeededBug::NoQuarantine);
    let ended = view.server.land.iter().find(|(_, landing)| is_over(landing));
    if let Some((account, _)) = ended {
        return Step::Look(Look::Name { account: account.clone() });
    }
    // D3
    if let Some((account, landing)) = view.server.land.iter().min_by_key(|(_, landing)| landing.by) {
        let over_at = landing.by.minus(view.timing.landing_allowance);
        let due = next_quarantine_look(over_at, landing.looked_at);
        return if due <= view.now {
            Step::Look(Look::Name { account: account.clone() })
        } else {
            Step::Wait { until: due.min(landing.by), reason: WaitReason::Quarantine }
        };
    }
    // D5
    Step::Move(Box::new(moves::to_gone(view)))
}

/// Deleting by the recorded id also wants that this installation recorded it, in whatever account it is found.
fn owned_by_another(view: &View<'_>, target: &Target) -> bool {
    view.server.provider_ref.as_ref().is_some_and(|own| own.id == target.id && own.owner != view.installation)
}

/// Returns the first scheduled look after the last one.
fn next_quarantine_look(over_at: Timestamp, looked_at: Option<Timestamp>) -> Timestamp {
    let mut due = over_at;
    let mut steps = QUARANTINE_LOOKS.into_iter();
    loop {
        due = match steps.next() {
            Some(offset) => over_at.plus(offset),
            None => due.plus(QUARANTINE_EVERY),
        };
        if looked_at.is_none_or(|looked| looked < due) {
            return due;
        }
    }
}

/// Writes down which server a delete is about to remove.
pub(super) fn announce_delete(server: &mut Server, account: &AccountId, id: &ProviderServerId, now: Timestamp) {
    if server.removing.as_ref().is_some_and(|removal| removal.names(account, id)) {
        return;
    }
    let own = server.provider_ref.as_ref().filter(|reference| reference.names(account, id));
    server.removing = Some(Removal {
        account: account.clone(),
        id: id.clone(),
        since: own.map_or(now, |reference| reference.at),
        seen_by_id: own.is_some_and(|reference| reference.seen_by_id),
        accepted_at: None,
        first_accepted_at: None,
        looks: 0,
        gone: false,
    });
}

/// Says what the answer of a delete changes.
pub(super) fn absorb_delete(view: &View<'_>, intent: &Intent, answer: Result<Deletion, &Failure>) -> Change {
    let mut server = view.server.clone();
    server.intent = None;
    match answer {
        Ok(Deletion::Accepted) => {
            let delay = look_delay(0);
            if let Some(removal) = server.removing.as_mut() {
                removal.accepted_at = Some(view.now);
                removal.first_accepted_at.get_or_insert(view.now);
                removal.looks = 0;
                // The provider answered for this id: it has been there.
                removal.seen_by_id = true;
            }
            moves::progress(&mut server);
            server.not_before = Some(view.now.plus(delay));
            server.wait_reason = Some(WaitReason::RemovalInProgress);
            moves::unparked(Change::new(server, Verb::Record).of("delete", OutcomeClass::Applied))
        }
        Ok(Deletion::AlreadyGone) => {
            let change = gone_or_not_visible(view, server);
            moves::unparked(Change {
                verb: Verb::Record,
                only_work: false,
                ..change.of("delete", OutcomeClass::Absent)
            })
        }
        Err(failure) => {
            let mut change = refused(view, server, intent, failure);
            change.effect = Some("delete");
            change.outcome = failure.class();
            change.code = Some(failure.code.clone());
            change.correlation_id.clone_from(&failure.correlation_id);
            change
        }
    }
}

fn is_surplus(view: &View<'_>) -> bool {
    view.server.desired == Desired::Present && matches!(view.state(), ServerState::Running | ServerState::Lost)
}

fn refused(view: &View<'_>, mut server: Server, intent: &Intent, failure: &Failure) -> Change {
    let (reason, delay) = match failure.kind {
        ProviderErrorKind::Protected if is_surplus(view) => {
            // A second server that is protected is no reason to stop the first. Its sighting is done with, so that it is
            // not tried again at once: the sweep reports it anew, and it has to ripen again.
            let removal = server.removing.take();
            let mut change = Change::new(server, Verb::Record);
            change.sighting_done = removal.map(|removal| SightingKey { account: removal.account, id: removal.id });
            return change;
        }
        ProviderErrorKind::Protected => return moves::park(view, server, ParkReason::Protected),
        ProviderErrorKind::Unauthorized | ProviderErrorKind::ReadOnly => {
            let mut change = Change::new(server, Verb::Record);
            change.refused_by = Refusal::of(&intent.account, failure);
            return change;
        }
        ProviderErrorKind::Throttled { retry_after } => {
            moves::throttled(&mut server, view, retry_after);
            return Change::new(server, Verb::Record);
        }
        ProviderErrorKind::Busy => (WaitReason::Busy, refused_delay(view, failure)),
        ProviderErrorKind::Exhausted
        | ProviderErrorKind::AlreadyExists
        | ProviderErrorKind::InvalidInput
        | ProviderErrorKind::Placement
        | ProviderErrorKind::AccountLimit => (WaitReason::RemovalRefused, refused_delay(view, failure)),
        ProviderErrorKind::NotSent | ProviderErrorKind::Bug | ProviderErrorKind::Unknown => {
            (failure.waits_for(), view.retry_delay(failure))
        }
    };
    moves::back_off(&mut server, view, delay, reason);
    if matches!(reason, WaitReason::Busy | WaitReason::RemovalRefused) {
        server.busy = server.busy.saturating_add(1);
    }
    let mut change = Change::new(server, Verb::Record);
    change.bug = failure.kind == ProviderErrorKind::Bug;
    change
}

/// Returns the wait after an answer that refuses a delete: as after any failure at first, then longer.
fn refused_delay(view: &View<'_>, failure: &Failure) -> Duration {
    let (first, most) = (view.timing.backoff_first, view.timing.backoff_most);
    match failure.retry_after {
        Some(_) => view.retry_delay(failure),
        None => view.backoff(first, most.saturating_mul(REFUSED_MOST.0).min(REFUSED_MOST.1).max(most)),
    }
}

/// Says what the answer about the server that is being removed changes.
pub(super) fn absorb_removal_look(view: &View<'_>, answer: Option<&ServerView>) -> Change {
    let mut server = view.server.clone();
    let Some(seen) = answer else {
        return gone_or_not_visible(view, server).of("look_by_id", OutcomeClass::Absent);
    };
    if let Some(removal) = server.removing.as_mut() {
        removal.seen_by_id |= !seen.is_listed;
    }
    still_there(view, server).of("look_by_id", OutcomeClass::Found)
}

/// Says what it changes that a look by name still finds what a request for its id has proven gone: a list may be late. Nothing went
/// on by that, so the pauses grow.
pub(super) fn absorb_still_listed(view: &View<'_>, server: Server) -> Change {
    still_there(view, server).of("look_by_name", OutcomeClass::Found)
}

/// Puts the next look at what is being removed off, and after long has it deleted again.
fn still_there(view: &View<'_>, mut server: Server) -> Change {
    let mut only_work = true;
    if let Some(removal) = server.removing.as_mut() {
        removal.looks = removal.looks.saturating_add(1);
        let delay = look_delay(removal.looks);
        if removal.accepted_at.is_none_or(|at| view.now.since(at) >= DELETE_AGAIN) {
            // D1: nothing came of the delete, or the 404 was not true.
            removal.accepted_at = None;
            removal.gone = false;
            only_work = false;
        }
        server.not_before = Some(view.now.plus(delay));
        server.wait_reason = Some(WaitReason::RemovalInProgress);
    }
    let mut change = Change::new(server, Verb::Look);
    change.only_work = only_work;
    change
}

/// T1: a 404 means gone only if a delete was accepted, or the id has answered before, or a create can no longer land.
fn gone_or_not_visible(view: &View<'_>, mut server: Server) -> Change {
    let Some(removal) = server.removing.as_mut() else {
        return Change::new(server, Verb::Look);
    };
    let proven = removal.accepted_at.is_some()
        || removal.seen_by_id
        || view.now >= removal.since.plus(view.timing.landing_allowance);
    if !proven {
        let delay = view.backoff(view.timing.backoff_first, view.timing.backoff_most);
        moves::back_off(&mut server, view, delay, WaitReason::NotVisibleYet);
        let mut change = Change::new(server, Verb::Look);
        change.only_work = true;
        return change;
    }
    removal.gone = true;
    // A list that still shows it is no reason to delete it again at once.
    removal.accepted_at.get_or_insert(view.now);
    removal.first_accepted_at.get_or_insert(view.now);
    let key = SightingKey { account: removal.account.clone(), id: removal.id.clone() };
    if let Some(own) = server.provider_ref.as_mut()
        && own.names(&key.account, &key.id)
    {
        own.gone = true;
    }
    let done = view.sightings.iter().any(|sighting| sighting.key == key).then_some(key);
    moves::progress(&mut server);
    let mut change = Change::new(server, Verb::Look);
    change.sighting_done = done;
    change
}

fn look_delay(looks: u32) -> Duration {
    GONE_LOOK.0.saturating_mul(1_u32.checked_shl(looks.min(10)).unwrap_or(u32::MAX)).min(GONE_LOOK.1)
}
