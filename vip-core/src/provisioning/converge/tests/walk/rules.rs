//! What holds on a walk whatever is answered: kept apart from the record, and compared with it after every step.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use crate::model::{Desired, OperationId, OperationStatus, ParkReason, Server, ServerState};
use crate::ports::{OperationChange, ProviderErrorKind, QuotaChange};
use crate::provisioning::converge::{Answer, Asked, Change, Look, Step, View};

/// Longest wait: an hour, and the share by which those who wait for one moment are spread.
const LONGEST_WAIT: Duration = Duration::from_secs(3960);
/// Most requests and moves in one moment: a last look, a call for each candidate, a removal that begins, and this for each twin.
pub(super) const MOST_AT_ONCE: u32 = 30;

/// Is what the walk itself remembers.
#[derive(Debug)]
pub(in super::super) struct Rules {
    /// Servers that the provider has shown to be ours.
    proven: BTreeSet<(AccountId, ProviderServerId)>,
    /// Until when creates without an answer may land, by account.
    pub(super) air: BTreeMap<AccountId, Timestamp>,
    /// A create without an answer that no empty look has followed.
    question: Option<AccountId>,
    pub(super) operations: BTreeMap<OperationId, OperationStatus>,
    is_held: bool,
    moment: (Timestamp, u32),
}

impl Rules {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            proven: BTreeSet::new(),
            air: BTreeMap::new(),
            question: None,
            operations: BTreeMap::from([(server.create_operation, OperationStatus::Pending)]),
            is_held: true,
            moment: (NOW, 0),
        }
    }

    /// Forgets how often something was done in this moment: somebody else had a turn.
    pub(super) fn interrupted(&mut self) {
        self.moment.1 = 0;
    }

    /// Demands that a step is allowed.
    pub(super) fn check_step(&mut self, view: &View<'_>, step: &Step) {
        let server = view.server;
        if view.now.since(self.moment.0) >= seconds(1) {
            self.moment = (view.now, 0);
        }
        self.moment.1 += 1;
        assert!(self.moment.1 <= MOST_AT_ONCE, "it turns in a circle without a pause: {step:?}");
        match step {
            Step::Wait { until, reason } => {
                assert!(*until > view.now, "a wait that is over: {reason}");
                assert!(until.since(view.now) <= LONGEST_WAIT, "{reason} for {:?}", until.since(view.now));
            }
            Step::Move(_) | Step::Settled => {}
            Step::Look(look) => self.check_request(view, look.account(), false),
            Step::Call { effect, account } => {
                assert!(server.intent.is_none(), "one effect at a time");
                let creates = matches!(effect, Effect::Create { .. });
                self.check_request(view, account, creates);
                match effect {
                    Effect::Create { candidate } => self.check_create(view, *candidate, account),
                    Effect::Delete { id } => self.check_delete(view, id, account),
                }
            }
        }
    }

    fn check_request(&self, view: &View<'_>, account: &AccountId, creates: bool) {
        let open = match view.gates.get(account) {
            Some(GateView::Open) => true,
            Some(GateView::Easing { .. }) => !creates,
            Some(GateView::Closed { .. } | GateView::Resting { .. }) | None => false,
        };
        assert!(open, "a request through a closed gate");
        assert!(view.server.not_before.is_none_or(|until| until <= view.now), "a request before its time");
    }

    fn check_create(&self, view: &View<'_>, candidate: usize, account: &AccountId) {
        let server = view.server;
        assert_eq!((candidate, Some(account)), (server.cursor, server.candidate().map(|c| &c.account)));
        assert!(server.provider_ref.is_none() && server.desired == Desired::Present);
        assert!(matches!(view.state(), ServerState::Requested | ServerState::Creating));
        assert_eq!(self.question, None, "a create follows one without an answer, and nobody has looked");
        let elsewhere = self.air.keys().find(|open| *open != account);
        assert_eq!(elsewhere, None, "a create meets one that may land in another account");
    }

    fn check_delete(&self, view: &View<'_>, id: &ProviderServerId, account: &AccountId) {
        let server = view.server;
        assert!(self.proven.contains(&(account.clone(), id.clone())), "{id} was never shown to be ours");
        let own = server.provider_ref.as_ref().is_some_and(|own| &own.id == id);
        let leaves = server.desired == Desired::Absent || view.state() == ServerState::Failing;
        assert!(leaves || !own, "the server of a wanted record is deleted");
    }

    /// Remembers what an answer proves, and what is open without one.
    pub(super) fn learn(&mut self, view: &View<'_>, asked: &Asked, answer: &Answer) {
        let ours = |seen: &&ServerView| seen.is_ours(installation(), view.server.id);
        match (asked, answer) {
            (Asked::Effect(intent), Answer::Created(created)) if matches!(intent.effect, Effect::Create { .. }) => {
                self.proven.insert((intent.account.clone(), created.server.id.clone()));
            }
            (Asked::Effect(intent), _) if matches!(intent.effect, Effect::Create { .. }) => {
                let allowance = view.timing.landing_allowance;
                let failed = if let Answer::Failed(failure) = answer { Some(failure.kind) } else { None };
                let by = match failed {
                    Some(ProviderErrorKind::AlreadyExists) => view.now.plus(allowance),
                    // An answer to another question is none.
                    None | Some(ProviderErrorKind::Unknown) => intent.lands_by(allowance).unwrap(),
                    Some(_) => return,
                };
                self.unanswered(&intent.account, by);
            }
            (Asked::Look { look: Look::Name { account }, started }, Answer::Name(found)) => {
                let seen = found.named.iter().chain(&found.labelled).filter(ours);
                self.proven.extend(seen.map(|seen| (account.clone(), seen.id.clone())));
                let is_empty = found.named.is_none() && !found.labelled.iter().any(|seen| ours(&seen));
                if is_empty && self.question.as_ref() == Some(account) {
                    self.question = None;
                }
                let foreign_in_removal = view.server.desired == Desired::Absent || view.state() == ServerState::Failing;
                let is_none_of_ours = !found.named.iter().chain(&found.labelled).any(|seen| ours(&seen));
                let proves = is_empty || (foreign_in_removal && is_none_of_ours);
                if proves && self.air.get(account).is_some_and(|by| by <= started) {
                    self.air.remove(account);
                }
            }
            (Asked::Look { look: Look::Id { account, .. }, .. }, Answer::Server(Some(seen))) if ours(&seen) => {
                self.proven.insert((account.clone(), seen.id.clone()));
            }
            _ => {}
        }
    }

    /// Remembers a create whose outcome nobody knows.
    pub(super) fn unanswered(&mut self, account: &AccountId, by: Timestamp) {
        let known = self.air.entry(account.clone()).or_insert(by);
        *known = (*known).max(by);
        self.question = Some(account.clone());
    }

    /// Demands that a change is allowed, and follows it.
    pub(super) fn check_change(&mut self, before: &Server, change: &Change) {
        let after = &change.server;
        check_what_stays(before, after);
        check_transition(before, after);
        let released = change.quota == Some(QuotaChange::Release);
        assert!(change.quota.is_none() || released, "converge takes no quota");
        assert_eq!(released, before.quota_held && !after.quota_held);
        assert!(!released || (after.state.is_final() && self.is_held), "the quota is given back once, at the end");
        self.is_held &= !released;
        assert_eq!(self.is_held, after.quota_held);
        assert!(!change.only_work || change.operations.is_empty(), "an operation moves only with a commit");
        self.move_operations(&change.operations);
    }

    pub(super) fn move_operations(&mut self, changes: &[OperationChange]) {
        for change in changes {
            match change {
                OperationChange::Insert(new) => drop(self.operations.insert(new.id, new.status)),
                OperationChange::Status { id, status, .. } => {
                    let known = self.operations.get_mut(id).expect("an operation that was accepted");
                    if !known.is_final() {
                        *known = *status;
                    }
                }
            }
        }
    }

    /// Demands what holds of a committed record.
    pub(super) fn check_record(&self, server: &Server) {
        if server.intent.is_none() && !server.state.is_final() {
            for (account, by) in &self.air {
                let known = server.land.get(account).map(|landing| landing.by);
                assert!(known >= Some(*by), "a create that may land until {by} in {account} is forgotten: {known:?}");
            }
        }
        let ended = server.state.is_final() && server.removing.is_none();
        assert!(!ended || self.air.is_empty(), "it ended and a create may land: {:?}", self.air);
        let of_wish = match server.desired {
            Desired::Present => server.create_operation,
            Desired::Absent => server.delete_operation.unwrap(),
        };
        let status = self.operations[&of_wish];
        let fits = match (server.state, server.desired) {
            (ServerState::Running | ServerState::Lost, Desired::Present) => status == OperationStatus::Succeeded,
            (ServerState::Failed, Desired::Present) => status == OperationStatus::Failed,
            (ServerState::Deleted, Desired::Absent) => status == OperationStatus::Succeeded,
            (ServerState::Parked, _) if server.is_resting_parked() => {
                status == OperationStatus::Parked || status.is_final()
            }
            // A record that was opened again keeps the end that its operation had.
            _ => status == OperationStatus::Pending || (status.is_final() && server.gone_at.is_some()),
        };
        assert!(fits, "{:?} {:?} and its operation {status:?}", server.state, server.desired);
        if server.desired == Desired::Absent {
            assert!(self.operations[&server.create_operation].is_final(), "a lost operation");
        }
        assert_eq!(server.state == ServerState::Parked, server.park_reason.is_some() && server.parked_from.is_some());
        let waits_for_a_person = matches!(server.park_reason, Some(ParkReason::Restored | ParkReason::HandlerFailed));
        assert!(
            server.state != ServerState::Parked
                || waits_for_a_person
                || server.not_before.is_some()
                || status.is_final()
                || !server.is_resting_parked(),
            "parked, and nothing wakes it"
        );
    }
}

/// What converge never changes.
fn check_what_stays(before: &Server, after: &Server) {
    assert_eq!((after.id, &after.tenant, after.desired), (before.id, &before.tenant, before.desired));
    assert_eq!((&after.candidates, &after.provider_name), (&before.candidates, &before.provider_name));
    assert_eq!((&after.create_hash, after.create_operation), (&before.create_hash, before.create_operation));
    assert_eq!(after.delete_operation, before.delete_operation);
    if let Some(own) = &before.provider_ref {
        let kept = after.provider_ref.as_ref().expect("a reference stays");
        assert_eq!((&kept.account, &kept.id, kept.owner, kept.at), (&own.account, &own.id, own.owner, own.at));
        let found_again = before.state == ServerState::Lost && after.state == ServerState::Running;
        assert!(kept.gone || !own.gone || found_again, "what was gone is back");
        assert!(kept.seen_by_id || !own.seen_by_id, "what was seen stays seen");
    }
    let limited = after.park_reason == Some(ParkReason::ProviderLimit);
    // A deletion that overtook it takes the place of the wait.
    let waits = after.exhausted_since.is_some() || limited || after.desired == Desired::Absent;
    let began_again = after.cursor == 0 && waits;
    assert!(after.cursor >= before.cursor || began_again, "the cursor went back");
    let announces = after.intent.is_some() && before.intent.is_none();
    assert_eq!(after.attempt, before.attempt + u32::from(announces), "each announcement is one attempt");
}

fn check_transition(before: &Server, after: &Server) {
    use ServerState::{Confirming, Creating, Deleted, Deleting, Failed, Failing, Lost, Parked, Requested, Running};
    let from = if before.state == Parked { before.parked_from.unwrap() } else { before.state };
    let to = after.state;
    let is_allowed = match from {
        // A record of a restored backup may find a server that it does not remember to have announced.
        Requested => matches!(to, Creating | Confirming | Failing | Deleting | Parked),
        Creating => matches!(to, Confirming | Failing | Deleting | Parked),
        Confirming => matches!(to, Running | Failing | Deleting | Parked),
        Running => matches!(to, Lost | Deleting | Parked),
        Lost => matches!(to, Running | Deleting | Parked),
        Failing => matches!(to, Failed | Deleting | Parked),
        Deleting => matches!(to, Deleted | Parked),
        Failed => to == Failing,
        Deleted => to == Deleting,
        Parked => false,
    };
    assert!(is_allowed || to == from || to == before.state, "{:?} ({from:?}) → {to:?}", before.state);
    assert!(to != Deleting || after.desired == Desired::Absent || from == Deleted, "deleted without a wish");
}
