//! Creating: what comes next (`docs/protocol.md` §3.1) and what the answer of a create changes (§4).

use std::time::Duration;

use super::moves;
use super::step::{Change, Failure, Look, Refusal, Step, View};
use crate::model::{
    Effect, FailReason, Intent, Landing, OutcomeClass, ParkReason, ProviderRef, Server, ServerState, Shortage,
    Timestamp, Unsettled, Verb, WaitReason,
};
use crate::ports::{Created, ProviderErrorKind};
use crate::seeded_bugs::{SeededBug, is_on};

/// How long the provider may say that our name is taken while no look finds it; the next time that it says so parks the order.
const TAKEN_UNSEEN: Duration = Duration::from_secs(3600);
/// First and longest wait while no candidate is in stock.
const STOCK_WAIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// Longest pause between two answers "out of stock" that still counts as waiting for stock.
const STOCK_PAUSE: Duration = STOCK_WAIT.1.saturating_mul(2);

/// Decides the next step of a create.
pub(super) fn next_create(view: &View<'_>) -> Step {
    let server = view.server;
    if let Some(unsettled) = &server.unsettled {
        // C2: at once; and when none can land any more, for whatever refuses a create sent again may be said before the name
        // is compared. An empty look that begins then settles it.
        let has_landed = server.land.get(&unsettled.account).is_some_and(|landing| landing.by <= view.now);
        if unsettled.looked_at.is_none() || has_landed {
            return Step::Look(Look::Name { account: unsettled.account.clone() });
        }
    }
    let Some(candidate) = server.candidate() else {
        // Only an order without candidates gets here; accept refuses it.
        return Step::Move(Box::new(moves::to_failing(view, FailReason::Rejected)));
    };
    // C4: no open question in one account ever meets a create in another.
    let open = server.land.iter().find(|(account, _)| **account != candidate.account);
    let open = open.filter(|_| !is_on(SeededBug::NextAccountWhileOpen));
    if let Some((account, landing)) = open {
        if view.now < landing.by {
            return Step::Wait { until: landing.by, reason: WaitReason::LookingForCreate };
        }
        return Step::Look(Look::Name { account: account.clone() });
    }
    // C1, C3
    Step::Call { effect: Effect::Create { candidate: server.cursor }, account: candidate.account.clone() }
}

/// Says what the answer of a create changes.
pub(super) fn absorb_create(view: &View<'_>, intent: &Intent, answer: Result<&Created, &Failure>) -> Change {
    let mut server = view.server.clone();
    server.intent = None;
    match answer {
        Ok(created) => {
            adopt(&mut server, view, intent, created);
            let mut change = Change::new(server, Verb::Record).of("create", OutcomeClass::Applied);
            change.correlation_id.clone_from(&created.correlation_id);
            change
        }
        Err(failure) => {
            let mut change = refused(view, server, intent, failure);
            change.effect = Some("create");
            change.outcome = failure.class();
            change.code = Some(failure.code.clone());
            change.correlation_id.clone_from(&failure.correlation_id);
            change
        }
    }
}

fn adopt(server: &mut Server, view: &View<'_>, intent: &Intent, created: &Created) {
    server.provider_ref = Some(ProviderRef {
        account: intent.account.clone(),
        id: created.server.id.clone(),
        owner: view.installation,
        at: view.now,
        seen_by_id: false,
        gone: false,
    });
    server.actions.clone_from(&created.actions);
    server.addresses = created.server.addresses;
    moves::keep_type_and_location(server, &created.server);
    server.unsettled = None;
    // `land` stays: an earlier create may still be in the air, and lands when the name is free again.
    if is_on(SeededBug::AdoptingClearsLand) {
        server.land.clear();
    }
    moves::to_confirming(server, view);
}

fn refused(view: &View<'_>, mut server: Server, intent: &Intent, failure: &Failure) -> Change {
    let timing = view.timing;
    match blindly(failure.kind) {
        ProviderErrorKind::Unknown | ProviderErrorKind::AlreadyExists => {
            let taken = failure.kind == ProviderErrorKind::AlreadyExists;
            may_have_landed(view, &mut server, intent, taken);
            // C3: said again after an hour in which no look has found it, it is for an operator.
            if taken
                && let Some(unsettled) = server.unsettled.as_mut()
                && unsettled.taken_since.is_some_and(|since| view.now.since(since) >= TAKEN_UNSEEN)
            {
                unsettled.taken_since = None;
                return moves::park(view, server, ParkReason::NameTakenUnseen);
            }
            // The check of a parked order may have made a server: it rests no more until that is known.
            moves::unparked(Change::new(server, Verb::Record))
        }
        // Whatever a parked order was parked for, this is what it waits for now.
        ProviderErrorKind::Exhausted => {
            server.shortages.insert(intent.account.clone(), Shortage::Stock);
            count_sold_out(&mut server, view.now);
            let next = server.cursor.saturating_add(1);
            moves::unparked(go_on_with(view, server, next))
        }
        ProviderErrorKind::InvalidInput | ProviderErrorKind::Placement | ProviderErrorKind::Protected => {
            let next = server.cursor.saturating_add(1);
            go_on_with(view, server, next)
        }
        ProviderErrorKind::AccountLimit => {
            server.shortages.insert(intent.account.clone(), Shortage::Limit);
            let (here, end) = (server.cursor, server.candidates.len());
            let elsewhere =
                |place: &usize| server.candidates.get(*place).is_some_and(|other| other.account != intent.account);
            let next = (here..end).find(elsewhere).unwrap_or(end);
            go_on_with(view, server, next)
        }
        ProviderErrorKind::Unauthorized | ProviderErrorKind::ReadOnly => {
            let mut change = Change::new(server, Verb::Record);
            change.refused_by = Refusal::of(&intent.account, failure);
            change
        }
        ProviderErrorKind::Throttled { retry_after } => {
            moves::throttled(&mut server, view, retry_after);
            Change::new(server, Verb::Record)
        }
        ProviderErrorKind::Busy => {
            let delay = view.backoff(timing.backoff_first, timing.backoff_most);
            moves::back_off(&mut server, view, delay, WaitReason::Busy);
            server.busy = server.busy.saturating_add(1);
            Change::new(server, Verb::Record)
        }
        ProviderErrorKind::NotSent | ProviderErrorKind::Bug => {
            let delay = view.retry_delay(failure);
            moves::back_off(&mut server, view, delay, failure.waits_for());
            let mut change = Change::new(server, Verb::Record);
            change.bug = failure.kind == ProviderErrorKind::Bug;
            change
        }
    }
}

/// Says what an answer is taken for: itself; with a seeded bug a lost answer is no answer, and a taken name a refusal.
fn blindly(kind: ProviderErrorKind) -> ProviderErrorKind {
    if is_on(SeededBug::BlindRetry) && kind == ProviderErrorKind::Unknown {
        ProviderErrorKind::NotSent
    } else if is_on(SeededBug::BlindRetry) && kind == ProviderErrorKind::AlreadyExists {
        ProviderErrorKind::InvalidInput
    } else {
        kind
    }
}

/// Remembers that this create, or one before it, may have made a server or may yet make one.
fn may_have_landed(view: &View<'_>, server: &mut Server, intent: &Intent, taken: bool) {
    let allowance = view.timing.landing_allowance;
    let by = if taken { view.now.plus(allowance) } else { intent.lands_by(allowance).unwrap_or(view.now) };
    let before = server.land.get(&intent.account).map_or(by, |landing| landing.by);
    server.land.insert(intent.account.clone(), Landing { by: by.max(before), looked_at: None });
    let earlier = server.unsettled.take();
    // An answer that is lost says nothing about it.
    let taken_since = earlier.as_ref().and_then(|e| e.taken_since).or(taken.then_some(view.now));
    server.unsettled = Some(Unsettled {
        account: intent.account.clone(),
        since: earlier.map_or(view.now, |e| e.since),
        looked_at: None,
        taken_since,
    });
    server.not_before = None;
    server.wait_reason = Some(WaitReason::LookingForCreate);
    if server.state == ServerState::Requested {
        server.state = ServerState::Creating;
    }
}

/// Takes the candidate at a place, or ends the round if there is none.
fn go_on_with(view: &View<'_>, mut server: Server, place: usize) -> Change {
    server.busy = 0;
    if place < server.candidates.len() {
        server.cursor = place;
        return Change::new(server, Verb::Record);
    }
    end_round(view, server)
}

/// C6: while a candidate may be had another time its order waits for that: for stock, which comes by itself, before a limit,
/// which a person has to raise. It fails if all of them refuse it for good.
fn end_round(view: &View<'_>, server: Server) -> Change {
    let was_short_of = |shortage: Shortage| server.shortages.values().any(|short| *short == shortage);
    let (of_stock, of_room) = (was_short_of(Shortage::Stock), was_short_of(Shortage::Limit));
    if of_stock || (!of_room && server.exhausted_since.is_some()) {
        moves::unparked(wait_for_stock(view, server))
    } else if of_room {
        once_settled(server, |mut server| {
            begin_round(&mut server);
            moves::park(view, server, ParkReason::ProviderLimit)
        })
    } else {
        once_settled(server, |server| give_up(server, FailReason::Rejected))
    }
}

/// Begins with the most wanted candidate again: any of them may be had by the time it is asked.
fn begin_round(server: &mut Server) {
    server.cursor = 0;
    server.shortages.clear();
}

/// Ends what an order was refused for, unless a create before the refused one may have made its server: what refuses a create sent
/// again says nothing of that one. Once it can no longer land a look settles it (C2), and only what is refused after that counts.
fn once_settled(mut server: Server, end: impl FnOnce(Server) -> Change) -> Change {
    let earlier = server.unsettled.as_ref().and_then(|unsettled| server.land.get(&unsettled.account));
    if let Some(by) = earlier.map(|landing| landing.by) {
        server.not_before = Some(by);
        server.wait_reason = Some(WaitReason::LookingForCreate);
        return moves::unparked(Change::new(server, Verb::Record));
    }
    end(server)
}

fn give_up(mut server: Server, reason: FailReason) -> Change {
    // There is no candidate left.
    server.cursor = server.candidates.len();
    moves::fail(server, reason)
}

/// C5: waits for the next round, and gives up when patience is at its end.
fn wait_for_stock(view: &View<'_>, mut server: Server) -> Change {
    count_sold_out(&mut server, view.now);
    begin_round(&mut server);
    server.sold_out = true;
    let waited = server.exhausted_since.map_or(Duration::ZERO, |since| view.now.since(since));
    if waited >= view.timing.stock_patience {
        return once_settled(server, |server| give_up(server, FailReason::NoStock));
    }
    let delay = view.backoff(STOCK_WAIT.0, STOCK_WAIT.1);
    moves::back_off(&mut server, view, delay, WaitReason::NoStock);
    Change::new(server, Verb::Record)
}

/// Counts an answer "out of stock", or that others left no turn to ask again. A pause in which nobody came to ask, or nobody
/// answered, is no waiting for stock: without it an outage would fail the order. A wait for a turn is no such pause: where many
/// orders share what is left over, none would ever be given up.
pub(super) fn count_sold_out(server: &mut Server, now: Timestamp) {
    let pause = server.exhausted_at.map_or(Duration::ZERO, |last| now.since(last));
    let left_out = if pause > STOCK_PAUSE { pause } else { Duration::ZERO };
    server.exhausted_since = Some(server.exhausted_since.map_or(now, |since| since.plus(left_out)));
    server.exhausted_at = Some(now);
}
