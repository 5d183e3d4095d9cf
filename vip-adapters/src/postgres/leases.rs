//! What is said with leases: heartbeats and settlements, which go around a row that somebody else holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;
use vip_core::model::{ClaimId, JobId, JobState};
use vip_core::ports::{LeaseRef, Settled, Settlement, Verdict};

use super::error::Failure;
use super::jobs::rounds;
use super::lanes::Lane;
use super::queries::{Query, Statement};
use super::rows::{self, integer, micros};
use super::session::{Form, Repeat, Sessions, Write};
use super::transaction::Transaction;

/// Puts what is about jobs into the order in which all statements that wait for rows lock them.
fn in_order<'s>(settlements: &[&'s Settlement]) -> Vec<&'s Settlement> {
    let mut ordered = settlements.to_vec();
    ordered.sort_by_key(|settlement| settlement.lease.job);
    ordered
}

/// Binds the three parts of leases.
fn bind<'l>(query: Query, leases: impl Iterator<Item = &'l LeaseRef> + Clone) -> Query {
    query
        .bind(leases.clone().map(|lease| lease.job.as_uuid()).collect::<Vec<Uuid>>())
        .bind(leases.clone().map(|lease| integer(lease.epoch)).collect::<Vec<_>>())
        .bind(leases.map(|lease| lease.claim.as_uuid()).collect::<Vec<Uuid>>())
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
    const LANE: Lane = Lane::Lease;
    const FORM: Form = Form::Statements;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Vec<bool>, Failure> {
        let queries = transaction.queries();
        let mut held = self.prolong(transaction, &queries.job_beat, &self.leases).await?;
        let left: Vec<LeaseRef> = self.leases.iter().filter(|lease| !held.contains(lease)).copied().collect();
        if !left.is_empty() {
            // Waiting for a row that a host holds until its commit would let all other leases of the call expire, so the end of
            // its claim is put off instead: before that no reap looks at the job. Whether somebody had rescued it is read
            // after that, so that the caller is told of no lease which can be in other hands.
            let put_off = self.prolong(transaction, &queries.lease_prolong, &left).await?;
            if !put_off.is_empty() {
                let put_off: Vec<LeaseRef> = put_off.into_iter().collect();
                held.extend(self.prolong(transaction, &queries.job_beat_held, &put_off).await?);
            }
        }
        Ok(self.leases.iter().map(|lease| held.contains(lease)).collect())
    }
}

impl Beat {
    /// Runs one of the statements that prolong; returns the leases that it answers.
    async fn prolong(
        &self,
        transaction: &mut Transaction<'_>,
        statement: &Statement,
        leases: &[LeaseRef],
    ) -> Result<BTreeSet<LeaseRef>, Failure> {
        let query = bind(statement.query(), leases.iter()).bind(micros(self.lease)).bind(transaction.bound_now());
        transaction.rows(query).await?.iter().map(lease_of).collect()
    }
}

fn lease_of(row: &PgRow) -> Result<LeaseRef, Failure> {
    lease_under(rows::id(row, "claim", ClaimId::from_uuid)?, row)
}

/// Reads a lease of a claim that the caller knows.
pub(super) fn lease_under(claim: ClaimId, row: &PgRow) -> Result<LeaseRef, Failure> {
    Ok(LeaseRef { job: rows::id(row, "id", JobId::from_uuid)?, epoch: rows::count(row, "epoch")?, claim })
}

/// Ends leases: first all whose rows are free, then, waiting for them, the others; answers in their order.
pub(super) async fn settle(sessions: Arc<Sessions>, settlements: Vec<Settlement>) -> Result<Vec<Settled>, Failure> {
    let deadline = sessions.deadline();
    // Of two settlements of one job the first one counts, also if its row is held: those go one after the other.
    if !are_of_different_jobs(&settlements) {
        return sessions.write_until(&SettleInTurn(settlements), deadline, None).await;
    }
    let free = SettleFree(settlements);
    let ended = sessions.write_until(&free, deadline, None).await?;
    let SettleFree(settlements) = free;
    let Ended::Some(mut found) = ended else {
        return Ok(vec![Settled::Applied; settlements.len()]);
    };
    let left = settlements.iter().filter(|settlement| !found.contains_key(&settlement.lease.job));
    let left = SettleInTurn(left.cloned().collect());
    if !left.0.is_empty() {
        // A call of its own: nothing of the first one is locked any more while this one waits.
        let answers = sessions.write_until(&left, deadline, None).await;
        // What the first one has settled stays: the caller is not to be told that nothing was changed.
        let answers = answers.map_err(|failure| if found.is_empty() { failure } else { failure.of_a_part() })?;
        found.extend(left.0.iter().map(|settlement| settlement.lease.job).zip(answers));
    }
    let answer = |settlement: &Settlement| found.get(&settlement.lease.job).copied().unwrap_or(Settled::Stale);
    Ok(settlements.iter().map(answer).collect())
}

fn are_of_different_jobs(settlements: &[Settlement]) -> bool {
    let mut jobs: Vec<JobId> = settlements.iter().map(|settlement| settlement.lease.job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    jobs.len() == settlements.len()
}

/// Says which leases came to their end.
#[derive(Debug)]
enum Ended {
    /// All that were asked for, and their jobs are done for good: nearly always.
    All,
    Some(BTreeMap<JobId, Settled>),
}

/// Ends leases of different jobs whose rows nobody else holds; what is held and what is stale is not in the answer.
#[derive(Debug)]
struct SettleFree(Vec<Settlement>);

#[async_trait]
impl Write for SettleFree {
    type Answer = Ended;
    const LANE: Lane = Lane::Lease;
    const FORM: Form = Form::Statements;
    // The second one finds no such lease: its answer would say that the work was for nothing.
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Ended, Failure> {
        let (done, mut others): (Vec<&Settlement>, Vec<&Settlement>) =
            self.0.iter().partition(|settlement| settlement.verdict == Verdict::Done);
        let mut found = match done_round(transaction, &done).await? {
            Ended::All if others.is_empty() => return Ok(Ended::All),
            Ended::All => done.iter().map(|settlement| (settlement.lease.job, Settled::Applied)).collect(),
            Ended::Some(found) => found,
        };
        // Asked for again while they ran, most likely.
        others.extend(done.into_iter().filter(|settlement| !found.contains_key(&settlement.lease.job)));
        let free = &transaction.queries().job_settle;
        let is_partly_done = transaction.commits_each() && !found.is_empty();
        let rest = round(transaction, free, &others).await;
        found.extend(rest.map_err(|failure| if is_partly_done { failure.of_a_part() } else { failure })?);
        Ok(Ended::Some(found))
    }
}

/// Ends leases, and waits for the rows of those that somebody else holds.
#[derive(Debug)]
struct SettleInTurn(Vec<Settlement>);

#[async_trait]
impl Write for SettleInTurn {
    type Answer = Vec<Settled>;
    const LANE: Lane = Lane::Lease;
    const FORM: Form = Form::Statements;
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Vec<Settled>, Failure> {
        let mut answers = vec![Settled::Stale; self.0.len()];
        // Each statement is a commit. A later one that fails does not undo the first: the caller is not to be told that
        // nothing was changed, and a repeat of our own would call stale what this call has settled.
        let mut is_partly_done = false;
        let judge = |is_partly_done| move |failure: Failure| if is_partly_done { failure.of_a_part() } else { failure };
        for round in rounds(&self.0, |settlement| [settlement.lease.job]) {
            let mut left: Vec<&Settlement> = round.iter().map(|(_, settlement)| *settlement).collect();
            let mut found = BTreeMap::new();
            // An enqueue may mark a job between snapshot and lock: what was not found is looked for once more. A lease
            // that is gone is not found again.
            for _ in 0..2 {
                left.retain(|settlement| !found.contains_key(&settlement.lease.job));
                found.extend(settle_round(transaction, &left).await.map_err(judge(is_partly_done))?);
                is_partly_done |= !found.is_empty();
            }
            for (place, settlement) in round {
                if let (Some(answer), Some(settled)) = (answers.get_mut(place), found.get(&settlement.lease.job)) {
                    *answer = *settled;
                }
            }
        }
        Ok(answers)
    }
}

/// Ends leases of different jobs that are done for good; what goes on, and what is stale, is not in the answer, and nothing at all
/// if somebody holds one of the rows.
async fn done_round(transaction: &mut Transaction<'_>, done: &[&Settlement]) -> Result<Ended, Failure> {
    // Behind a pooler a statement that fails would end the whole write.
    if done.is_empty() || !transaction.commits_each() {
        return Ok(Ended::Some(BTreeMap::new()));
    }
    let done = in_order(done);
    let query = bind(transaction.queries().job_done.query(), done.iter().map(|settlement| &settlement.lease));
    let row = match transaction.row(query).await {
        Err(failure) if failure.waited_for_a_lock() => return Ok(Ended::Some(BTreeMap::new())),
        outcome => outcome?,
    };
    let Some(row) = row else { return Ok(Ended::Some(BTreeMap::new())) };
    // The jobs are different ones, so that the number says which.
    if usize::try_from(row.try_get::<i64, _>("number")?).is_ok_and(|number| number == done.len()) {
        return Ok(Ended::All);
    }
    let ids = row.try_get::<Option<Vec<Uuid>>, _>("ids")?.unwrap_or_default();
    Ok(Ended::Some(ids.into_iter().map(|id| (JobId::from_uuid(id), Settled::Applied)).collect()))
}

/// Settles leases of different jobs, and waits for their rows; a stale one is not in the answer.
pub(super) async fn settle_round(
    transaction: &mut Transaction<'_>,
    settlements: &[&Settlement],
) -> Result<BTreeMap<JobId, Settled>, Failure> {
    let waiting = transaction.queries().job_settle.waiting();
    round(transaction, &waiting, settlements).await
}

async fn round(
    transaction: &mut Transaction<'_>,
    statement: &Statement,
    settlements: &[&Settlement],
) -> Result<BTreeMap<JobId, Settled>, Failure> {
    if settlements.is_empty() {
        return Ok(BTreeMap::new());
    }
    let settlements = in_order(settlements);
    let (mut verdicts, mut delays, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    for settlement in &settlements {
        let (number, delay, code): (i16, Duration, Option<String>) = match &settlement.verdict {
            Verdict::Done => (0, Duration::ZERO, None),
            Verdict::Retry { delay, code } => (1, *delay, Some(code.clone())),
            Verdict::Snooze { delay } => (2, *delay, None),
            Verdict::Release => (3, Duration::ZERO, None),
            Verdict::Dead { code } => (4, Duration::ZERO, Some(code.clone())),
        };
        verdicts.push(number);
        delays.push(micros(delay));
        codes.push(code);
    }
    let query = bind(statement.query(), settlements.iter().map(|settlement| &settlement.lease));
    let query = query.bind(verdicts).bind(delays).bind(transaction.bound_now()).bind(codes);
    let mut found = BTreeMap::new();
    for row in transaction.rows(query).await? {
        let settled = match row.try_get::<Option<i16>, _>("state")? {
            // Done for good.
            None => Settled::Applied,
            Some(_) => match rows::state(&row, "state")? {
                JobState::Dead => Settled::Died,
                JobState::Waiting | JobState::Leased => {
                    transaction.announce_arrival();
                    Settled::Applied
                }
            },
        };
        found.insert(rows::id(&row, "id", JobId::from_uuid)?, settled);
    }
    Ok(found)
}
