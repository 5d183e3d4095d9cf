//! The writes of the queue: the table of `docs/protocol.md` §6 as statements, each with its guard.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use vip_core::model::{ClaimId, Job, JobId, JobKey, JobState, NewJob, Timing};
use vip_core::ports::{ClaimRequest, Claimed, Enqueued, Lease, LeaseRef, Settled, Settlement, Verdict};

use super::error::Failure;
use super::queries::{Query, Statement};
use super::rows::{self, after, integer, word};
use super::transaction::WriteTransaction;
use super::writer::Write;
use crate::unreadable;

/// Why a job died whose workers disappeared too often.
const LOST_WORKER: &str = "lost_worker";

/// Enqueues one job: the first of four statements that changes a row says what happened.
pub(super) async fn enqueue(transaction: &mut WriteTransaction<'_>, job: &NewJob) -> Result<Enqueued, Failure> {
    let queries = transaction.queries();
    let due = after(transaction.now(), job.delay);
    let insert = queries.job_insert.query();
    let insert = insert
        .bind(job.id.to_string())
        .bind(job.key.to_string())
        .bind(job.kind.to_string())
        .bind(job.payload.as_str().to_owned())
        .bind(job.tenant.as_ref().map(ToString::to_string))
        .bind(job.request_id.as_ref().map(ToString::to_string))
        .bind(due)
        .bind(job.max_attempts)
        .bind(job.trace_parent.as_ref().map(ToString::to_string));
    if transaction.execute(insert).await? > 0 {
        transaction.announce_arrival();
        return Ok(Enqueued::Inserted);
    }
    let merge = |statement: &Statement| {
        let query = statement.query();
        let query = query.bind(job.key.to_string()).bind(job.kind.to_string()).bind(job.payload.as_str().to_owned());
        query.bind(due).bind(job.why.as_str())
    };
    if transaction.execute(merge(&queries.job_merge)).await? > 0 {
        transaction.announce_arrival();
        return Ok(Enqueued::Merged);
    }
    let has_changed = transaction.replace_changed(false);
    let marked = transaction.execute(merge(&queries.job_mark)).await?;
    // A mark that stands is written again as it was: no page changes, and the disk is not asked.
    transaction.replace_changed(has_changed);
    if marked > 0 {
        return Ok(Enqueued::WillRunAgain);
    }
    if transaction.execute(merge(&queries.job_revive)).await? > 0 {
        transaction.announce_arrival();
        return Ok(Enqueued::Revived);
    }
    // Nothing was changed; only the answer is looked for.
    let Some(row) = transaction.row(queries.job_find.query().bind(job.key.to_string())).await? else {
        // The id belongs to another key.
        return Ok(Enqueued::Conflict);
    };
    Ok(match rows::job(&row) {
        Ok(found) if found.kind == job.kind && found.payload == job.payload => Enqueued::Dead,
        Ok(_) => Enqueued::Conflict,
        // Whatever stands there, it is not this one; the record that it belongs to is changed all the same.
        Err(failure) => {
            unreadable::report(&job.key, &failure);
            Enqueued::Conflict
        }
    })
}

/// Enqueues jobs, all or none.
#[derive(Debug)]
pub(super) struct EnqueueJobs(pub(super) Vec<NewJob>);

#[async_trait]
impl Write for EnqueueJobs {
    type Answer = Vec<Enqueued>;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Vec<Enqueued>, Failure> {
        let mut answers = Vec::with_capacity(self.0.len());
        for job in &self.0 {
            answers.push(enqueue(transaction, job).await?);
        }
        Ok(answers)
    }
}

#[async_trait]
impl Write for ClaimRequest {
    type Answer = Vec<Claimed>;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Vec<Claimed>, Failure> {
        let queries = transaction.queries();
        let query = queries.job_claim.query();
        let query = query
            .bind(transaction.now().as_micros())
            .bind(rows::kinds(&self.kinds)?)
            .bind(self.most)
            .bind(self.claim.to_string())
            .bind(after(transaction.now(), self.lease));
        let (mut jobs, mut last) = (Vec::new(), None);
        for row in &transaction.changed_rows(query).await? {
            let epoch: u64 = rows::count(row, "epoch")?;
            last = last.max(Some(epoch));
            match rows::job(row) {
                Ok(job) => jobs.push(job),
                Err(failure) => set_apart(transaction, row, (epoch, self.claim), &failure).await?,
            }
        }
        // RETURNING has no order; epochs were given earliest due first.
        jobs.sort_by_key(|job| job.epoch);
        if let Some(last) = last {
            transaction.execute(queries.epoch_raise.query().bind(integer(last))).await?;
        }
        let claimed = |job: Job| {
            let reference = LeaseRef { job: job.id, epoch: job.epoch, claim: self.claim };
            Claimed { job, lease: Lease { reference, duration: self.lease } }
        };
        Ok(jobs.into_iter().map(claimed).collect())
    }
}

/// Ends a claimed job that cannot be read; one without a readable id stays leased, and dies after its rescues.
async fn set_apart(
    transaction: &mut WriteTransaction<'_>,
    row: &SqliteRow,
    (epoch, claim): (u64, ClaimId),
    failure: &Failure,
) -> Result<(), Failure> {
    let id: String = row.try_get("id")?;
    unreadable::report(&id, failure);
    if let Ok(job) = word(row, "id") {
        settle(transaction, &unreadable::end(LeaseRef { job, epoch, claim })).await?;
    }
    Ok(())
}

/// Prolongs leases.
#[derive(Debug)]
pub(super) struct Beat {
    pub(super) leases: Vec<LeaseRef>,
    pub(super) lease: Duration,
}

#[async_trait]
impl Write for Beat {
    type Answer = Vec<bool>;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Vec<bool>, Failure> {
        let now = transaction.now();
        let mut held = Vec::with_capacity(self.leases.len());
        for lease in &self.leases {
            let query = bind_lease(&transaction.queries().job_beat, lease);
            let query = query.bind(after(now, self.lease)).bind(now.as_micros());
            held.push(transaction.execute(query).await? > 0);
        }
        Ok(held)
    }
}

/// Ends leases.
#[derive(Debug)]
pub(super) struct Settle(pub(super) Vec<Settlement>);

#[async_trait]
impl Write for Settle {
    type Answer = Vec<Settled>;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Vec<Settled>, Failure> {
        let mut answers = Vec::with_capacity(self.0.len());
        for settlement in &self.0 {
            answers.push(settle(transaction, settlement).await?);
        }
        Ok(answers)
    }
}

/// Binds `?1` to `?3`, which mean the same in every statement that needs a lease.
fn bind_lease(statement: &Statement, lease: &LeaseRef) -> Query {
    statement.query().bind(lease.job.to_string()).bind(integer(lease.epoch)).bind(lease.claim.to_string())
}

async fn settle(transaction: &mut WriteTransaction<'_>, settlement: &Settlement) -> Result<Settled, Failure> {
    let queries = transaction.queries();
    let now = transaction.now();
    let lease = &settlement.lease;
    let query = match &settlement.verdict {
        Verdict::Done => {
            if transaction.execute(bind_lease(&queries.settle_done, lease)).await? > 0 {
                return Ok(Settled::Applied);
            }
            bind_lease(&queries.settle_again, lease)
        }
        Verdict::Retry { delay, code } => {
            bind_lease(&queries.settle_retry, lease).bind(after(now, *delay)).bind(code.clone())
        }
        Verdict::Snooze { delay } => bind_lease(&queries.settle_snooze, lease).bind(after(now, *delay)),
        Verdict::Release => bind_lease(&queries.settle_release, lease).bind(now.as_micros()),
        Verdict::Dead { code } => bind_lease(&queries.settle_dead, lease).bind(code.clone()),
    };
    let Some(row) = transaction.changed_row(query).await? else { return Ok(Settled::Stale) };
    match word(&row, "state")? {
        JobState::Dead => Ok(Settled::Died),
        JobState::Waiting | JobState::Leased => {
            transaction.announce_arrival();
            Ok(Settled::Applied)
        }
    }
}

/// Returns expired jobs to waiting.
#[derive(Debug)]
pub(super) struct Reap {
    pub(super) max_rescues: u32,
    pub(super) most: u32,
}

#[async_trait]
impl Write for Reap {
    type Answer = u32;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u32, Failure> {
        let beyond = after(transaction.now(), Timing::FURTHEST_AHEAD);
        let query = transaction.queries().job_reap.query();
        let query = query.bind(transaction.now().as_micros()).bind(self.max_rescues).bind(self.most).bind(LOST_WORKER);
        let query = query.bind(beyond);
        let reaped = transaction.execute(query).await?;
        if reaped > 0 {
            transaction.announce_arrival();
        }
        u32::try_from(reaped).map_err(Failure::corrupt)
    }
}

/// Lets the epochs of later claims be higher than a number; says whether they were not.
#[derive(Debug)]
pub(super) struct RaiseEpochs(pub(super) u64);

#[async_trait]
impl Write for RaiseEpochs {
    type Answer = bool;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, Failure> {
        let query = transaction.queries().epoch_raise.query().bind(integer(self.0));
        Ok(transaction.execute(query).await? > 0)
    }
}

/// Removes a job that nobody works on.
#[derive(Debug)]
pub(super) struct Cancel(pub(super) JobKey);

#[async_trait]
impl Write for Cancel {
    type Answer = bool;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, Failure> {
        let query = transaction.queries().job_cancel.query().bind(self.0.to_string());
        Ok(transaction.execute(query).await? > 0)
    }
}

/// Starts a dead job over, or lets a leased one run once more.
#[derive(Debug)]
pub(super) struct Replay(pub(super) JobId);

#[async_trait]
impl Write for Replay {
    type Answer = bool;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, Failure> {
        let queries = transaction.queries();
        let now = transaction.now().as_micros();
        let bind = |statement: &Statement| statement.query().bind(self.0.to_string()).bind(now);
        if transaction.execute(bind(&queries.job_replay)).await? > 0 {
            transaction.announce_arrival();
            return Ok(true);
        }
        Ok(transaction.execute(bind(&queries.job_replay_leased)).await? > 0)
    }
}
