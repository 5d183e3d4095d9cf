//! What this process holds back or has learned, brought into the view of a decision: no request, no announcement is spent to find it out.

use std::time::Duration;

use super::step::{GateView, Look};
use crate::model::{Candidate, Effect, Server, ServerState, Timestamp, Timing, WaitReason};
use crate::ports::{Outlook, Priority, Shut};

/// Most of a wait that is added at random, so that all who wait for one moment do not come at once.
const SPREAD: f64 = 0.1;

/// Longest wait that somebody else may name: then it is asked again, whatever was said.
pub(super) const LONGEST_NAMED: Duration = Timing::LONGEST_NAMED;

/// Part of the time that an outage has lasted by which a record may come back later than it could.
const PATIENCE_SHARE: u32 = 20;
/// Longest time by which a record comes back later than it could.
const PATIENCE_MOST: Duration = Duration::from_secs(120);

/// Tries after which "busy" is no passing answer any more: some minute, for the pauses double from a second.
const BUSY_TRIES: u32 = 6;

/// Refusals of a delete after which it is only tried: one may have passed a second later, and thousands that are refused at once take
/// all of the account's requests for as long as this allows.
const REFUSED_TRIES: u32 = 2;

/// Counts what is held back or doubted in the location of the candidate that comes next, and in no other.
pub(super) fn of_candidate(mut outlook: Outlook, next: Option<&Candidate>) -> Outlook {
    let there = next.and_then(|candidate| outlook.creates_shut_in.remove(&candidate.location));
    outlook.creates_shut = outlook.creates_shut.or(there);
    outlook.creates_doubted |= next.is_some_and(|candidate| outlook.creates_doubted_in.contains(&candidate.location));
    outlook
}

/// Adds to an open gate what this process holds back.
pub(super) fn gate(gate: GateView, outlook: &Outlook, now: Timestamp, jitter: f64) -> GateView {
    let later = |shut: &Shut| {
        // The longer it lasts, the less often each record asks; somebody among many comes in time to probe.
        let patience = (shut.since / PATIENCE_SHARE).min(PATIENCE_MOST).mul_f64(jitter.clamp(0.0, 1.0));
        now.plus(spread(shut.retry_after, jitter).saturating_add(patience))
    };
    match (gate, &outlook.shut, &outlook.creates_shut) {
        (GateView::Open, Some(shut), _) => GateView::Resting { until: later(shut) },
        (GateView::Open, None, Some(shut)) => GateView::Easing { until: later(shut) },
        (gate, ..) => gate,
    }
}

/// Returns a little more than a delay that was named, and never much more than the longest one.
pub(super) fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.min(LONGEST_NAMED).mul_f64(1.0 + SPREAD * jitter.clamp(0.0, 1.0))
}

/// Returns how long a create of this kind usually takes, if that is known.
pub(super) fn usual_create(outlook: &Outlook, candidate: &Candidate) -> Option<Duration> {
    outlook.usual_creates.get(&candidate.server_type).copied()
}

/// Says how urgent an effect is: undoing a failed order comes before new work, and a try that is likely in vain after all else.
pub(super) const fn of_effect(effect: &Effect, server: &Server) -> Priority {
    match (effect, server.state) {
        _ if waits_for_change(server).is_some() => Priority::BestEffort,
        (Effect::Delete { .. }, ServerState::Failing) => Priority::Settle,
        (Effect::Create { .. } | Effect::Delete { .. }, _) => Priority::Change,
    }
}

/// Says what a record waits for until the provider changes its mind, because all that its order accepts was refused (for want of stock,
/// for a while for other work, or by a limit of the account: then it is parked), or its delete was. It stays so whatever it waited for
/// since, such as a provider that was away; and no other back-off makes it so, for then nobody has asked for what comes next.
pub(super) const fn waits_for_change(server: &Server) -> Option<WaitReason> {
    match server.state {
        ServerState::Creating if server.sold_out => Some(WaitReason::NoStock),
        ServerState::Creating if server.busy >= BUSY_TRIES => Some(WaitReason::Busy),
        ServerState::Parked => Some(WaitReason::Parked),
        // Of a second server, too, while its order runs or is lost.
        ServerState::Deleting | ServerState::Failing | ServerState::Running | ServerState::Lost
            if server.busy >= REFUSED_TRIES =>
        {
            // Where something else was waited for since, it is not known any more which of the two it was.
            let is_busy = matches!(server.wait_reason, Some(WaitReason::Busy));
            Some(if is_busy { WaitReason::Busy } else { WaitReason::RemovalRefused })
        }
        ServerState::Creating
        | ServerState::Requested
        | ServerState::Confirming
        | ServerState::Running
        | ServerState::Lost
        | ServerState::Failing
        | ServerState::Failed
        | ServerState::Deleting
        | ServerState::Deleted => None,
    }
}

/// Says how urgent a look is: an effect of unknown outcome is settled before anything else.
pub(super) const fn of_look(look: &Look) -> Priority {
    match look {
        Look::Name { .. } => Priority::Settle,
        Look::Id { .. } | Look::Actions { .. } => Priority::Poll,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(seconds))
    }

    fn outlook(since: u64, creates_alone: bool) -> Outlook {
        let shut = Some(Shut { retry_after: Duration::from_secs(30), since: Duration::from_secs(since), code: "x" });
        let mut outlook = Outlook::default();
        if creates_alone {
            outlook.creates_shut = shut;
        } else {
            outlook.shut = shut;
        }
        outlook
    }

    #[test]
    fn a_record_comes_back_a_little_later_the_longer_an_outage_lasts_up_to_two_minutes() {
        let until = |since| match gate(GateView::Open, &outlook(since, false), at(0), 1.0) {
            GateView::Resting { until } => until,
            GateView::Open | GateView::Closed { .. } | GateView::Easing { .. } => panic!("not held back"),
        };
        assert_eq!((until(0), until(1200), until(2400), until(7200)), (at(33), at(93), at(153), at(153)));
        assert_eq!(gate(GateView::Open, &outlook(7200, false), at(0), 0.0), GateView::Resting { until: at(30) });
    }

    #[test]
    fn creates_that_are_held_back_in_a_location_wait_there_and_nowhere_else() {
        let mut known = Outlook::default();
        known.creates_shut_in.extend(outlook(0, true).creates_shut.map(|shut| ("l".to_owned(), shut)));
        let candidate = |location: &str| {
            let there = super::super::tests::order().candidates.remove(0);
            Candidate { location: location.to_owned(), ..there }
        };
        let held_back = |next: Option<&Candidate>| {
            gate(GateView::Open, &of_candidate(known.clone(), next), at(0), 0.0) == GateView::Easing { until: at(30) }
        };
        assert!(held_back(Some(&candidate("l"))));
        assert!(!held_back(Some(&candidate("elsewhere"))) && !held_back(None));
    }

    #[test]
    fn a_create_comes_after_all_else_once_all_that_its_order_accepts_was_refused() {
        for (state, backoff, sold_out, busy, waits_for) in [
            (ServerState::Requested, 0, false, 0, None),
            // The first candidate is out of stock, and whatever the order backed off for, the others have not been asked.
            (ServerState::Creating, 0, false, 0, None),
            (ServerState::Creating, 9, false, 0, None),
            (ServerState::Creating, 1, true, 0, Some(WaitReason::NoStock)),
            (ServerState::Creating, 9, false, BUSY_TRIES - 1, None),
            (ServerState::Creating, BUSY_TRIES, false, BUSY_TRIES, Some(WaitReason::Busy)),
            (ServerState::Parked, 0, false, 0, Some(WaitReason::Parked)),
        ] {
            let mut server = super::super::tests::order();
            (server.state, server.backoff, server.sold_out, server.busy) = (state, backoff, sold_out, busy);
            // Whatever it waited for last, such as a provider that was away.
            server.wait_reason = Some(WaitReason::ProviderUnavailable);
            server.exhausted_since = Some(at(0));
            let case = format!("{state:?} {backoff} {sold_out} {busy}");
            assert_eq!(waits_for_change(&server), waits_for, "{case}");
            let priority = if waits_for.is_some() { Priority::BestEffort } else { Priority::Change };
            assert_eq!(of_effect(&Effect::Create { candidate: 0 }, &server), priority, "{case}");
        }
    }

    #[test]
    fn a_delete_comes_after_all_else_once_it_was_refused_twice_and_says_by_what() {
        let delete = Effect::Delete { id: crate::model::ProviderServerId::new("1").unwrap() };
        for (state, urgent) in [
            (ServerState::Deleting, Priority::Change),
            (ServerState::Failing, Priority::Settle),
            (ServerState::Running, Priority::Change),
            (ServerState::Lost, Priority::Change),
        ] {
            let mut server = super::super::tests::order();
            (server.state, server.backoff, server.busy) = (state, 9, REFUSED_TRIES - 1);
            server.wait_reason = Some(WaitReason::Busy);
            assert_eq!((waits_for_change(&server), of_effect(&delete, &server)), (None, urgent), "{state:?}");
            server.busy = REFUSED_TRIES;
            assert_eq!(of_effect(&delete, &server), Priority::BestEffort, "{state:?}");
            for (before, told) in [
                (WaitReason::Busy, WaitReason::Busy),
                (WaitReason::RemovalRefused, WaitReason::RemovalRefused),
                (WaitReason::ProviderUnavailable, WaitReason::RemovalRefused),
            ] {
                server.wait_reason = Some(before);
                assert_eq!(waits_for_change(&server), Some(told), "{state:?} {before:?}");
            }
        }
    }

    #[test]
    fn creates_alone_can_be_held_back_and_a_closed_gate_stays_closed() {
        assert_eq!(gate(GateView::Open, &outlook(0, true), at(0), 0.0), GateView::Easing { until: at(30) });
        let closed = GateView::Closed { until: at(7) };
        assert_eq!(gate(closed, &outlook(0, false), at(0), 0.0), closed);
        assert_eq!(gate(GateView::Open, &Outlook::default(), at(0), 0.0), GateView::Open);
    }
}
