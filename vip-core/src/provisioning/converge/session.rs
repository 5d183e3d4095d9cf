//! One attempt's view of a record: what was loaded, whether this claim has taken over, and how it writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::absorb::announce;
use super::ahead::bring_back;
use super::create::count_sold_out;
use super::next_step::next_step;
use super::outlook;
use super::reached;
use super::step::{Change, Failure, GateView, Refusal, Step, View};
use super::told;
use crate::model::{AccountId, Actor, AuditDraft, Intent, Server, ServerId, TenantId, Timestamp, WaitReason};
use crate::ports::{ChangeSet, Guard, Loaded, Note, ProviderClient, ProviderError, StoreError};
use crate::provisioning::context::Context;
use crate::provisioning::gate::{self, Others};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::worker::{Attempt, JobOutcome};

/// How soon an order that this process's token cannot serve is tried again where another token was good; a sweep that it has
/// no client for, too.
pub(in crate::provisioning) const OTHERS_IN: Duration = Duration::from_secs(30);

/// Says why an attempt cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The lease is lost, or somebody else has taken over: their record counts.
    Lost,
    /// The lease is too short for another request; nothing was begun.
    Short,
    /// There is no such record.
    Unknown,
    /// The provider does not understand us.
    Bug(String),
    /// The store cannot be used now.
    Store(StoreError),
    /// The store's bytes cannot be understood.
    Corrupt(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::Corrupt(error),
            StoreError::Conflict => Self::Lost,
            StoreError::KeyTaken
            | StoreError::QuotaExceeded { .. }
            | StoreError::Unavailable { .. }
            | StoreError::OutcomeUnknown { .. } => Self::Store(error),
        }
    }
}

/// Is one attempt at one record.
pub(super) struct Session<'a> {
    pub(super) context: &'a Context,
    pub(super) attempt: &'a Attempt,
    pub(super) loaded: Loaded,
    pub(super) read_at: Instant,
    pub(super) taken_over: bool,
    jitter: f64,
    pub(super) conflicts: u32,
}

impl<'a> Session<'a> {
    /// Reads the record.
    pub(super) async fn load(
        context: &'a Context,
        tenant: &TenantId,
        server: ServerId,
        attempt: &'a Attempt,
    ) -> Result<Self, Stop> {
        let mut loaded = context.store.load(tenant, server).await?.ok_or(Stop::Unknown)?;
        let read_at = Instant::now();
        bring_back(&mut loaded.server, loaded.now, &context.timing);
        let jitter = context.randomness.share();
        Ok(Self { context, attempt, loaded, read_at, taken_over: false, jitter, conflicts: 0 })
    }

    /// Returns the record.
    pub(super) const fn server(&self) -> &Server {
        &self.loaded.server
    }

    /// Returns the store's time: that of the load, moved on by the worker's monotonic clock.
    pub(super) fn now(&self) -> Timestamp {
        self.loaded.now.plus(self.read_at.elapsed())
    }

    /// Decides what to do next.
    pub(super) fn next_step(&self) -> Step {
        let gates = self.gates();
        let step = next_step(&self.view(&gates));
        reached::step(&step);
        step
    }

    pub(super) fn view<'v>(&'v self, gates: &'v BTreeMap<AccountId, GateView>) -> View<'v> {
        View {
            server: &self.loaded.server,
            sightings: &self.loaded.sightings,
            gates,
            now: self.now(),
            timing: &self.context.timing,
            installation: self.context.installation,
            jitter: self.jitter,
            usual_create: self.usual_create(),
        }
    }

    fn usual_create(&self) -> Option<Duration> {
        let candidate = self.loaded.server.candidate()?;
        outlook::usual_create(&self.client(&candidate.account)?.outlook(), candidate)
    }

    pub(super) fn gates(&self) -> BTreeMap<AccountId, GateView> {
        let view = |account: &crate::model::Account| {
            let client = self.context.providers.get(&account.id)?;
            let gate = gate::view(account, &client.token_digest(), self.now(), &self.context.timing);
            let known = outlook::of_candidate(client.outlook(), self.loaded.server.candidate());
            Some((account.id.clone(), outlook::gate(gate, &known, self.now(), self.jitter)))
        };
        self.loaded.accounts.iter().filter_map(view).collect()
    }

    fn guard(&self) -> Guard {
        let lease = self.attempt.lease();
        let stamp = self.loaded.server.stamp;
        // A store that does not keep the jobs cannot know their leases: there its own fence stands alone (F1, F2).
        let known = self.context.outbox.is_none().then_some(lease);
        if self.taken_over {
            Guard::Holder { stamp, claim: lease.claim, lease: known }
        } else {
            Guard::Takeover { stamp, claim: lease.claim, epoch: lease.epoch, lease: known }
        }
    }

    /// Says whether the lease is still good for taking over. Of a queue that was lost since, whose clock had been ahead, the epochs of old
    /// leases may lie above those of their successors, so that the store's fence alone (F1) would let a worker in that stood still.
    fn check_lease(&self) -> Result<(), Stop> {
        let is_over = !self.taken_over && self.attempt.guard(Duration::ZERO).is_err();
        if is_over { Err(Stop::Lost) } else { Ok(()) }
    }

    /// Commits an announcement; returns it with the store's time.
    pub(super) async fn announce(&mut self, intent: Intent) -> Result<Intent, Stop> {
        let gates = self.gates();
        let (id, claim) = (intent.id, intent.claim);
        let change = announce(&self.view(&gates), intent);
        self.apply(change).await?;
        // Without its announcement the effect must not be called; that the commit wrote it is checked, not assumed: a
        // commit that is found applied may have been followed by a successor's.
        let held = self.loaded.server.holder == Some(claim);
        self.loaded.server.intent.clone().filter(|open| held && open.id == id).ok_or(Stop::Lost)
    }

    /// Commits a change, or keeps it for the next note if only work fields changed.
    pub(super) async fn apply(&mut self, change: Change) -> Result<(), Stop> {
        let (bug, code) = (change.bug, change.code.clone());
        if let Some(refusal) = &change.refused_by {
            self.close_gate(refusal).await;
        }
        if change.only_work {
            self.loaded.server = change.server;
        } else {
            self.check_lease()?;
            let done = change.sighting_done.clone();
            let set = self.change_set(change);
            let committed = self.context.commit(&set).await?;
            self.taken_over = true;
            told::tell(&self.loaded.server, &set);
            if committed.at > self.now() {
                // The store's word is newer than what was loaded, also if that was old when it came: times that are written
                // from here on (T1) must not lie in the past.
                self.loaded.now = committed.at;
                self.read_at = Instant::now();
            }
            self.loaded.server = committed.server;
            self.loaded.sightings.retain(|sighting| Some(&sighting.key) != done.as_ref());
        }
        if bug { Err(Stop::Bug(code.unwrap_or_else(|| "bug".to_owned()))) } else { Ok(()) }
    }

    /// Lets the epochs of later claims rise above the record's, if this claim could not take over because its own does not (F1).
    ///
    /// So it is where a queue was lost or exchanged whose clock had been ahead: the epochs of the present one begin at its own
    /// clock, and until that is there no claim could write.
    pub(super) async fn raise_epochs(&self) {
        let (held, lease) = (self.loaded.server.holder_epoch, self.attempt.lease());
        // A lease that is over has a successor, and the epoch is that one's.
        if self.taken_over || held < lease.epoch || self.attempt.guard(Duration::ZERO).is_err() {
            return;
        }
        match self.context.queue.raise_epochs(held).await {
            Ok(true) => tracing::warn!(
                server.id = %self.server().id, lease.epoch = lease.epoch,
                "a record was held under an epoch that its queue had not reached, as after its clock was ahead: epochs were raised"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                server.id = %self.server().id, lease.epoch = lease.epoch, error = %crate::telemetry::causes(&error),
                "a record is held under an epoch that its queue has not reached, and epochs were not raised"
            ),
        }
    }

    /// Closes the gate of a refused token. The record's change is committed even if that fails: the next refusal closes
    /// the gate, but an answer that is not recorded would become unknown.
    async fn close_gate(&mut self, refusal: &Refusal) {
        let closed = async {
            gate::close_gate(self.context, &refusal.account, refusal.may_read).await?;
            self.context.store.account(&refusal.account).await
        };
        match closed.await {
            Ok(fresh) => {
                self.loaded.accounts.retain(|known| known.id != refusal.account);
                self.loaded.accounts.push(fresh);
            }
            Err(error) => {
                let error = crate::telemetry::causes(&error);
                tracing::warn!(account.id = %refusal.account, %error, "the gate could not be closed");
            }
        }
    }

    fn change_set(&self, change: Change) -> ChangeSet {
        let mut server = change.server;
        let timing = &self.context.timing;
        // A worker that dies now is missed when its lease is over; a record that rests is not waited for.
        server.wake_at = if server.is_converged() { server.not_before } else { Some(self.now().plus(timing.lease)) };
        let provider_id = server
            .removing
            .as_ref()
            .map(|removal| removal.id.clone())
            .or_else(|| server.provider_ref.as_ref().map(|reference| reference.id.clone()));
        let audit = AuditDraft {
            actor: Actor::Worker { claim: self.attempt.lease().claim },
            verb: change.verb,
            from: Some(self.loaded.server.state),
            to: server.state,
            operation: Some(server.delete_operation.unwrap_or(server.create_operation)),
            effect: change.effect.map(str::to_owned),
            outcome: change.outcome,
            code: change.code,
            attempt: server.attempt,
            provider_id,
            request_id: self.attempt.job().request_id.clone(),
            correlation_id: change.correlation_id,
        };
        let mut set = ChangeSet::new(self.context.change_id(), server, self.guard(), audit);
        set.operations = change.operations;
        set.quota = change.quota;
        set.sighting_done = change.sighting_done;
        set
    }

    /// Writes why and until when the record waits, and hands the job back until then.
    pub(super) async fn wait(&mut self, mut until: Timestamp, reason: WaitReason) -> Result<JobOutcome, Stop> {
        self.loaded.server.wait_reason = Some(reason);
        if reason == WaitReason::AccountBlocked {
            match gate::others(self.context, &self.loaded) {
                // This process's token alone is no good: it stops itself, and the order goes on elsewhere. Not if nobody came for what
                // it left of the account: all that this process can do would wait for them again and again.
                Others::OpenAndOursIsSuspect(account) => {
                    until = until.min(self.now().plus(OTHERS_IN));
                    if !self.attempt.is_left_in_vain(&account, until.since(self.now())) {
                        let delay = self.context.timing.backoff_first;
                        self.note(Some(self.now().plus(delay))).await?;
                        return Ok(self.attempt.leave(&account, delay));
                    }
                }
                // The other token may be one that nobody uses any more: sooner, but not at once.
                Others::Open => until = until.min(self.now().plus(OTHERS_IN)),
                Others::Closed => {}
            }
        }
        self.note(Some(until)).await?;
        if is_on(SeededBug::OutageBurnsAttempts) && reason == WaitReason::ProviderUnavailable {
            return Ok(JobOutcome::Retry { code: reason.to_string(), delay: Some(until.since(self.now())) });
        }
        Ok(JobOutcome::Snooze { delay: until.since(self.now()) })
    }

    /// Takes a record that has nothing left to do out of the list of those that have to move.
    pub(super) async fn rest(&mut self) -> Result<(), Stop> {
        if self.loaded.server.wake_at.is_none() { Ok(()) } else { self.note(None).await }
    }

    async fn note(&mut self, wake_at: Option<Timestamp>) -> Result<(), Stop> {
        self.check_lease()?;
        self.loaded.server.wake_at = wake_at;
        let note =
            Note { tenant: self.loaded.server.tenant.clone(), guard: self.guard(), server: self.loaded.server.clone() };
        self.context.store.note(&note).await?;
        Ok(())
    }

    /// Hands the job back until a held-back effect may be tried again.
    pub(super) async fn held_back(&mut self, failure: &Failure) -> Result<JobOutcome, Stop> {
        // Whatever was named: not in circles.
        let delay = self.view(&BTreeMap::new()).retry_delay(failure).max(self.context.timing.backoff_first / 2);
        // What was refused before is what it waits for, and not its turn; also if the provider was away since.
        let refused = outlook::waits_for_change(self.server());
        if refused == Some(WaitReason::NoStock) && failure.code == ProviderError::NO_TURN && self.creates_are_well() {
            // Others ask for all that the provider lets through: no outage, so this uses up patience.
            let now = self.now();
            count_sold_out(&mut self.loaded.server, now);
        }
        self.wait(self.now().plus(delay), refused.unwrap_or_else(|| failure.waits_for())).await
    }

    /// Says whether nothing that this process has seen speaks against creates of the candidate that comes next.
    fn creates_are_well(&self) -> bool {
        let next = self.server().candidate();
        let client = next.and_then(|candidate| self.client(&candidate.account));
        client.is_some_and(|client| !outlook::of_candidate(client.outlook(), next).creates_doubted)
    }

    pub(super) fn client(&self, account: &AccountId) -> Option<&Arc<dyn ProviderClient>> {
        self.context.providers.get(account)
    }
}
