//! Confirming that a created server runs: what comes next (`docs/protocol.md` §3, N11 and N12) and what a look changes (§4).

use std::time::Duration;

use super::moves;
use super::step::{Change, Look, LookFor, Step, View};
use crate::model::{FailReason, OutcomeClass, Power, Server, Verb, WaitReason};
use crate::ports::{ActionStatus, ActionView, ServerStatus, ServerView};

/// Longest pause between two answered looks that still counts as waiting for the server.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How many looks it takes until the pause between them no longer grows.
const GROWING_LOOKS: u32 = 4;

/// Decides the next step of a confirmation.
pub(super) fn next_confirm(view: &View<'_>) -> Step {
    let server = view.server;
    let Some(own) = &server.provider_ref else {
        // A record gets here only with a reference; without one the create is looked for again.
        let account = server.account.clone().or_else(|| server.candidate().map(|c| c.account.clone()));
        return match account {
            Some(account) => Step::Look(Look::Name { account }),
            None => Step::Settled,
        };
    };
    let by_id = |why| Step::Look(Look::Id { account: own.account.clone(), id: own.id.clone(), why });
    if is_over(server, view) {
        // N11: the server itself is asked, whatever its actions and the lists say.
        by_id(LookFor::Timeout)
    } else if server.actions.is_empty() {
        // N12
        by_id(LookFor::Confirm)
    } else {
        Step::Look(Look::Actions { account: own.account.clone(), ids: server.actions.clone() })
    }
}

/// Says whether answers in an unbroken row have said "not running" for as long as a create may take.
fn is_over(server: &Server, view: &View<'_>) -> bool {
    let answers = server.waiting_since.zip(server.last_answer);
    answers.is_some_and(|(since, last)| last.since(since) >= view.timing.create_timeout)
}

/// Says what the state of the create's actions changes.
pub(super) fn absorb_actions(view: &View<'_>, answer: &[ActionView]) -> Change {
    let failed = answer.iter().find_map(|action| match &action.status {
        ActionStatus::Failed { code } => Some(code.clone()),
        ActionStatus::Running | ActionStatus::Succeeded => None,
    });
    if let Some(code) = failed {
        let mut change = moves::fail(view.server.clone(), FailReason::ProviderFailed);
        change.verb = Verb::Look;
        change.code = Some(code);
        return change.of("look_at_actions", OutcomeClass::ActionFailed);
    }
    let running = answer.iter().any(|action| action.status == ActionStatus::Running);
    let mut server = view.server.clone();
    if running {
        answered(&mut server, view);
        look_again(&mut server, view);
    } else {
        // Done, or forgotten by the provider: the server itself tells, and has not said yet that it does not run.
        server.actions.clear();
        moves::progress(&mut server);
    }
    let mut change = Change::new(server, Verb::Look).of("look_at_actions", OutcomeClass::Found);
    change.only_work = true;
    change
}

/// Says what the sight of the new server changes.
pub(super) fn absorb_confirm_look(view: &View<'_>, answer: Option<&ServerView>) -> Change {
    let mut server = view.server.clone();
    let Some(seen) = answer else {
        return not_there(view, server);
    };
    answered(&mut server, view);
    if let Some(own) = server.provider_ref.as_mut() {
        own.seen_by_id |= !seen.is_listed;
    }
    server.addresses = seen.addresses;
    moves::keep_type_and_location(&mut server, seen);
    let ready = match seen.status {
        ServerStatus::Running => true,
        ServerStatus::Off => server.spec.power == Power::Off,
        ServerStatus::Starting | ServerStatus::Deleting | ServerStatus::Other => false,
    };
    if ready {
        return moves::to_running(server).of("look_by_id", OutcomeClass::Found);
    }
    // The server itself was asked: from here on it tells.
    server.actions.clear();
    // N11: a list may show less of a server than there is. Silence fails no order, nor does an action that does not end.
    if !seen.is_listed && is_over(&server, view) {
        let change = moves::fail(server, FailReason::CreateTimeout);
        return Change { verb: Verb::Look, ..change.of("look_by_id", OutcomeClass::Found) };
    }
    look_again(&mut server, view);
    let mut change = Change::new(server, Verb::Look).of("look_by_id", OutcomeClass::Found);
    change.only_work = true;
    change
}

fn not_there(view: &View<'_>, mut server: Server) -> Change {
    let proven = server
        .provider_ref
        .as_ref()
        .is_some_and(|own| own.seen_by_id || view.now >= own.at.plus(view.timing.landing_allowance));
    if proven {
        if let Some(own) = server.provider_ref.as_mut() {
            own.gone = true;
        }
        let change = moves::fail(server, FailReason::Vanished);
        return Change { verb: Verb::Look, ..change.of("look_by_id", OutcomeClass::Absent) };
    }
    let delay = view.backoff(view.timing.backoff_first, view.timing.backoff_most);
    moves::back_off(&mut server, view, delay, WaitReason::NotVisibleYet);
    let mut change = Change::new(server, Verb::Look).of("look_by_id", OutcomeClass::Absent);
    change.only_work = true;
    change
}

/// Counts an answer that says "not running yet".
fn answered(server: &mut Server, view: &View<'_>) {
    let in_a_row = server.last_answer.is_some_and(|last| view.now.since(last) <= LONGEST_PAUSE);
    if !in_a_row || server.waiting_since.is_none() {
        server.waiting_since = Some(view.now);
    }
    server.last_answer = Some(view.now);
}

fn look_again(server: &mut Server, view: &View<'_>) {
    let factor = server.backoff.clamp(1, GROWING_LOOKS);
    let delay = view.timing.look_again.saturating_mul(factor);
    moves::back_off(server, view, delay, WaitReason::ProviderWorking);
    server.not_before = Some(view.at_a_common_time(delay));
}
