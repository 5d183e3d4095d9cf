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
    for seen in listed {
        let label = seen.server_label();
        let Some(record) = label.and_then(|server| located.get(&server)) else {
            findings.push(finding(account, &seen.id, label, SightingClass::Unrecorded));
            continue;
        };
        findings.extend(compare(account, record, seen));
    }
    findings
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
    match record.state {
        ServerState::Failed | ServerState::Deleted => found(SightingClass::Resurfaced),
        ServerState::Lost if own && here => {
            found(SightingClass::Resurfaced).map(|finding| Finding { at_once: true, ..finding })
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
        // What is being made or removed is known: converge looks at it by itself.
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

fn finding(account: &AccountId, id: &ProviderServerId, server: Option<ServerId>, class: SightingClass) -> Finding {
    Finding { key: SightingKey { account: account.clone(), id: id.clone() }, server, class, at_once: false }
}
