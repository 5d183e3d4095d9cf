//! What this process holds back or has learned, brought into the view of a decision: no request, no announcement is spent to find it out.

use std::time::Duration;

use super::step::{GateView, Look};
use crate::model::{Candidate, Effect, ServerState, Timestamp};
use crate::ports::{Outlook, Priority};

/// Most of a wait that is added at random, so that all who wait for one moment do not come at once.
const SPREAD: f64 = 0.1;

/// Adds to an open gate what this process holds back.
pub(super) fn gate(gate: GateView, outlook: &Outlook, now: Timestamp, jitter: f64) -> GateView {
    let later = |delay| now.plus(spread(delay, jitter));
    match (gate, &outlook.shut, &outlook.creates_shut) {
        (GateView::Open, Some(shut), _) => GateView::Resting { until: later(shut.retry_after) },
        (GateView::Open, None, Some(shut)) => GateView::Easing { until: later(shut.retry_after) },
        (gate, ..) => gate,
    }
}

/// Returns a little more than a delay.
pub(super) fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(1.0 + SPREAD * jitter.clamp(0.0, 1.0))
}

/// Returns how long a create of this kind usually takes, if that is known.
pub(super) fn usual_create(outlook: &Outlook, candidate: &Candidate) -> Option<Duration> {
    outlook.usual_creates.get(&candidate.server_type).copied()
}

/// Says how urgent an effect is: undoing a failed order comes before new work.
pub(super) const fn of_effect(effect: &Effect, state: ServerState) -> Priority {
    match (effect, state) {
        (Effect::Delete { .. }, ServerState::Failing) => Priority::Settle,
        (Effect::Create { .. } | Effect::Delete { .. }, _) => Priority::Change,
    }
}

/// Says how urgent a look is: an effect of unknown outcome is settled before anything else.
pub(super) const fn of_look(look: &Look) -> Priority {
    match look {
        Look::Name { .. } => Priority::Settle,
        Look::Id { .. } | Look::Actions { .. } => Priority::Poll,
    }
}
