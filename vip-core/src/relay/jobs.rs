//! Moves committed jobs from the store's own queue to one elsewhere, at least once.

use std::time::Duration;

use crate::model::{ClaimId, Job, JobKind, NewJob};
use crate::ports::job_queue::{Each, enqueue_each};
use crate::ports::{ClaimRequest, Claimed, Enqueued, JobQueue, QueueError, Settlement, Verdict};
use crate::telemetry;

/// Jobs that are moved at once: fewer than every queue takes.
pub const RELAY_BATCH: u32 = 100;
/// How long a batch is held while it is moved; a relay that ends meanwhile is followed by another after that time.
const HOLD: Duration = Duration::from_secs(30);
/// Rescues that a job may have on the way: one that has not arrived is never given up.
const RESCUES: u32 = u32::MAX;
/// Why a job stays behind that stands in the other queue with another payload.
const CONFLICT: &str = "relay_conflict";

/// Is where jobs come from and where they go.
#[derive(Debug, Clone, Copy)]
pub struct JobRoute<'r> {
    /// The store's own queue, which commits write to.
    pub from: &'r dyn JobQueue,
    /// The queue that workers claim from.
    pub to: &'r dyn JobQueue,
    /// Kinds that somebody here knows; others are left for processes that do.
    pub kinds: &'r [JobKind],
}

/// Says what one round moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Relayed {
    /// Jobs that the other queue has now.
    pub jobs: u32,
    /// The longest time from when one of them was due to when the relay took it, by the store's clock.
    pub delay: Duration,
}

/// Moves one batch: takes it, enqueues it elsewhere, and only then says here that it is done.
///
/// Wherever it ends early the jobs come again, and the other queue knows them by their keys. A job that was due in the
/// store is due at once in the other queue, and counts as a command: a wish stands behind it.
///
/// # Errors
///
/// [`QueueError`] of either queue; nothing is lost, and what was not moved is moved by a later round.
pub async fn relay_once(route: &JobRoute<'_>, claim: ClaimId) -> Result<Relayed, QueueError> {
    let request = ClaimRequest { kinds: route.kinds.to_vec(), most: RELAY_BATCH, lease: HOLD, claim };
    let claimed = route.from.claim(&request).await?;
    if u32::try_from(claimed.len()).is_ok_and(|count| count < RELAY_BATCH) {
        // Whoever held a batch may have ended. A full round has more to do at once, and looks after that later.
        route.from.reap(RESCUES, RELAY_BATCH).await?;
    }
    if claimed.is_empty() {
        return Ok(Relayed::default());
    }
    let jobs: Vec<NewJob> = claimed.iter().map(|one| new_job(&one.job)).collect();
    let Each { answers, failure } = enqueue_each(route.to, &jobs).await;
    let mut verdicts: Vec<Verdict> = jobs.iter().zip(answers).map(|(job, answer)| verdict(job, answer)).collect();
    verdicts.resize(claimed.len(), Verdict::Release);
    let is_moved = |verdict: &Verdict| matches!(verdict, Verdict::Done | Verdict::Dead { .. });
    let moved: Vec<bool> = verdicts.iter().map(is_moved).collect();
    let settled = settle(route.from, &claimed, verdicts).await;
    if let Some(error) = failure {
        if let Err(also) = settled {
            telemetry::tell(|| {
                tracing::warn!(error = %telemetry::causes(&also), "a batch of the relay waits for its lease to end");
            });
        }
        return Err(error);
    }
    settled?;
    let delay = claimed.iter().zip(&moved).filter(|(_, moved)| **moved).map(|(one, _)| waited(&one.job)).max();
    let jobs = moved.into_iter().filter(|moved| *moved).count();
    Ok(Relayed { jobs: u32::try_from(jobs).unwrap_or(u32::MAX), delay: delay.unwrap_or_default() })
}

async fn settle(queue: &dyn JobQueue, claimed: &[Claimed], verdicts: Vec<Verdict>) -> Result<(), QueueError> {
    let settlement = |(one, verdict): (&Claimed, Verdict)| Settlement { lease: one.lease.reference, verdict };
    let settlements: Vec<Settlement> = claimed.iter().zip(verdicts).map(settlement).collect();
    queue.settle(&settlements).await.map(|_answers| ())
}

fn new_job(job: &Job) -> NewJob {
    let mut new = NewJob::new(job.id, job.key.clone(), job.kind.clone(), job.payload.clone());
    new.tenant.clone_from(&job.tenant);
    new.request_id.clone_from(&job.request_id);
    new.trace_parent.clone_from(&job.trace_parent);
    new.max_attempts = job.max_attempts;
    new
}

fn verdict(job: &NewJob, answer: Result<Enqueued, QueueError>) -> Verdict {
    match answer {
        Ok(Enqueued::Inserted | Enqueued::Merged | Enqueued::WillRunAgain | Enqueued::Revived | Enqueued::Dead) => {
            Verdict::Done
        }
        // Kept as a dead job, where health and an operator see it.
        Ok(Enqueued::Conflict) => Verdict::Dead { code: CONFLICT.to_owned() },
        // Tried again later; health shows it meanwhile.
        Err(error) => {
            telemetry::tell(|| {
                tracing::error!(job.key = %job.key, error = %telemetry::causes(&error), "a job cannot be relayed");
            });
            Verdict::Snooze { delay: HOLD }
        }
    }
}

/// Returns how long a claimed job had been due when it was claimed.
fn waited(job: &Job) -> Duration {
    job.lease_until.map_or(Duration::ZERO, |until| until.minus(HOLD).since(job.due))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::memory::{ManualClock, MemoryQueue};
    use crate::model::{JobId, JobKey, JobState, Payload, Timestamp};

    struct Pair {
        from: MemoryQueue,
        to: MemoryQueue,
        clock: Arc<ManualClock>,
        kinds: Vec<JobKind>,
    }

    impl Pair {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000_000)));
            let queue = || MemoryQueue::alone(clock.clone());
            Self { from: queue(), to: queue(), clock, kinds: vec![JobKind::new("test").unwrap()] }
        }

        async fn relay(&self) -> Relayed {
            let route = JobRoute { from: &self.from, to: &self.to, kinds: &self.kinds };
            relay_once(&route, ClaimId::from_uuid(Uuid::from_u128(7))).await.unwrap()
        }
    }

    fn job(number: u128) -> NewJob {
        let id = JobId::from_uuid(Uuid::from_u128(number));
        let key = JobKey::new(format!("k{number}")).unwrap();
        NewJob::new(id, key, JobKind::new("test").unwrap(), Payload::from_text("{}").unwrap())
    }

    async fn claim(queue: &MemoryQueue) -> Vec<Claimed> {
        let (kinds, claim) = (vec![JobKind::new("test").unwrap()], ClaimId::from_uuid(Uuid::from_u128(9)));
        queue.claim(&ClaimRequest { kinds, most: 999, lease: HOLD, claim }).await.unwrap()
    }

    #[tokio::test]
    async fn a_committed_job_arrives_as_it_was_with_its_delay_and_none_is_left() {
        let pair = Pair::new();
        let mut first = job(1);
        (first.max_attempts, first.request_id) = (3, Some(crate::model::RequestId::new("r-1").unwrap()));
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        first.trace_parent = Some(crate::model::TraceParent::new(trace).unwrap());
        pair.from.enqueue(std::slice::from_ref(&first)).await.unwrap();
        pair.clock.advance(Duration::from_millis(250));
        assert_eq!(pair.relay().await, Relayed { jobs: 1, delay: Duration::from_millis(250) });
        let found = pair.to.find(&first.key).await.unwrap().unwrap();
        assert_eq!((found.id, found.payload, found.max_attempts), (first.id, first.payload, 3));
        assert_eq!((found.request_id, found.state), (first.request_id, JobState::Waiting));
        assert_eq!(found.trace_parent, first.trace_parent);
        assert_eq!(pair.from.find(&first.key).await.unwrap(), None);
        assert_eq!(pair.relay().await, Relayed::default());
    }

    #[tokio::test]
    async fn a_relay_that_ended_halfway_is_followed_by_another_and_the_job_arrives_once() {
        let pair = Pair::new();
        pair.from.enqueue(&[job(1)]).await.unwrap();
        // It took the job, handed it over, and ended before it could say so.
        let taken = claim(&pair.from).await;
        pair.to.enqueue(&[new_job(&taken[0].job)]).await.unwrap();
        assert_eq!(pair.relay().await.jobs, 0);
        pair.clock.advance(HOLD);
        assert_eq!(pair.relay().await.jobs, 0, "this round finds that the lease has ended");
        assert_eq!(pair.relay().await.jobs, 1);
        assert_eq!(claim(&pair.to).await.len(), 1);
        assert!(claim(&pair.from).await.is_empty());
    }

    #[tokio::test]
    async fn a_wish_that_came_while_its_job_was_relayed_is_relayed_too() {
        let pair = Pair::new();
        pair.from.enqueue(&[job(1)]).await.unwrap();
        let taken = claim(&pair.from).await;
        pair.from.enqueue(&[job(1)]).await.unwrap();
        settle(&pair.from, &taken, vec![Verdict::Done]).await.unwrap();
        assert_eq!(pair.relay().await.jobs, 1);
    }

    #[tokio::test]
    async fn a_relayed_wish_revives_a_dead_job_and_a_conflict_stays_behind_as_a_dead_one() {
        let pair = Pair::new();
        pair.to.enqueue(&[job(1), job(2)]).await.unwrap();
        let died = claim(&pair.to).await;
        let dead = Verdict::Dead { code: "bad".to_owned() };
        settle(&pair.to, &died, vec![dead.clone(), dead]).await.unwrap();
        let mut other = job(2);
        other.payload = Payload::from_text("[]").unwrap();
        pair.from.enqueue(&[job(1), other.clone()]).await.unwrap();
        assert_eq!(pair.relay().await.jobs, 2);
        assert_eq!(pair.to.find(&job(1).key).await.unwrap().unwrap().state, JobState::Waiting);
        let left = pair.from.find(&other.key).await.unwrap().unwrap();
        assert_eq!((left.state, left.last_error.as_deref()), (JobState::Dead, Some(CONFLICT)));
    }

    #[cfg(feature = "mocks")]
    #[tokio::test]
    async fn a_job_that_the_other_queue_cannot_take_keeps_no_other_back_and_is_tried_again() {
        let pair = Pair::new();
        pair.from.enqueue(&[job(1), job(2), job(3)]).await.unwrap();
        let mut to = crate::mocks::MockJobQueue::new();
        to.expect_enqueue().returning(|jobs| {
            if jobs.iter().any(|one| one.key == job(2).key) {
                return Err(QueueError::Corrupt { source: "unreadable".into() });
            }
            Ok(vec![Enqueued::Inserted; jobs.len()])
        });
        let route = JobRoute { from: &pair.from, to: &to, kinds: &pair.kinds };
        let relay = || relay_once(&route, ClaimId::from_uuid(Uuid::from_u128(7)));
        assert_eq!(relay().await.unwrap().jobs, 2);
        let left = pair.from.find(&job(2).key).await.unwrap().unwrap();
        assert_eq!(left.state, JobState::Waiting);
        assert_eq!(pair.from.find(&job(3).key).await.unwrap(), None);
        assert_eq!(relay().await.unwrap().jobs, 0, "not before its time");
        pair.clock.advance(HOLD);
        assert_eq!(pair.relay().await.jobs, 1, "a queue that can take it");
    }

    #[cfg(feature = "mocks")]
    #[tokio::test]
    async fn a_queue_that_goes_away_while_jobs_are_handed_over_one_by_one_gets_the_rest_later() {
        let pair = Pair::new();
        pair.from.enqueue(&[job(1), job(2), job(3)]).await.unwrap();
        let mut to = crate::mocks::MockJobQueue::new();
        to.expect_enqueue().returning(|jobs| match jobs {
            [one] if one.key == job(1).key => Ok(vec![Enqueued::Inserted]),
            [_one] => Err(QueueError::Unavailable { source: "gone".into() }),
            _ => Err(QueueError::Corrupt { source: "unreadable".into() }),
        });
        let route = JobRoute { from: &pair.from, to: &to, kinds: &pair.kinds };
        let failed = relay_once(&route, ClaimId::from_uuid(Uuid::from_u128(7))).await.unwrap_err();
        assert_eq!(failed.retryability(), crate::ports::Retryability::Temporary);
        assert_eq!(pair.from.find(&job(1).key).await.unwrap(), None);
        assert_eq!(pair.relay().await.jobs, 2, "at once");
    }

    #[tokio::test]
    async fn kinds_that_nobody_here_knows_are_left_and_a_batch_is_bounded() {
        let pair = Pair::new();
        let mut unknown = job(0);
        unknown.kind = JobKind::new("unknown").unwrap();
        let jobs: Vec<NewJob> = (1..=u128::from(RELAY_BATCH) + 1).map(job).chain([unknown.clone()]).collect();
        pair.from.enqueue(&jobs).await.unwrap();
        assert_eq!((pair.relay().await.jobs, pair.relay().await.jobs, pair.relay().await.jobs), (RELAY_BATCH, 1, 0));
        assert_eq!(pair.from.find(&unknown.key).await.unwrap().unwrap().state, JobState::Waiting);
    }
}
