//! What records and lists say of a token: which of them speak, and what it means that a list shows none of them; pure.

use std::collections::{BTreeMap, BTreeSet};

use super::gate::TokenCheck;
use crate::model::{Desired, GateEntry, InstallationId, ServerId, ServerState};
use crate::ports::{RecordedRef, ServerView};

/// Says whether a record speaks of a token.
pub(super) type Speaks = fn(&RecordedRef) -> bool;

/// Returns which records speak of a token whose entry is this one.
pub(super) fn speaking(entry: Option<&GateEntry>) -> Speaks {
    // One that was open before may have made servers that it does not list yet, or has removed: what another one has shown
    // counts alone.
    if entry.is_some_and(|entry| entry.accepted) { was_shown } else { may_be_there }
}

/// Says whether there may be a server of a record: a new token has to show one.
fn may_be_there(record: &RecordedRef) -> bool {
    record.id.is_some() || record.open
}

/// Says whether some token has shown a record's server that nobody has begun to remove: no server runs before a token that
/// shows it is known ([`note_shown`](super::gate::note_shown)).
fn was_shown(record: &RecordedRef) -> bool {
    record.id.is_some() && record.state == ServerState::Running
}

/// Says whether one of some servers is recorded, and has our labels.
pub(super) fn shows_one(owner: InstallationId, recorded: &[RecordedRef], servers: &[ServerView]) -> bool {
    let ours = |seen: &ServerView| seen.server_label().filter(|server| seen.is_ours(owner, *server));
    let shown: BTreeSet<_> = servers.iter().filter_map(|seen| Some((ours(seen)?, &seen.id))).collect();
    recorded.iter().any(|record| record.id.as_ref().is_some_and(|id| shown.contains(&(record.server, id))))
}

/// Says what it means that a list shows none of what was recorded before it; `now` is recorded after it.
pub(super) fn unseen(recorded: &[RecordedRef], now: Vec<RecordedRef>, speaks: Speaks) -> TokenCheck {
    let now: BTreeMap<ServerId, RecordedRef> =
        now.into_iter().filter(speaks).map(|record| (record.server, record)).collect();
    let stays = |record: &RecordedRef| {
        let same = now.get(&record.server).filter(|same| same.id == record.id);
        speaks(record) && same.is_some_and(|same| leaves(same) == leaves(record))
    };
    if recorded.iter().any(stays) {
        TokenCheck::Suspect { why: format!("it shows none of the {} servers that are recorded", recorded.len()) }
    } else if now.is_empty() {
        TokenCheck::Open
    } else {
        // What should have been listed was taken away meanwhile, and what is recorded since need not have been.
        TokenCheck::Unanswered
    }
}

/// Says whether a server is being removed, or soon will be.
fn leaves(record: &RecordedRef) -> bool {
    record.desired == Desired::Absent || matches!(record.state, ServerState::Failing | ServerState::Deleting)
}
