//! The gate of an account's token: no look is believed and no effect is called with a token that is not checked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::context::Context;
use super::converge::{GateView, unknown_server};
use super::evidence;
use crate::model::{Account, AccountId, Gate, GateEntry, Timestamp, Timing, TokenDigest, Vouched};
use crate::ports::{
    Loaded, Priority, ProviderClient, ProviderError, ProviderErrorKind, RequestContext, ServerView, StoreError,
};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;

/// Most pages of an inventory: 50 servers a page make 500,000 servers.
const INVENTORY_PAGES: u32 = 10_000;
/// Longest pause between two probes of a closed gate.
const PROBE_MOST: Duration = Timing::LONGEST_NAMED;
/// Pause after which a record asks again whether its account was checked.
const UNCHECKED: Duration = Duration::from_secs(2);
/// Most tries to write an account that others write too.
const WRITES: u32 = 8;
/// Why a token that may only read is not used; it stays closed until it is exchanged for another.
pub(super) const MAY_ONLY_READ: &str = "the token may only read";

/// Says what a check of a token found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenCheck {
    /// The token may be used.
    Open,
    /// The provider refuses it; probed again at the time, by the store's clock.
    Blocked {
        /// When.
        probe_at: Timestamp,
    },
    /// It does not show what is recorded; only an operator opens the gate.
    Suspect {
        /// Why, in words.
        why: String,
    },
    /// Nothing is known: the provider did not answer, or what it should have shown was taken away meanwhile or lately.
    Unanswered,
}

/// Says whether requests may be made with a token, and when to ask again if not.
pub(super) fn view(account: &Account, digest: &TokenDigest, now: Timestamp, timing: &Timing) -> GateView {
    match account.gate(digest).map(|entry| &entry.gate) {
        Some(Gate::Open) => GateView::Open,
        Some(Gate::Blocked { probe_at }) => {
            let soon = now.plus(UNCHECKED);
            GateView::Closed { until: if is_due(*probe_at, now, timing) { soon } else { (*probe_at).max(soon) } }
        }
        Some(Gate::Suspect { .. }) => GateView::Closed { until: now.plus(timing.probe_first) },
        None if is_on(SeededBug::UncheckedTokenBelieved) => GateView::Open,
        None => GateView::Closed { until: now.plus(UNCHECKED) },
    }
}

/// Says whether a probe is due; also one that was planned while the clock was ahead.
fn is_due(probe_at: Timestamp, now: Timestamp, timing: &Timing) -> bool {
    probe_at <= now || timing.is_beyond(probe_at, now)
}

/// Says what an account that is closed to this process's token is to processes with another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Others {
    /// No token is known to be good.
    Closed,
    /// Another token was good when it was looked at last; nobody knows whether it is still used.
    Open,
    /// The same, and this process's token of this account belongs to another project: it will not do before somebody comes.
    OpenAndOursIsSuspect(AccountId),
}

/// Says who else may go on with what is blocked for this process.
pub(super) fn others(context: &Context, loaded: &Loaded) -> Others {
    let Some(account) = needed(loaded) else { return Others::Closed };
    if !account.gates.iter().any(|entry| entry.gate == Gate::Open) {
        return Others::Closed;
    }
    let Some(client) = context.providers.get(&account.id) else { return Others::Open };
    match account.gate(&client.token_digest()).map(|entry| &entry.gate) {
        Some(Gate::Suspect { .. }) => Others::OpenAndOursIsSuspect(account.id.clone()),
        Some(Gate::Blocked { .. }) => Others::Open,
        Some(Gate::Open) | None => Others::Closed,
    }
}

/// Says whether the account that a server needs next is known to be closed.
pub(crate) fn is_blocked(context: &Context, loaded: &Loaded) -> bool {
    needed(loaded).is_some_and(|known| is_closed(context, known))
}

/// Returns the account that a server needs next: first the one in which a sweep has seen what it has to look for.
fn needed(loaded: &Loaded) -> Option<&Account> {
    let server = &loaded.server;
    let is_under_way = !server.state.is_final() && !server.is_resting_parked();
    let seen = unknown_server(server, &loaded.sightings).filter(|_| is_under_way);
    let next = seen.map(|seen| &seen.key.account).or_else(|| server.next_account())?;
    loaded.accounts.iter().find(|known| &known.id == next)
}

/// Says whether an account is known to be closed: to this process's token, or, for a process without one, to every token.
///
/// A token that is not checked yet is checked in a moment.
pub(crate) fn is_closed(context: &Context, account: &Account) -> bool {
    match context.providers.get(&account.id) {
        Some(client) => account.gate(&client.token_digest()).is_some_and(|entry| entry.gate != Gate::Open),
        None => !account.gates.is_empty() && account.gates.iter().all(|entry| entry.gate != Gate::Open),
    }
}

/// Closes the gate of this process's token, because the provider refused it.
///
/// # Errors
///
/// [`StoreError`] if that could not be written; the next refusal tries again.
pub async fn close_gate(context: &Context, id: &AccountId, may_read: bool) -> Result<(), StoreError> {
    let Some(client) = context.providers.get(id) else {
        return Ok(());
    };
    let now = context.store.now().await?;
    let digest = client.token_digest();
    change(context, id, |account| {
        // Many requests in flight are refused together: the first one closes the gate, and only an operator opens one
        // that is suspect.
        match account.gate(&digest).map(|entry| &entry.gate) {
            Some(Gate::Suspect { .. }) => return None,
            Some(Gate::Blocked { probe_at }) if !is_due(*probe_at, now, &context.timing) && !may_read => return None,
            Some(Gate::Blocked { .. } | Gate::Open) | None => {}
        }
        let probes = account.gate(&digest).map_or(0, |entry| entry.probes);
        let gate = if may_read {
            Gate::Suspect { why: MAY_ONLY_READ.to_owned() }
        } else {
            Gate::Blocked { probe_at: now.plus(probe_delay(context, probes)) }
        };
        telemetry::tell(|| {
            tracing::warn!(account.id = %id, token.digest = %digest, "the provider refuses the token");
        });
        Some(account.with_gate(&digest, gate, probes.saturating_add(1)))
    })
    .await
}

/// Says why a token is not vouched for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// More servers are missing than the operator has seen. Look at the account again.
    #[error("{seen} servers are missing, and only {accepted} were vouched for")]
    MoreMissing {
        /// How many are missing by now.
        seen: u64,
        /// How many the operator knew of.
        accepted: u64,
    },
    /// The store cannot be used; repeat it.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
}

/// Opens the gate of a token that an operator vouches for, and writes down who that was.
///
/// # Errors
///
/// [`ConfirmError::MoreMissing`] if a sweep has found more missing meanwhile, and nothing is changed; or the store's error.
pub async fn confirm_token(
    context: &Context,
    id: &AccountId,
    digest: &TokenDigest,
    vouched: &Vouched,
) -> Result<(), ConfirmError> {
    let missing = vouched.missing;
    let mut last = StoreError::Conflict;
    for _ in 0..WRITES {
        let mut account = context.store.account(id).await?;
        // A repeat whose first try was applied must not vouch for what was found in between.
        if account.missing_seen > account.missing_accepted.max(missing) {
            return Err(ConfirmError::MoreMissing { seen: account.missing_seen, accepted: missing });
        }
        // What the operator saw missing is accepted: only more of it makes the account suspect again.
        account.missing_accepted = account.missing_accepted.max(account.missing_seen);
        match context.store.save_account(&account.vouched_for(digest, vouched)).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Conflict) => last = StoreError::Conflict,
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

/// Closes all gates of an account: what it shows is not what is recorded (S7). Not if an operator has accepted that many by now: the
/// sweep has looked at some of the missing since it asked, and that may take long.
pub(super) async fn suspect_all(context: &Context, id: &AccountId, missing: u64, why: &str) -> Result<(), StoreError> {
    let closes = AtomicBool::new(false);
    change(context, id, |mut account| {
        let is_more = missing > account.missing_accepted;
        closes.store(is_more, Ordering::Relaxed);
        if !is_more {
            return None;
        }
        account.missing_seen = missing;
        for entry in &mut account.gates {
            entry.gate = Gate::Suspect { why: why.to_owned() };
        }
        Some(account)
    })
    .await?;
    if closes.into_inner() {
        telemetry::tell(|| tracing::error!(account.id = %id, "the account is suspect: {why}"));
    }
    Ok(())
}

/// Lowers what was seen missing, and what was accepted of it, to what is missing from a list. Not if the account has changed since
/// `before`, which was read before the list: an operator may have accepted what went missing later. Then the next sweep does it.
pub(super) async fn forget_missing(context: &Context, before: &Account, missing: u64) -> Result<(), StoreError> {
    change(context, &before.id, |mut account| {
        if account.version != before.version {
            return None;
        }
        account.missing_seen = account.missing_seen.min(missing);
        account.missing_accepted = account.missing_accepted.min(missing);
        Some(account)
    })
    .await
}

/// Checks this process's token of an account, if that is due (S8).
///
/// # Errors
///
/// [`StoreError`] if the store cannot be used.
pub async fn check_token(context: &Context, id: &AccountId) -> Result<TokenCheck, StoreError> {
    let Some(client) = context.providers.get(id) else {
        return Ok(TokenCheck::Unanswered);
    };
    let digest = client.token_digest();
    let account = context.store.account(id).await?;
    let now = context.store.now().await?;
    let before = account.gate(&digest).cloned();
    match before.as_ref().map(|entry| &entry.gate) {
        Some(Gate::Open) => return Ok(TokenCheck::Open),
        Some(Gate::Suspect { why }) => return Ok(TokenCheck::Suspect { why: why.clone() }),
        Some(Gate::Blocked { probe_at }) if !is_due(*probe_at, now, &context.timing) => {
            return Ok(TokenCheck::Blocked { probe_at: *probe_at });
        }
        Some(Gate::Blocked { .. }) | None => {}
    }
    ask(context, client.as_ref(), id, before).await
}

/// Asks for what a token shows, and writes down what follows; `before` is its entry as it was read.
async fn ask(
    context: &Context,
    client: &dyn ProviderClient,
    id: &AccountId,
    before: Option<GateEntry>,
) -> Result<TokenCheck, StoreError> {
    let digest = client.token_digest();
    let known = before.as_ref().is_some_and(GateEntry::is_known);
    let speaks = evidence::speaking(before.as_ref());
    // Records first: what is recorded now must be in an inventory that is read afterwards.
    let mut recorded = context.store.references(id).await?;
    let shows = |page: &[ServerView]| evidence::shows_one(context.installation, &recorded, page);
    let opens = |page: &[ServerView]| known || !recorded.iter().any(speaks) || shows(page);
    let listed = match read_until(context, client, Priority::Settle, opens).await {
        Ok(listed) => listed,
        Err(error) if error.kind == ProviderErrorKind::Unauthorized => {
            let now = context.store.now().await?;
            close_gate(context, id, false).await?;
            return Ok(TokenCheck::Blocked { probe_at: now.plus(probe_delay(context, 0)) });
        }
        Err(error) => {
            telemetry::tell(|| {
                tracing::warn!(account.id = %id, error = %telemetry::causes(&error), "the token could not be checked");
            });
            return Ok(TokenCheck::Unanswered);
        }
    };
    if is_on(SeededBug::InventoryBeforeRecords) {
        recorded = context.store.references(id).await?;
    }
    let shown = evidence::shows_one(context.installation, &recorded, &listed);
    let found = if known || shown || !recorded.iter().any(speaks) || is_on(SeededBug::UncheckedTokenBelieved) {
        TokenCheck::Open
    } else {
        let now = context.store.references(id).await?;
        let taken_away = evidence::taken_away(context, id, &now).await?;
        evidence::unseen(&recorded, now, &taken_away, speaks)
    };
    let gate = match &found {
        TokenCheck::Open => Gate::Open,
        TokenCheck::Suspect { why } => {
            telemetry::tell(|| {
                tracing::error!(account.id = %id, token.digest = %digest, "the token is suspect: {why}");
            });
            Gate::Suspect { why: why.clone() }
        }
        TokenCheck::Blocked { .. } | TokenCheck::Unanswered => return Ok(TokenCheck::Unanswered),
    };
    change(context, id, |account| {
        // Somebody closed or opened it while the inventory was read: their word is newer.
        let unchanged = account.gate(&digest) == before.as_ref();
        let checked = unchanged.then(|| account.with_gate(&digest, gate.clone(), 0))?;
        Some(if shown { checked.shown_by(&digest) } else { checked })
    })
    .await?;
    Ok(found)
}

/// Notes that this process's token has shown a recorded server: it belongs to the account. What was believed of others because
/// there was nothing to see is believed no more: they have to show one, too. An account can be empty again long after this token was
/// known, so that others come to be believed like that later, too.
///
/// # Errors
///
/// [`StoreError`] if that could not be written.
pub(super) async fn note_shown(context: &Context, known: &Account) -> Result<(), StoreError> {
    let Some(client) = context.providers.get(&known.id) else {
        return Ok(());
    };
    let digest = client.token_digest();
    let is_news = |account: &Account| {
        let others = || account.gates.iter().any(GateEntry::is_only_believed);
        account.gate(&digest).is_some_and(|own| !own.shown || others())
    };
    if !is_news(known) {
        return Ok(());
    }
    change(context, &known.id, |account| is_news(&account).then(|| account.shown_by(&digest))).await
}

/// Reads all servers of this installation in an account, each once; incomplete is an error.
pub(super) async fn inventory(
    context: &Context,
    client: &dyn ProviderClient,
) -> Result<Vec<ServerView>, ProviderError> {
    read_until(context, client, Priority::Sweep, |_page| false).await
}

/// Reads the servers of this installation in an account, each once, up to a page that is enough.
async fn read_until(
    context: &Context,
    client: &dyn ProviderClient,
    priority: Priority,
    is_enough: impl Fn(&[ServerView]) -> bool + Send + Sync,
) -> Result<Vec<ServerView>, ProviderError> {
    let mut servers: Vec<ServerView> = Vec::new();
    let mut page = 1;
    for _ in 0..INVENTORY_PAGES {
        let request = RequestContext::new(context.timing.request_deadline).with_priority(priority);
        let part = client.inventory(context.installation, page, &request).await?;
        let next = part.next.filter(|_| !is_enough(&part.servers));
        servers.extend(part.servers);
        match next {
            Some(next) => page = next,
            None => {
                servers.sort_by(|one, other| one.id.cmp(&other.id));
                servers.dedup_by(|one, other| one.id == other.id);
                return Ok(servers);
            }
        }
    }
    Err(ProviderError::new(ProviderErrorKind::Unknown, "endless_inventory"))
}

fn probe_delay(context: &Context, probes: u32) -> Duration {
    let doubled = context.timing.probe_first.saturating_mul(1_u32.checked_shl(probes.min(20)).unwrap_or(u32::MAX));
    doubled.min(PROBE_MOST).mul_f64(1.0 + 0.1 * context.randomness.share())
}

/// Changes an account: reads, decides, writes, and begins again when somebody else was faster.
async fn change(
    context: &Context,
    id: &AccountId,
    decide: impl Fn(Account) -> Option<Account> + Send + Sync,
) -> Result<(), StoreError> {
    let mut last = StoreError::Conflict;
    for _ in 0..WRITES {
        let Some(changed) = decide(context.store.account(id).await?) else {
            return Ok(());
        };
        match context.store.save_account(&changed).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Conflict) => last = StoreError::Conflict,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
