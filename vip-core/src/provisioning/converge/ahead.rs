//! What was written while the store's clock was ahead: times of a record that lie further ahead than anything is put off.
//!
//! Whoever waited for them would wait until the clock is there again. When they were written is not known, so all of them count as
//! now: a wait is over, and what has to last (a request, the time in which a create may land) lasts in full from here on.

use crate::model::{Landing, Server, Timestamp, Timing};

/// Brings the times of a record back that its store's clock has not reached and will not for long; it is written with the next note
/// or commit.
pub(super) fn bring_back(server: &mut Server, now: Timestamp, timing: &Timing) {
    let is_ahead = |at: Timestamp| timing.is_beyond(at, now);
    let to_now = |at: &mut Timestamp| *at = if is_ahead(*at) { now } else { *at };
    server.not_before = server.not_before.filter(|at| !is_ahead(*at));
    server.exhausted_since.iter_mut().chain(&mut server.exhausted_at).for_each(to_now);
    if server.last_answer.is_some_and(is_ahead) || server.waiting_since.is_some_and(is_ahead) {
        // Answers that lie so far apart do not follow one another.
        (server.waiting_since, server.last_answer) = (None, None);
    }
    if let Some(intent) = server.intent.as_mut() {
        intent.announced_at.iter_mut().for_each(to_now);
    }
    if let Some(unsettled) = server.unsettled.as_mut() {
        to_now(&mut unsettled.since);
        unsettled.taken_since.iter_mut().for_each(to_now);
    }
    let lands_by = now.plus(timing.request_deadline).plus(timing.landing_allowance);
    for landing in server.land.values_mut().filter(|landing| is_ahead(landing.by)) {
        *landing = Landing { by: lands_by, looked_at: None };
    }
    server.provider_ref.iter_mut().for_each(|own| to_now(&mut own.at));
    if let Some(removal) = server.removing.as_mut() {
        to_now(&mut removal.since);
        removal.accepted_at.iter_mut().chain(&mut removal.first_accepted_at).for_each(to_now);
    }
}
