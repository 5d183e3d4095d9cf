//! What records and lists say of a token: which of them speak, and what it means that a list shows none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::context::Context;
use super::gate::TokenCheck;
use crate::model::{AccountId, Desired, GateEntry, InstallationId, ServerId, ServerState};
use crate::ports::{Loaded, RecordedRef, ServerView, StoreError};

/// Most records that are read to see whether their servers were taken away lately; any more have to be shown.
const TAKEN_AWAY_MOST: usize = 1000;

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

/// Says what it means that a list shows none of what was recorded before it; `now` is recorded after it, and `taken_away` lately.
pub(super) fn unseen(
    recorded: &[RecordedRef],
    now: Vec<RecordedRef>,
    taken_away: &BTreeSet<ServerId>,
    speaks: Speaks,
) -> TokenCheck {
    let now: BTreeMap<ServerId, RecordedRef> =
        now.into_iter().filter(speaks).map(|record| (record.server, record)).collect();
    let stays = |record: &RecordedRef| {
        let same = now.get(&record.server).filter(|same| same.id == record.id);
        let is_as_before = same.is_some_and(|same| leaves(same) == leaves(record));
        speaks(record) && is_as_before && !taken_away.contains(&record.server)
    };
    if recorded.iter().any(stays) {
        TokenCheck::Suspect { why: format!("it shows none of the {} servers that are recorded", recorded.len()) }
    } else if now.is_empty() {
        TokenCheck::Open
    } else {
        // What should have been listed was taken away, and what is recorded since need not have been.
        TokenCheck::Unanswered
    }
}

/// Returns the records whose removal the provider has accepted in an account lately: their servers need not be listed, though nobody has
/// looked yet whether they are gone. A server whose removal is refused has to be, and one whose removal nobody brings to its end: else
/// a token of another project would be asked again for ever, and nobody told.
///
/// # Errors
///
/// [`StoreError`] if the store cannot be used.
pub(super) async fn taken_away(
    context: &Context,
    account: &AccountId,
    recorded: &[RecordedRef],
) -> Result<BTreeSet<ServerId>, StoreError> {
    let leaving: Vec<&RecordedRef> = recorded.iter().filter(|record| leaves(record)).take(TAKEN_AWAY_MOST).collect();
    let mut taken_away = BTreeSet::new();
    for record in leaving {
        let loaded = match context.store.load(&record.tenant, record.server).await {
            Ok(loaded) => loaded,
            // What cannot be read says nothing of its removal.
            Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        if loaded.is_some_and(|loaded| is_taken_away(&loaded, account, context.timing.landing_allowance)) {
            taken_away.insert(record.server);
        }
    }
    Ok(taken_away)
}

fn is_taken_away(loaded: &Loaded, account: &AccountId, lately: Duration) -> bool {
    let (own, removal) = (loaded.server.provider_ref.as_ref(), loaded.server.removing.as_ref());
    let own = own.filter(|own| &own.account == account);
    let removal = removal.filter(|removal| own.is_some_and(|own| removal.names(account, &own.id)));
    removal.and_then(|removal| removal.first_accepted_at).is_some_and(|at| loaded.now.since(at) < lately)
}

/// Says whether a server is being removed, or soon will be.
fn leaves(record: &RecordedRef) -> bool {
    record.desired == Desired::Absent || matches!(record.state, ServerState::Failing | ServerState::Deleting)
}
