//! Sweep: compares what an account shows with what is recorded, writes down what it saw, and wakes.
//!
//! It changes no record and calls no effect: converge looks again before it acts (`docs/protocol.md` §7).

mod classify;
mod ends;
mod report;
mod ripen;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use classify::{Finding, classify};
pub(crate) use ends::{SweepEnds, SweepFault};
pub use report::{Consequence, ExtraCost, Prices, SweepFinding, SweepReport};
pub use ripen::{Ripened, SweepMode, ripen};

use super::context::Context;
use super::converge::OTHERS_IN;
use super::evidence;
use super::gate::{self, TokenCheck};
use super::kinds::{self, SWEEP, SweepPayload};
use crate::model::{
    Account, AccountId, JobId, JobKind, NewJob, ProviderServerId, ServerId, ServerState, SightingClass, TenantId, Why,
};
use crate::ports::job_queue::enqueue_each;
use crate::ports::{ENQUEUE_MOST, Enqueued, ProviderClient, ProviderError, RecordedRef, RequestContext, StoreError};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;
use crate::worker::{Attempt, HandlerError, JobHandler, JobOutcome};

/// Most stalled servers that one sweep wakes; the next one wakes more.
const STALLED: u32 = 1000;
/// Missing servers that are never too many.
const MISSING_FEW: usize = 5;
/// Share of an account's servers, in percent, of which more missing ones mean another project.
const MISSING_PERCENT: usize = 20;
/// Missing servers that are looked at before an account is closed. The first may be missing for good though it is there, because
/// somebody changed its labels or it cannot be read.
const MISSING_LOOKED_AT: usize = 3;

/// Handles the jobs that sweep accounts.
#[derive(Debug, Clone)]
pub struct Sweep {
    context: Context,
    mode: SweepMode,
    prices: Option<Arc<dyn Prices>>,
    ends: Arc<SweepEnds>,
    kind: JobKind,
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("store failed during a sweep")]
    Store(#[from] StoreError),
    #[error("queue failed during a sweep")]
    Queue(#[from] crate::ports::QueueError),
    #[error("inventory could not be read")]
    Provider(#[from] ProviderError),
    #[error("job could not be made")]
    Job(#[from] crate::model::NameError),
}

impl SweepError {
    /// Says why, as a short code.
    fn code(&self) -> &str {
        match self {
            Self::Store(_) => "store",
            Self::Queue(_) => "queue",
            Self::Provider(error) => &error.code,
            Self::Job(_) => "job",
        }
    }
}

impl Sweep {
    /// Makes the handler.
    ///
    /// # Errors
    ///
    /// [`crate::model::NameError`] never in practice: the kind's name is valid.
    pub fn new(context: Context, mode: SweepMode) -> Result<Self, crate::model::NameError> {
        let ends = Arc::new(SweepEnds::new(&context.timing));
        Ok(Self { context, mode, prices: None, ends, kind: JobKind::new(SWEEP)? })
    }

    /// Returns this handler with a price list for its reports.
    #[must_use]
    pub fn with_prices(mut self, prices: Arc<dyn Prices>) -> Self {
        self.prices = Some(prices);
        self
    }

    /// Returns this handler with a memory, that others read, of how its jobs ended.
    #[must_use]
    pub(crate) fn with_ends(mut self, ends: Arc<SweepEnds>) -> Self {
        self.ends = ends;
        self
    }

    /// Sweeps an account once.
    ///
    /// # Errors
    ///
    /// What went wrong beneath; nothing was changed but what was written before.
    pub async fn once(&self, account: &AccountId) -> Result<SweepReport, Box<dyn Error + Send + Sync>> {
        Ok(self.sweep(account).await?)
    }

    async fn sweep(&self, account: &AccountId) -> Result<SweepReport, SweepError> {
        let context = &self.context;
        if is_on(SeededBug::NoSweep) {
            return Ok(SweepReport::default());
        }
        // S6 first: what has stalled is woken even if the account cannot be looked at.
        let (after, ahead) = (context.timing.stall_after, context.timing.furthest_ahead());
        let stalled = context.store.stalled(after, ahead, STALLED).await?;
        let servers: Vec<(TenantId, ServerId)> = stalled.into_iter().map(|s| (s.tenant, s.server)).collect();
        let woken = self.wake(&servers).await;
        // And the account is looked at even if the queue takes no wakes.
        let report = self.compare(account, servers.len()).await;
        if let (Err(_), Err(error)) = (&woken, &report) {
            let error = telemetry::causes(error);
            tracing::warn!(account.id = %account, %error, "an account was not compared, nor were its stalled servers woken");
        }
        woken.and(report)
    }

    /// Looks at an account, writes down what it shows, and wakes.
    async fn compare(&self, account: &AccountId, stalled: usize) -> Result<SweepReport, SweepError> {
        let context = &self.context;
        let mut report = SweepReport { stalled, ..SweepReport::default() };
        let Some(client) = context.providers.get(account) else {
            report.skipped = Some("no client".to_owned());
            return Ok(report);
        };
        match gate::check_token(context, account).await? {
            TokenCheck::Open => {}
            closed @ (TokenCheck::Blocked { .. } | TokenCheck::Suspect { .. } | TokenCheck::Unanswered) => {
                report.skipped = Some(format!("{closed:?}"));
                return Ok(report);
            }
        }
        let before = context.store.account(account).await?;
        // S1: records before inventory, then the records of what was found, and those of what is missing once more.
        let mut recorded = context.store.references(account).await?;
        let listed = gate::inventory(context, client.as_ref()).await?;
        if is_on(SeededBug::InventoryBeforeRecords) {
            recorded = context.store.references(account).await?;
        }
        if evidence::shows_one(context.installation, &recorded, &listed) {
            gate::note_shown(context, &context.store.account(account).await?).await?;
        }
        let labels: Vec<ServerId> = listed.iter().filter_map(crate::ports::ServerView::server_label).collect();
        let located: BTreeMap<ServerId, RecordedRef> =
            context.store.locate(&labels).await?.into_iter().map(|record| (record.server, record)).collect();
        let mut findings = classify(account, &recorded, &listed, &located);
        report.listed = listed.len();
        report.recorded = recorded.iter().filter(|record| record.id.is_some()).count();

        if findings.iter().any(Finding::is_missing) {
            let now = context.store.references(account).await?;
            classify::forget_taken_away(&mut findings, &mut recorded, now);
        }
        let may_be_listed = classify::may_be_listed(&recorded);
        let too_many = self.suspects((&before, client.as_ref()), &findings, may_be_listed).await?;
        let seen = context.store.sightings(account).await?;
        let now = context.store.now().await?;
        let mut ripened = ripen(&seen, &findings, too_many, self.mode, now, &context.timing);
        context.store.sight(account, &ripened.sightings).await?;
        let wake: Vec<(TenantId, ServerId)> = std::mem::take(&mut ripened.wake)
            .into_iter()
            .filter_map(|server| {
                let record = located.get(&server).or_else(|| recorded.iter().find(|known| known.server == server))?;
                // What is parked looks when its check is due; without one it waits for a person, and is not to go on by this.
                (record.state != ServerState::Parked).then(|| (record.tenant.clone(), server))
            })
            .collect();
        self.wake(&wake).await?;
        report.woken = wake.len();
        report.describe(account, ripened, &listed, self.prices.as_ref()).await;
        Ok(report)
    }

    /// Closes the account if more is missing than can be (S7): it is another project, or the provider forgot us, and
    /// nothing is believed until somebody looked. Says whether that many are missing, closed or not. The account is as it was before
    /// the list was read.
    async fn suspects(
        &self,
        (before, client): (&Account, &dyn ProviderClient),
        findings: &[Finding],
        may_be_listed: usize,
    ) -> Result<bool, SweepError> {
        let (context, account) = (&self.context, &before.id);
        let missing = findings.iter().filter(|finding| finding.class == SightingClass::Missing).count();
        let missing_count = u64::try_from(missing).unwrap_or(u64::MAX);
        let known = context.store.account(account).await?;
        let too_many = missing_count > known.missing_accepted
            && (missing > MISSING_FEW.max(may_be_listed * MISSING_PERCENT / 100)
                || (missing >= 2 && missing == may_be_listed));
        // Either of them keeps orders that came in between from closing the account; the bug takes out both.
        let some_are_looked_at = !is_on(SeededBug::InventoryBeforeRecords);
        if too_many && some_are_looked_at && self.is_hidden(client, findings).await {
            // A list that leaves out what is there. None of it ripens, and the next list tells.
            tracing::warn!(account.id = %account, count = missing, "a list hides servers that are there");
        } else if too_many {
            let why = format!("{missing} of {may_be_listed} servers are missing");
            gate::suspect_all(context, account, missing_count, &why).await?;
        } else if known.missing_accepted.max(known.missing_seen) > missing_count {
            // What came back or was given up is no allowance for the next time.
            gate::forget_missing(context, before, missing_count).await?;
        }
        Ok(too_many)
    }

    /// Looks at some of the missing by their ids: if one is there, and ours, it is not another project, and the list is not
    /// whole. One that is not there, is not ours or cannot be read says nothing of the others.
    async fn is_hidden(&self, client: &dyn ProviderClient, findings: &[Finding]) -> bool {
        let missing = findings.iter().filter(|finding| finding.is_missing());
        let looked_at: Vec<(&ProviderServerId, ServerId)> =
            missing.filter_map(|finding| Some((&finding.key.id, finding.server?))).take(MISSING_LOOKED_AT).collect();
        for (id, server) in looked_at {
            match client.get(id, &RequestContext::new(self.context.timing.request_deadline)).await {
                Ok(Some(seen)) if seen.is_ours(self.context.installation, server) => return true,
                Ok(_) => {}
                Err(error) => {
                    let error = telemetry::causes(&error);
                    tracing::warn!(server.id = %server, %error, "a missing server was not looked at");
                }
            }
        }
        false
    }

    async fn wake(&self, servers: &[(TenantId, ServerId)]) -> Result<(), SweepError> {
        let mut jobs = Vec::with_capacity(servers.len());
        for (tenant, server) in servers {
            let id = JobId::from_uuid(self.context.randomness.uuid_at(self.context.clock.now()));
            let job = kinds::converge_job(id, tenant, *server)?;
            jobs.push(NewJob { why: Why::Wake, ..job });
        }
        let mut answers = Vec::with_capacity(jobs.len());
        for batch in jobs.chunks(ENQUEUE_MOST) {
            let each = enqueue_each(&*self.context.queue, batch).await;
            if let Some(failure) = each.failure {
                return Err(failure.into());
            }
            answers.extend(each.answers);
        }
        for ((tenant, server), answer) in servers.iter().zip(answers) {
            match answer {
                Ok(Enqueued::Dead) => match self.park_dead(tenant, *server).await {
                    // Nobody can act on it. What comes after it, and the sweeps of all accounts, must not wait for that.
                    Err(SweepError::Store(error @ StoreError::Corrupt { .. })) => {
                        let error = telemetry::causes(&error);
                        tracing::error!(server.id = %server, %error, "a server whose job is dead cannot be read, nor parked");
                    }
                    parked => parked?,
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(server.id = %server, error = %telemetry::causes(&error), "a server cannot be woken");
                }
            }
        }
        Ok(())
    }

    /// Parks a server whose job is dead and that nobody parked, because a crash came in between.
    async fn park_dead(&self, tenant: &TenantId, server: ServerId) -> Result<(), SweepError> {
        let Some(loaded) = self.context.store.load(tenant, server).await? else {
            return Ok(());
        };
        if !super::converge::waits_for_its_job(&loaded.server) {
            return Ok(());
        }
        match super::converge::park_dead(&self.context, loaded, "found_dead").await {
            // Somebody is at work on it after all.
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn interval(&self) -> Duration {
        self.context.timing.sweep_interval.mul_f64(0.95 + 0.1 * self.context.randomness.share())
    }
}

#[async_trait]
impl JobHandler for Sweep {
    type Payload = SweepPayload;

    fn kind(&self) -> JobKind {
        self.kind.clone()
    }

    async fn run(&self, payload: SweepPayload, attempt: &Attempt) -> JobOutcome {
        if attempt.is_stopping() {
            return JobOutcome::Release;
        }
        let under_way = self.ends.begin(&payload.account, attempt);
        let swept = self.sweep(&payload.account).await;
        under_way.end();
        match swept {
            Ok(report) => {
                tracing::info!(
                    account.id = %payload.account, sweep.listed = report.listed, sweep.recorded = report.recorded,
                    sweep.sightings = report.sightings.len(), sweep.woken = report.woken,
                    sweep.stalled = report.stalled, sweep.skipped = report.skipped.as_deref(),
                    sweep.extra_cost = report.extra_cost().as_ref().map(tracing::field::display), "swept"
                );
                if report.skipped.is_none() {
                    self.ends.complete(&payload.account);
                }
                let interval = self.interval();
                // Another process may have a client, or a better token. It is not left to that: if none has, this worker would rest
                // for ever.
                let delay = if report.skipped.is_none() { interval } else { interval.min(OTHERS_IN) };
                JobOutcome::Snooze { delay }
            }
            Err(error) => {
                self.ends.failed(&payload.account, error.code());
                tracing::warn!(account.id = %payload.account, error = %crate::telemetry::causes(&error), "sweep failed");
                JobOutcome::Snooze { delay: self.context.timing.backoff_most.min(self.interval()) }
            }
        }
    }

    /// A sweep has no record to write its end into; its dead job shows in the queue's health.
    async fn died(&self, _payload: Option<SweepPayload>, _attempt: &Attempt, _code: &str) -> Result<(), HandlerError> {
        Ok(())
    }
}
