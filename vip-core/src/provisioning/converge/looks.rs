//! What a look by name, or by the id of a sighting, changes (`docs/protocol.md` §4).

use super::absorb::Answer;
use super::next_step::unknown_server;
use super::step::{Change, Failure, Look, LookFor, Refusal, View};
use super::{moves, removal};
use crate::model::{
    AccountId, Desired, Landing, OutcomeClass, ParkReason, ProviderRef, ProviderServerId, Server, ServerState,
    SightingKey, Timestamp, Verb, WaitReason,
};
use crate::ports::{ProviderErrorKind, ServerView};
use crate::seeded_bugs::{SeededBug, is_on};

/// Is what a look by name and by labels found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameFinding {
    /// The server with our name.
    pub named: Option<ServerView>,
    /// Servers with our labels; asked for only if there is none with our name.
    pub labelled: Vec<ServerView>,
}

/// Returns what a look has found that would be adopted or removed for its labels alone: somebody may have changed them. What is
/// wished now does not count: a deletion may come before the answer is recorded.
pub(super) fn removable<'a>(view: &View<'_>, look: &Look, answer: &'a mut Answer) -> Vec<&'a mut ServerView> {
    let by_name = matches!(look, Look::Name { .. });
    let by_sighting = matches!(look, Look::Id { why: LookFor::Surplus | LookFor::Resurfaced, .. });
    let found: Vec<&mut ServerView> = match answer {
        Answer::Name(found) if by_name => found.named.iter_mut().chain(&mut found.labelled).collect(),
        Answer::Server(Some(seen)) if by_sighting => vec![seen],
        Answer::Created(_)
        | Answer::Deleted(_)
        | Answer::Name(_)
        | Answer::Server(_)
        | Answer::Actions(_)
        | Answer::Failed(_) => Vec::new(),
    };
    let recorded = view.server.provider_ref.as_ref().filter(|_| !view.state().is_final()).map(|own| &own.id);
    let is_marked =
        |seen: &&mut ServerView| seen.is_ours(view.installation, view.server.id) && Some(&seen.id) != recorded;
    found.into_iter().filter(is_marked).collect()
}

fn is_removing(view: &View<'_>) -> bool {
    view.server.desired == Desired::Absent || matches!(view.state(), ServerState::Failing | ServerState::Deleting)
}

/// Says what a look by name changes; `started` is when it began, by the store's clock.
pub(super) fn absorb_name(view: &View<'_>, account: &AccountId, started: Timestamp, found: &NameFinding) -> Change {
    let removing = is_removing(view);
    let by_name = is_on(SeededBug::AdoptByNameOnly) || (removing && is_on(SeededBug::DeleteByName));
    let ours = |seen: &&ServerView| by_name || seen.is_ours(view.installation, view.server.id);
    let candidate = found.named.as_ref().filter(ours).or_else(|| found.labelled.iter().find(ours));
    let change = match candidate {
        Some(seen) if removing => remove_found(view, account, seen),
        Some(seen) => adopt_found(view, account, seen, found),
        None if found.named.is_some() && !removing => {
            moves::park(view, view.server.clone(), ParkReason::ForeignName).of("look_by_name", OutcomeClass::Foreign)
        }
        None => empty(view, account, started),
    };
    Change { effect: Some("look_by_name"), ..change }
}

fn remove_found(view: &View<'_>, account: &AccountId, seen: &ServerView) -> Change {
    let mut server = view.server.clone();
    if server.removing.as_ref().is_some_and(|removal| removal.gone && removal.names(account, &seen.id)) {
        return removal::absorb_still_listed(view, server);
    }
    moves::progress(&mut server);
    if server.provider_ref.is_none() {
        server.provider_ref = Some(reference(view, account, seen));
        moves::keep_type_and_location(&mut server, seen);
    }
    server.unsettled = None;
    expect_another(view, &mut server, account);
    removal::announce_delete(&mut server, account, &seen.id, view.now);
    Change::new(server, Verb::Look).of("look_by_name", OutcomeClass::Found)
}

fn adopt_found(view: &View<'_>, account: &AccountId, seen: &ServerView, found: &NameFinding) -> Change {
    let server = view.server.clone();
    let named = seen.name == server.provider_name.as_str();
    if found.labelled.len() > 1 || !named {
        return moves::park(view, server, ParkReason::Ambiguous);
    }
    if !seen.has_hash(&server.create_hash) && !is_on(SeededBug::AdoptByNameOnly) {
        return moves::park(view, server, ParkReason::SpecMismatch);
    }
    let mut server = server;
    server.provider_ref = Some(reference(view, account, seen));
    server.account = Some(account.clone());
    server.addresses = seen.addresses;
    moves::keep_type_and_location(&mut server, seen);
    // `land` stays: another create may still be in the air, and lands when the name is free again.
    expect_another(view, &mut server, account);
    if is_on(SeededBug::AdoptingClearsLand) {
        server.land.clear();
    }
    server.unsettled = None;
    server.actions.clear();
    moves::to_confirming(&mut server, view);
    // What was found may run already.
    server.not_before = None;
    let key = SightingKey { account: account.clone(), id: seen.id.clone() };
    let mut change = Change::new(server, Verb::Look).of("look_by_name", OutcomeClass::Found);
    change.sighting_done = view.sightings.iter().any(|sighting| sighting.key == key).then_some(key);
    change
}

/// Where nobody expected a create, what was found says that one has landed all the same; so others may have, and are looked for before
/// the record ends.
fn expect_another(view: &View<'_>, server: &mut Server, account: &AccountId) {
    server.land.entry(account.clone()).or_insert(Landing { by: view.now, looked_at: None });
}

fn reference(view: &View<'_>, account: &AccountId, seen: &ServerView) -> ProviderRef {
    ProviderRef {
        account: account.clone(),
        id: seen.id.clone(),
        owner: view.installation,
        at: view.now,
        seen_by_id: false,
        gone: false,
    }
}

/// An empty look proves absence only if it began after the last create could land.
fn empty(view: &View<'_>, account: &AccountId, started: Timestamp) -> Change {
    let mut server = view.server.clone();
    let mut proven = false;
    if let Some(landing) = server.land.get_mut(account) {
        landing.looked_at = Some(started);
        proven = started >= landing.by || is_on(SeededBug::NoQuarantine);
    }
    if proven {
        server.land.remove(account);
    }
    if let Some(unsettled) = server.unsettled.as_mut().filter(|unsettled| &unsettled.account == account) {
        unsettled.looked_at = Some(started);
    }
    if proven && server.unsettled.as_ref().is_some_and(|unsettled| &unsettled.account == account) {
        // Of a name that is said to be taken the hour goes on (C3).
        server.unsettled = server.unsettled.filter(|unsettled| unsettled.taken_since.is_some());
    }
    let creating = matches!(view.state(), ServerState::Requested | ServerState::Creating);
    if creating && server.desired == Desired::Present {
        let delay = view.backoff(view.timing.backoff_first, view.timing.backoff_most);
        moves::back_off(&mut server, view, delay, WaitReason::LookingForCreate);
    }
    let mut change = Change::new(server, Verb::Look).of("look_by_name", OutcomeClass::Absent);
    // What a sweep has seen is not found: it holds up nothing until the next sweep sees it again.
    let seen = unknown_server(view.server, view.sightings).filter(|seen| &seen.key.account == account);
    change.sighting_done = seen.map(|seen| seen.key.clone());
    // During quarantine an empty look changes nothing that anybody else has to know.
    change.only_work = !proven && !creating && change.sighting_done.is_none();
    // There being none settles every cause but a limit: whether there is room now a create alone can tell.
    if view.server.park_reason == Some(ParkReason::ProviderLimit) { change } else { moves::unparked(change) }
}

/// Says what the sight of a second server, or of a server of a final or lost record, changes.
pub(super) fn absorb_sighting_look(
    view: &View<'_>,
    account: &AccountId,
    id: &ProviderServerId,
    answer: Option<&ServerView>,
) -> Change {
    let mut server = view.server.clone();
    let key = SightingKey { account: account.clone(), id: id.clone() };
    let of_record = |seen: &ServerView| is_on(SeededBug::SweepWithoutOwner) && seen.server_label() == Some(server.id);
    let ours = answer.filter(|seen| seen.is_ours(view.installation, server.id) || of_record(seen));
    let Some(seen) = ours else {
        let outcome = if answer.is_some() { OutcomeClass::Foreign } else { OutcomeClass::Absent };
        let mut change = Change::new(server, Verb::Look).of("look_by_id", outcome);
        change.sighting_done = Some(key);
        return change;
    };
    let found = |server: Server, verb: Verb| {
        let mut change = Change::new(server, verb).of("look_by_id", OutcomeClass::Found);
        change.sighting_done = Some(key.clone());
        change
    };
    // Two accounts may give the same id, and two accounts may be one project under two names.
    let own = server.provider_ref.as_ref().is_some_and(|reference| reference.id == seen.id);
    let exactly = server.provider_ref.as_ref().is_some_and(|reference| reference.names(account, id));
    if view.state() == ServerState::Lost && exactly {
        server.state = ServerState::Running;
        if let Some(reference) = server.provider_ref.as_mut() {
            reference.gone = false;
            reference.seen_by_id |= !seen.is_listed;
        }
        return found(server, Verb::Look);
    }
    if own && !view.state().is_final() {
        // The recorded server is never surplus.
        return found(server, Verb::Look);
    }
    server.removing = None;
    removal::announce_delete(&mut server, account, &seen.id, view.now);
    if let Some(removal) = server.removing.as_mut() {
        removal.seen_by_id = !seen.is_listed;
        // Its removal begins now, whenever it was known.
        removal.since = view.now;
    }
    let verb = match view.state() {
        ServerState::Failed => {
            server.state = ServerState::Failing;
            Verb::Reopen
        }
        ServerState::Deleted => {
            server.state = ServerState::Deleting;
            Verb::Reopen
        }
        ServerState::Requested
        | ServerState::Creating
        | ServerState::Confirming
        | ServerState::Running
        | ServerState::Failing
        | ServerState::Deleting
        | ServerState::Lost
        | ServerState::Parked => Verb::Look,
    };
    moves::progress(&mut server);
    // The sighting stays until the server is gone: it tells operators what is being removed.
    Change { sighting_done: None, ..found(server, verb) }
}

/// Says what the sight of a server that the sweep missed changes.
pub(super) fn absorb_missing_look(view: &View<'_>, account: &AccountId, answer: Option<&ServerView>) -> Change {
    let mut server = view.server.clone();
    let key = server.provider_ref.as_ref().map(|own| SightingKey { account: account.clone(), id: own.id.clone() });
    let outcome = if answer.is_some() { OutcomeClass::Found } else { OutcomeClass::Absent };
    match answer {
        None => server.state = ServerState::Lost,
        Some(seen) => {
            if let Some(own) = server.provider_ref.as_mut() {
                own.seen_by_id |= !seen.is_listed;
            }
        }
    }
    let mut change = Change::new(server, Verb::Look).of("look_by_id", outcome);
    change.sighting_done = key;
    change
}

/// Says what a look without an answer changes: only when the next one is due.
pub(super) fn absorb_failed_look(view: &View<'_>, look: &Look, failure: &Failure) -> Change {
    let mut server = view.server.clone();
    // Silence restarts the time that a create may take.
    server.waiting_since = None;
    server.last_answer = None;
    let effect = match look {
        Look::Name { .. } => "look_by_name",
        Look::Id { .. } => "look_by_id",
        Look::Actions { .. } => "look_at_actions",
    };
    match failure.kind {
        ProviderErrorKind::Unauthorized | ProviderErrorKind::ReadOnly => {}
        ProviderErrorKind::Throttled { retry_after } => {
            moves::throttled(&mut server, view, retry_after);
        }
        ProviderErrorKind::NotSent
        | ProviderErrorKind::Busy
        | ProviderErrorKind::Exhausted
        | ProviderErrorKind::AlreadyExists
        | ProviderErrorKind::InvalidInput
        | ProviderErrorKind::Placement
        | ProviderErrorKind::Protected
        | ProviderErrorKind::AccountLimit
        | ProviderErrorKind::Bug
        | ProviderErrorKind::Unknown => {
            moves::back_off(&mut server, view, view.retry_delay(failure), failure.waits_for());
        }
    }
    let mut change = Change::new(server, Verb::Look).of(effect, failure.class());
    change.code = Some(failure.code.clone());
    change.refused_by = Refusal::of(look.account(), failure);
    change.only_work = true;
    change.bug = failure.kind == ProviderErrorKind::Bug;
    change
}
