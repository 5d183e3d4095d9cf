//! The writes of the queue: the table of `docs/protocol.md` §6 as statements, each with its guard.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use sqlx::Row;
use vip_core::model::{JobId, JobKey, NewJob, RequestId, TenantId, Timing, TraceParent};
use vip_core::ports::Enqueued;
use vip_core::telemetry;

use super::error::{Failure, Obstacle};
use super::lanes::Lane;
use super::queries::Query;
use super::rows::{self, micros};
use super::session::{Form, Repeat, Write};
use super::transaction::Transaction;

/// Why a job died whose workers disappeared too often.
const LOST_WORKER: &str = "lost_worker";
/// Claims that one round of a reap looks at; each holds as many jobs as were claimed at once, at most 256.
const ENDED_CLAIMS_MOST: i64 = 1_000;

/// Enqueues one job.
pub(super) async fn enqueue_one(transaction: &mut Transaction<'_>, job: &NewJob) -> Result<Enqueued, Failure> {
    let answers = enqueue_round(transaction, &[job]).await?;
    Ok(answers.into_iter().next().unwrap_or(Enqueued::Conflict))
}

/// Enqueues jobs with different keys and different ids; answers in their order.
async fn enqueue_round(transaction: &mut Transaction<'_>, jobs: &[&NewJob]) -> Result<Vec<Enqueued>, Failure> {
    let query = bind(transaction.queries().job_enqueue.query(), jobs, transaction.bound_now());
    let mut answers = BTreeMap::new();
    for row in transaction.rows(query).await? {
        let answer = match row.try_get::<i16, _>("answer")? {
            0 => Enqueued::Inserted,
            1 => Enqueued::Merged,
            2 => Enqueued::WillRunAgain,
            _ => Enqueued::Revived,
        };
        if answer != Enqueued::WillRunAgain {
            transaction.announce_to_all();
        }
        answers.insert(row.try_get::<String, _>("key")?, answer);
    }
    let refused: Vec<&NewJob> = jobs.iter().copied().filter(|job| !answers.contains_key(job.key.as_str())).collect();
    if !refused.is_empty() {
        // Nothing was changed for these; only the answer is looked for.
        let query = transaction.queries().job_standing.query();
        let query = query.bind(each(&refused, |job| job.key.as_str()));
        let query = query.bind(each(&refused, |job| job.kind.as_str()));
        let query = query.bind(each(&refused, |job| job.payload.as_str()));
        // The others may be committed already.
        for row in transaction.rows(query).await.map_err(Failure::of_a_part)? {
            answers.insert(row.try_get("key")?, Enqueued::Dead);
        }
    }
    Ok(jobs.iter().map(|job| answers.get(job.key.as_str()).copied().unwrap_or(Enqueued::Conflict)).collect())
}

/// Enqueues jobs with different keys and ids if nobody has any of them, which is one commit; else it does nothing and says so.
async fn enqueue_new(transaction: &mut Transaction<'_>, jobs: &[&NewJob]) -> Result<bool, Failure> {
    // After a refusal a transaction would be over.
    if !transaction.commits_each() {
        return Ok(false);
    }
    let query = bind(transaction.queries().job_enqueue_new.query(), jobs, transaction.bound_now());
    match transaction.execute(query).await {
        Ok(0) => return Ok(false),
        Ok(_) => {}
        Err(failure) if failure.is_of_a_taken_row() => return Ok(false),
        Err(failure) => return Err(failure),
    }
    transaction.announce_to_all();
    Ok(true)
}

fn each<'j, T>(jobs: &[&'j NewJob], part: impl Fn(&'j NewJob) -> T) -> Vec<T> {
    jobs.iter().copied().map(part).collect()
}

/// Binds `$1` to `$11`, which mean the same wherever jobs are enqueued.
fn bind(query: Query, jobs: &[&NewJob], now: Option<i64>) -> Query {
    query
        .bind(each(jobs, |job| job.id.as_uuid()))
        .bind(each(jobs, |job| job.key.as_str()))
        .bind(each(jobs, |job| job.kind.as_str()))
        .bind(each(jobs, |job| job.payload.as_str()))
        .bind(each(jobs, |job| job.tenant.as_ref().map(TenantId::as_str)))
        .bind(each(jobs, |job| job.request_id.as_ref().map(RequestId::as_str)))
        .bind(each(jobs, |job| micros(job.delay)))
        .bind(each(jobs, |job| i32::try_from(job.max_attempts).unwrap_or(i32::MAX)))
        .bind(now)
        .bind(each(jobs, |job| rows::why_number(job.why)))
        .bind(each(jobs, |job| job.trace_parent.as_ref().map(TraceParent::as_str)))
}

/// Enqueues jobs, all or none.
#[derive(Debug)]
pub(super) struct EnqueueJobs(Batch);

impl EnqueueJobs {
    pub(super) fn new(jobs: Vec<NewJob>) -> Self {
        Self(Batch::new(jobs))
    }
}

#[async_trait]
impl Write for EnqueueJobs {
    type Answer = Vec<Enqueued>;

    fn form(&self) -> Form {
        self.0.form()
    }

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Enqueued>, Failure> {
        self.0.enqueue(transaction).await
    }
}

/// Enqueues jobs of many callers; each of them has its answer.
#[derive(Debug)]
pub(super) struct EnqueueTogether(Batch);

impl EnqueueTogether {
    pub(super) fn new(jobs: Vec<NewJob>) -> Self {
        Self(Batch::new(jobs))
    }
}

#[async_trait]
impl Write for EnqueueTogether {
    type Answer = Vec<Option<Enqueued>>;
    // No row is waited for there as long as others may wait for one: they go along.
    const LANE: Lane = Lane::Order;

    fn form(&self) -> Form {
        self.0.form()
    }

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Option<Enqueued>>, Failure> {
        Ok(self.0.enqueue(transaction).await?.into_iter().map(Some).collect())
    }
}

/// Is jobs to enqueue in one commit.
#[derive(Debug)]
struct Batch {
    jobs: Vec<NewJob>,
    /// Whether no two of them have a key or an id in common: then one statement is enough.
    is_one_round: bool,
}

impl Batch {
    fn new(jobs: Vec<NewJob>) -> Self {
        let keys: HashSet<&JobKey> = jobs.iter().map(|job| &job.key).collect();
        let ids: HashSet<JobId> = jobs.iter().map(|job| job.id).collect();
        let is_one_round = keys.len() == jobs.len() && ids.len() == jobs.len();
        Self { jobs, is_one_round }
    }

    /// One round is one statement, which is a commit of its own.
    const fn form(&self) -> Form {
        if self.is_one_round { Form::Statements } else { Form::Transaction }
    }

    async fn enqueue(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Enqueued>, Failure> {
        if self.is_one_round {
            let jobs: Vec<&NewJob> = self.jobs.iter().collect();
            if enqueue_new(transaction, &jobs).await? {
                return Ok(vec![Enqueued::Inserted; jobs.len()]);
            }
            return enqueue_round(transaction, &jobs).await;
        }
        let mut answers = vec![Enqueued::Conflict; self.jobs.len()];
        for round in rounds(&self.jobs, job_marks) {
            let jobs: Vec<&NewJob> = round.iter().map(|(_, job)| *job).collect();
            for ((place, _), answer) in round.iter().zip(enqueue_round(transaction, &jobs).await?) {
                if let Some(found) = answers.get_mut(*place) {
                    *found = answer;
                }
            }
        }
        Ok(answers)
    }
}

/// Is what only one job of a statement may have.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark<'j> {
    Key(&'j JobKey),
    Id(JobId),
}

const fn job_marks(job: &NewJob) -> [Mark<'_>; 2] {
    [Mark::Key(&job.key), Mark::Id(job.id)]
}

/// Cuts a list so that no mark comes twice in a part: a statement changes a row once, and the order has to count.
pub(super) fn rounds<'i, T, M: Ord, const N: usize>(
    items: &'i [T],
    marks: impl Fn(&'i T) -> [M; N],
) -> Vec<Vec<(usize, &'i T)>> {
    let (mut rounds, mut round, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (place, item) in items.iter().enumerate() {
        let marks = marks(item);
        if marks.iter().any(|mark| seen.contains(mark)) {
            rounds.push(std::mem::take(&mut round));
            seen.clear();
        }
        seen.extend(marks);
        round.push((place, item));
    }
    if !round.is_empty() {
        rounds.push(round);
    }
    rounds
}

/// Returns expired jobs to waiting; says how many, and nothing if no claim has ended.
#[derive(Debug)]
pub(super) struct Reap {
    pub(super) max_rescues: u32,
    pub(super) most: u32,
}

#[async_trait]
impl Write for Reap {
    type Answer = Option<u32>;
    const LANE: Lane = Lane::Claim;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Option<u32>, Failure> {
        let queries = transaction.queries();
        let beyond = transaction.now().plus(Timing::FURTHEST_AHEAD).as_micros();
        let now = transaction.now().as_micros();
        // Asked here, on a connection for claims: a rescue has to come also while all those for commits and reads are busy.
        let expired = transaction.row(queries.job_expired.query().bind(now).bind(beyond)).await?;
        if !expired.map(|row| row.try_get::<bool, _>("expired")).transpose()?.unwrap_or(false) {
            return Ok(None);
        }
        let query = queries.job_reap.query();
        let query = query
            .bind(now)
            .bind(i64::from(self.max_rescues))
            .bind(i64::from(self.most))
            .bind(LOST_WORKER)
            .bind(ENDED_CLAIMS_MOST)
            .bind(beyond);
        let reaped = transaction.execute(query).await?;
        if reaped > 0 {
            transaction.announce_arrival();
        }
        transaction.execute(queries.lease_upkeep.query().bind(now).bind(ENDED_CLAIMS_MOST).bind(beyond)).await?;
        u32::try_from(reaped).map(Some).map_err(|error| {
            telemetry::tell(|| tracing::error!(%error, "more jobs were reaped than asked for"));
            Failure::corrupt(Obstacle::JobState)
        })
    }
}

/// Removes a job that nobody works on.
#[derive(Debug)]
pub(super) struct Cancel(pub(super) JobKey);

#[async_trait]
impl Write for Cancel {
    type Answer = bool;
    // A second one would say that there was nothing.
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<bool, Failure> {
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
    // A second one would say that nothing was changed.
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<bool, Failure> {
        let queries = transaction.queries();
        let (id, now) = (self.0.as_uuid(), transaction.now().as_micros());
        if transaction.execute(queries.job_replay.query().bind(id).bind(now)).await? > 0 {
            transaction.announce_to_all();
            return Ok(true);
        }
        Ok(transaction.execute(queries.job_replay_leased.query().bind(id).bind(now)).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use vip_core::model::{JobKind, Payload};

    use super::*;

    fn job(id: u128, key: &str) -> NewJob {
        let id = JobId::from_uuid(Uuid::from_u128(id));
        let key = JobKey::new(key).unwrap();
        NewJob::new(id, key, JobKind::new("a").unwrap(), Payload::from_text("null").unwrap())
    }

    #[test]
    fn a_statement_has_no_key_twice_and_no_id_twice() {
        let jobs = [job(1, "a"), job(2, "b"), job(3, "a"), job(3, "c"), job(4, "b")];
        let cut: Vec<Vec<usize>> = rounds(&jobs, job_marks)
            .into_iter()
            .map(|round| round.into_iter().map(|(place, _job)| place).collect())
            .collect();
        assert_eq!(cut, [vec![0, 1], vec![2], vec![3, 4]]);
    }
}
