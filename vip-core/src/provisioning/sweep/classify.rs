//! Says in what an account and the records disagree; pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AccountId, Desired, ProviderServerId, ServerId, ServerState, SightingClass, SightingKey};
use crate::ports::{RecordedRef, ServerView};

/// Is one disagreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found, or is missing.
    pub key: SightingKey,
    /// The record that it belongs to.
    pub server: Option<ServerId>,
    /// How it disagrees.
    pub class: SightingClass,
    /// Whether converge may look at once: looking again can only help.
    pub at_once: bool,
}

impl Finding {
    /// Says whether it is missing.
    pub(super) fn is_missing(&self) -> bool {
        self.class == SightingClass::Missing
    }
}

/// Compares the records of an account with what it lists; `located` holds the records that the list's labels name.
#[must_use]
pub fn classify(
    account: &AccountId,
    recorded: &[RecordedRef],
    listed: &[ServerView],
    located: &BTreeMap<ServerId, RecordedRef>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ids: BTreeSet<&ProviderServerId> = listed.iter().map(|seen| &seen.id).collect();
    for record in recorded {
        let missing = has_to_be_listed(record) && record.id.as_ref().is_some_and(|id| !ids.contains(id));
        if let (true, Some(id)) = (missing, &record.id) {
            findings.push(finding(account, id, Some(record.server), SightingClass::Missing));
        }
    }
    let holders: BTreeMap<&ProviderServerId, ServerId> =
        recorded.iter().filter_map(|record| Some((record.id.as_ref()?, record.server))).collect();
    for seen in listed {
        let label = seen.server_label();
        let named = label.and_then(|server| located.get(&server));
        let is_own = named.is_some_and(|record| !record.state.is_final() && record.id.as_ref() == Some(&seen.id));
        let holder = holders.get(&seen.id).copied().filter(|holder| !is_own && Some(*holder) != label);
        if holder.is_some() {
            // Somebody changed its labels: it is the recorded server of another record all the same.
            findings.push(finding(account, &seen.id, holder, SightingClass::Drift));
            continue;
        }
        let Some(record) = named else {
            findings.push(finding(account, &seen.id, label, SightingClass::Unrecorded));
            continue;
        };
        findings.extend(compare(account, record, seen));
    }
    findings
}

/// Leaves out the missing that need not be listed any more: somebody took them away while the list was read. `recorded` is left
/// with those of before it that are still of the same server, as they are `now`.
pub(super) fn forget_taken_away(findings: &mut Vec<Finding>, recorded: &mut Vec<RecordedRef>, now: Vec<RecordedRef>) {
    let mut now: BTreeMap<ServerId, RecordedRef> = now.into_iter().map(|record| (record.server, record)).collect();
    *recorded =
        recorded.iter().filter_map(|before| now.remove(&before.server).filter(|it| it.id == before.id)).collect();
    let missed: BTreeSet<ServerId> =
        recorded.iter().filter(|record| has_to_be_listed(record)).map(|record| record.server).collect();
    findings.retain(|finding| !finding.is_missing() || finding.server.is_some_and(|server| missed.contains(&server)));
}

/// Counts the records whose servers may be there: what is missing is missing among these. One that is lost for good says nothing about
/// a list without it; one that is being made or removed may be on it, and one that is listed shows that it is no other project's.
pub(super) fn may_be_listed(recorded: &[RecordedRef]) -> usize {
    recorded.iter().filter(|record| record.id.is_some() && record.state != ServerState::Lost).count()
}

/// Says whether a list has to show the server of a record: only such a one can be missing.
fn has_to_be_listed(record: &RecordedRef) -> bool {
    record.state == ServerState::Running && record.desired == Desired::Present && record.id.is_some()
}

fn compare(account: &AccountId, record: &RecordedRef, seen: &ServerView) -> Option<Finding> {
    let own = record.id.as_ref() == Some(&seen.id);
    let here = record.account.as_ref() == Some(account);
    let leaving = record.removing.as_ref() == Some(&seen.id);
    let found = |class| Some(finding(account, &seen.id, Some(record.server), class));
    let wanted = || found(SightingClass::Resurfaced).map(|finding| Finding { at_once: true, ..finding });
    match record.state {
        ServerState::Failed | ServerState::Deleted => found(SightingClass::Resurfaced),
        ServerState::Lost if own && here => wanted(),
        // A create that was taken for nothing has made it after all: nobody else looks for it any more, also before an end.
        ServerState::Requested
        | ServerState::Creating
        | ServerState::Failing
        | ServerState::Deleting
        | ServerState::Parked
            if knows_none(record) =>
        {
            wanted()
        }
        ServerState::Confirming | ServerState::Running | ServerState::Lost if !own && !leaving => {
            found(SightingClass::Surplus)
        }
        // The recorded id in another account: two accounts that give the same ids, or one project under two names.
        ServerState::Confirming | ServerState::Running | ServerState::Lost if own && !here => {
            found(SightingClass::Drift)
        }
        ServerState::Running if own => {
            let same = seen.name == record.provider_name.as_str() && seen.has_hash(&record.create_hash);
            if same { None } else { found(SightingClass::Drift) }
        }
        // What is being made or removed is known, or its create is open: converge looks at it by itself.
        ServerState::Requested
        | ServerState::Creating
        | ServerState::Confirming
        | ServerState::Running
        | ServerState::Failing
        | ServerState::Deleting
        | ServerState::Lost
        | ServerState::Parked => None,
    }
}

/// Says whether a record knows of no server, nor of a create that may make one.
fn knows_none(record: &RecordedRef) -> bool {
    record.id.is_none() && record.removing.is_none() && !record.open
}

fn finding(account: &AccountId, id: &ProviderServerId, server: Option<ServerId>, class: SightingClass) -> Finding {
    Finding { key: SightingKey { account: account.clone(), id: id.clone() }, server, class, at_once: false }
}
