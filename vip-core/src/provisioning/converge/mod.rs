//! Converge: moves one server from what is recorded to what is wished, one step at a time.
//!
//! All decisions are in [`next_step`] and [`absorb`]; this file is the loop around them: load, decide, announce, call,
//! record. Every write is fenced by the claim of the attempt (`docs/protocol.md` §3.3, §5).

mod absorb;
mod ahead;
mod confirm;
mod create;
mod looks;
mod moves;
mod next_step;
mod operate;
mod outlook;
#[cfg(not(vip_seeded_bugs))]
mod reached;
#[cfg(vip_seeded_bugs)]
pub mod reached;
mod record;
mod removal;
mod requests;
mod sane;
mod session;
mod step;
mod told;

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use absorb::{Answer, Asked, NameFinding, absorb, announce};
pub use next_step::next_step;
pub(in crate::provisioning) use next_step::unknown_server;
pub use operate::{OperateError, Restored, mark_restored, resume};
pub(in crate::provisioning) use operate::{park_dead, waits_for_its_job};
pub(in crate::provisioning) use session::OTHERS_IN;
pub use step::{Change, Failure, GateView, Look, LookFor, Step, View};

use self::session::{Session, Stop};
use super::context::Context;
use super::kinds::{CONVERGE, ConvergePayload};
use crate::model::{AccountId, Effect, Intent, IntentId, JobKind};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::worker::{Attempt, HandlerError, JobHandler, JobOutcome};

/// Most steps of one attempt; then the job goes to the back of the queue.
const STEPS: u32 = 16;

/// Handles the jobs that converge servers.
#[derive(Debug, Clone)]
pub struct Converge {
    context: Context,
    kind: JobKind,
}

impl Converge {
    /// Makes the handler.
    ///
    /// # Errors
    ///
    /// [`crate::model::NameError`] never in practice: the kind's name is valid.
    pub fn new(context: Context) -> Result<Self, crate::model::NameError> {
        Ok(Self { context, kind: JobKind::new(CONVERGE)? })
    }

    async fn steps(&self, payload: &ConvergePayload, attempt: &Attempt) -> Result<JobOutcome, Stop> {
        let mut session = Session::load(&self.context, &payload.tenant, payload.server, attempt).await?;
        let ended = self.go_on(&mut session, attempt).await;
        if matches!(ended, Err(Stop::Lost)) {
            session.raise_epochs().await;
            session.expect_what_was_lost().await?;
        }
        ended
    }

    async fn go_on(&self, session: &mut Session<'_>, attempt: &Attempt) -> Result<JobOutcome, Stop> {
        for _ in 0..STEPS {
            if attempt.is_stopping() {
                return Ok(JobOutcome::Release);
            }
            match session.next_step() {
                Step::Settled => {
                    session.rest().await?;
                    return Ok(JobOutcome::Done);
                }
                Step::Wait { until, reason } => return session.wait(until, reason).await,
                Step::Move(change) => session.apply(*change).await?,
                Step::Look(look) => {
                    guard(attempt, &self.context)?;
                    let started = session.now();
                    let deadline = self.context.timing.request_deadline;
                    let answer = session.look(&look, deadline).await;
                    let answer = session.believe(&look, answer).await?;
                    session.record(&Asked::Look { look, started }, &answer).await?;
                }
                Step::Call { effect, account } => {
                    if let Some(held_back) = self.call(session, attempt, effect, account).await? {
                        return Ok(held_back);
                    }
                }
            }
        }
        Ok(JobOutcome::Snooze { delay: Duration::ZERO })
    }

    /// Waits for its turn, writes down, acts, records; returns how the attempt ends if there is no turn now.
    async fn call(
        &self,
        session: &mut Session<'_>,
        attempt: &Attempt,
        effect: Effect,
        account: AccountId,
    ) -> Result<Option<JobOutcome>, Stop> {
        guard(attempt, &self.context)?;
        let request_deadline = self.context.timing.request_deadline;
        let reserved = tokio::select! {
            // In a fixed order: under the paused clock one seed is then one run.
            biased;
            // A shutdown does not wait for a turn that it would not use.
            () = attempt.stopping() => return Ok(Some(JobOutcome::Release)),
            reserved = session.reserve(&effect, &account, request_deadline) => reserved,
        };
        let request = match reserved {
            Ok(request) => request,
            Err(failure) => return session.held_back(&failure).await.map(Some),
        };
        // The wait took time; what is announced from here on is sent at once.
        guard(attempt, &self.context)?;
        // The request's time runs from before the announcement: a slow commit leaves less of it.
        let begin = Instant::now();
        let intent = Intent {
            id: IntentId::from_uuid(self.context.randomness.uuid()),
            effect,
            account,
            attempt: session.server().attempt.saturating_add(1),
            claim: attempt.lease().claim,
            announced_at: None,
            request_deadline,
        };
        let announced = if is_on(SeededBug::NoIntentBeforeCreate) && matches!(intent.effect, Effect::Create { .. }) {
            // Written down together with its answer: one commit less.
            Intent { announced_at: Some(session.now()), ..intent }
        } else {
            session.announce(intent).await?
        };
        let left = request_deadline.saturating_sub(begin.elapsed());
        let answer = session.call(&announced, &request.with_deadline(left)).await;
        session.record(&Asked::Effect(announced), &answer).await?;
        Ok(None)
    }
}

/// F5: refuses to begin what could outlive the lease.
fn guard(attempt: &Attempt, context: &Context) -> Result<(), Stop> {
    let timing = &context.timing;
    attempt.guard(timing.request_deadline).map_err(|lost| {
        tracing::debug!(error = %lost, "the lease is too short for another request");
        Stop::Short
    })
}

#[async_trait]
impl JobHandler for Converge {
    type Payload = ConvergePayload;

    fn kind(&self) -> JobKind {
        self.kind.clone()
    }

    async fn run(&self, payload: ConvergePayload, attempt: &Attempt) -> JobOutcome {
        match self.steps(&payload, attempt).await {
            Ok(outcome) => outcome,
            Err(Stop::Short) => JobOutcome::Release,
            Err(Stop::Lost) => {
                // Usually somebody else holds it and this settles nothing. A claim that is in force and refused all the
                // same, because of a writer without a job, must not come back at once: it would turn in circles.
                let delay = self.context.timing.backoff_first.mul_f64(0.5 + 0.5 * self.context.randomness.share());
                JobOutcome::Snooze { delay }
            }
            Err(Stop::Bug(code)) => JobOutcome::Retry { code, delay: None },
            Err(Stop::Store(error)) => {
                // The record says where to go on; nothing was burned, and the store's health shows the cause.
                tracing::warn!(error = %crate::telemetry::causes(&error), server.id = %payload.server, "store failed");
                let delay = self.context.timing.backoff_first.mul_f64(1.0 + self.context.randomness.share());
                JobOutcome::Snooze { delay }
            }
            Err(Stop::Corrupt(error)) => {
                tracing::error!(error = %crate::telemetry::causes(&error), server.id = %payload.server, "record unreadable");
                JobOutcome::Retry { code: "store_corrupt".to_owned(), delay: None }
            }
            Err(Stop::Unknown) => {
                tracing::error!(server.id = %payload.server, "a job names a server without a record: commits were lost");
                JobOutcome::Dead { code: "no_record".to_owned() }
            }
        }
    }

    /// Parks the server, so that nobody waits for a job that is dead.
    async fn died(&self, payload: Option<ConvergePayload>, _attempt: &Attempt, code: &str) -> Result<(), HandlerError> {
        let Some(payload) = payload else {
            return Ok(());
        };
        let Some(loaded) = self.context.store.load(&payload.tenant, payload.server).await.map_err(HandlerError::new)?
        else {
            return Ok(());
        };
        if !waits_for_its_job(&loaded.server) {
            return Ok(());
        }
        park_dead(&self.context, loaded, code).await.map_err(HandlerError::new)
    }
}
