//! Dead jobs are replayed by a sample first; a cause that is still there costs the sample alone, and a job that cannot be read
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::Provisioner;
use crate::memory::{MemoryProvider, memory_backend};
use crate::model::{JobKey, JobKind, NewJob, Page, Payload};
use crate::ports::{
    Backend, ClaimRequest, Claimed, Durability, Enqueued, JobQueue, LeaseRef, QueueStats, Settled, Settlement,
};
use crate::worker::{Attempt, JobHandler, JobOutcome};

/// Fails for good as long as its cause is there.
#[derive(Debug, Clone, Default)]
struct Mailer {
    is_repaired: Arc<AtomicBool>,
}

#[async_trait]
impl JobHandler for Mailer {
    type Payload = u32;

    fn kind(&self) -> JobKind {
        JobKind::new("shop.mail").unwrap()
    }

    async fn run(&self, _payload: u32, _attempt: &Attempt) -> JobOutcome {
        if self.is_repaired.load(Ordering::SeqCst) {
            JobOutcome::Done
        } else {
            JobOutcome::Dead { code: "no_address".to_owned() }
        }
    }
}

/// Is a queue with jobs that nobody can read: lists leave them out, as those of a database do.
#[derive(Debug)]
struct Damaged {
    queue: Arc<dyn JobQueue>,
    is_unreadable: fn(u128) -> bool,
    /// The job at whose replay the queue cannot be reached.
    unreachable_at: u128,
    /// How long it takes to list a page.
    list_time: Duration,
}

impl Damaged {
    fn backend(is_unreadable: fn(u128) -> bool, unreachable_at: u128, list_time: Duration) -> Backend {
        let Backend { store, queue, .. } = Backend::from(memory_backend());
        Backend::new(store, Arc::new(Self { queue, is_unreadable, unreachable_at, list_time }))
    }
}

#[async_trait]
impl JobQueue for Damaged {
    fn durability(&self) -> Durability {
        self.queue.durability()
    }
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        self.queue.enqueue(jobs).await
    }
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        self.queue.claim(request).await
    }
    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        self.queue.heartbeat(leases, lease).await
    }
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        self.queue.settle(settlements).await
    }
    async fn wait(&self, timeout: Duration) {
        self.queue.wait(timeout).await;
    }
    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        self.queue.reap(max_rescues, most).await
    }
    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        self.queue.raise_epochs(above).await
    }
    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        self.queue.cancel(key).await
    }
    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        self.queue.find(key).await
    }
    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        assert!(tokio::time::timeout(self.list_time, std::future::pending::<()>()).await.is_err());
        let Page { items, next, .. } = self.queue.list(state, page).await?;
        let (unreadable, items): (Vec<Job>, Vec<Job>) =
            items.into_iter().partition(|job| (self.is_unreadable)(job.id.as_uuid().as_u128()));
        Ok(Page::new(items, next).with_unreadable(u64::try_from(unreadable.len()).unwrap()))
    }
    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        if job.as_uuid().as_u128() == self.unreachable_at {
            return Err(QueueError::Unavailable { source: "away".into() });
        }
        self.queue.replay(job).await
    }
    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        self.queue.stats(kinds).await
    }
}

async fn dead(operator: &Operator) -> u64 {
    operator.queue_stats().await.unwrap().dead
}

/// Starts a product with dead jobs.
async fn with_dead(mailer: &Mailer, count: u64) -> Provisioner {
    with_dead_on(memory_backend(), mailer, count).await
}

/// Starts a product on a backend, with dead jobs whose ids are 1, 2, 3 …
async fn with_dead_on(backend: impl Into<Backend>, mailer: &Mailer, count: u64) -> Provisioner {
    let builder = Provisioner::builder(backend).provider(MemoryProvider::default());
    let provisioner = builder.handler(mailer.clone()).start().await.unwrap();
    let operator = provisioner.operator();
    for number in 1..=count {
        let key = JobKey::new(format!("mail:{number}")).unwrap();
        let payload = Payload::encode(&number).unwrap();
        let id = JobId::from_uuid(Uuid::from_u128(number.into()));
        let new = NewJob::new(id, key, mailer.kind(), payload);
        assert_eq!(operator.enqueue(new).await.unwrap(), Enqueued::Inserted);
    }
    for _ in 0..1000 {
        if dead(&operator).await == count {
            return provisioner;
        }
        assert!(tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.is_err());
    }
    panic!("the jobs do not die");
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_fails_again_keeps_the_others_as_they_were() {
    let mailer = Mailer::default();
    let provisioner = with_dead(&mailer, 250).await;
    let plan = ReplayPlan { sample: 2, ..ReplayPlan::default() };
    let report = provisioner.operator().replay_dead(&plan).await.unwrap();
    assert_eq!((report.replayed, report.went_on, report.more), (2, false, false));
    assert!(report.sample.iter().all(|sampled| sampled.fate == SampleFate::FailedAgain), "{report:?}");
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn once_the_sample_comes_through_all_others_follow_up_to_the_most() {
    let mailer = Mailer::default();
    let provisioner = with_dead(&mailer, 250).await;
    mailer.is_repaired.store(true, Ordering::SeqCst);
    let plan = ReplayPlan { most: 240, ..ReplayPlan::default() };
    let report = provisioner.operator().replay_dead(&plan).await.unwrap();
    assert_eq!((report.replayed, report.went_on, report.more), (240, true, true));
    assert_eq!(report.sample.iter().map(|sampled| sampled.fate).collect::<Vec<_>>(), [SampleFate::CameThrough]);
    let rest = provisioner.operator().replay_dead(&ReplayPlan::default()).await.unwrap();
    assert_eq!((rest.replayed, rest.more, dead(&provisioner.operator()).await), (10, false, 0));
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_cannot_be_read_keep_none_behind_them_from_being_replayed_and_are_counted() {
    let mailer = Mailer::default();
    // As many as a sample asks for, and behind the first that can be read a whole page.
    let backend = Damaged::backend(|id| matches!(id, 1..=3 | 5..=204), u128::MAX, Duration::ZERO);
    let provisioner = with_dead_on(backend, &mailer, 210).await;
    mailer.is_repaired.store(true, Ordering::SeqCst);
    let report = provisioner.operator().replay_dead(&ReplayPlan::default()).await.unwrap();
    let sample: Vec<_> = report.sample.iter().map(|it| (it.job.as_uuid().as_u128(), it.fate)).collect();
    assert_eq!(sample, [(4, SampleFate::CameThrough)]);
    assert_eq!((report.replayed, report.unreadable), (7, 203));
    assert_eq!((report.went_on, report.more), (true, false));
    assert_eq!(dead(&provisioner.operator()).await, 203);
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn many_jobs_that_cannot_be_read_are_stepped_over_by_the_page_also_for_a_sample_of_one() {
    let mailer = Mailer::default();
    // One by one they would take longer than a replay may.
    let backend = Damaged::backend(|id| id <= 300, u128::MAX, Duration::from_millis(100));
    let provisioner = with_dead_on(backend, &mailer, 301).await;
    mailer.is_repaired.store(true, Ordering::SeqCst);
    let report = provisioner.operator().replay_dead(&ReplayPlan::default()).await.unwrap();
    assert_eq!((report.replayed, report.unreadable, report.more), (1, 300, false));
    assert_eq!(dead(&provisioner.operator()).await, 300);
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_goes_away_has_changed_nothing_only_if_nothing_was_replayed() {
    for (unreachable_at, nothing_was) in [(1, true), (2, false)] {
        let mailer = Mailer::default();
        let provisioner = with_dead_on(Damaged::backend(|_| false, unreachable_at, Duration::ZERO), &mailer, 3).await;
        mailer.is_repaired.store(true, Ordering::SeqCst);
        let failed = provisioner.operator().replay_dead(&ReplayPlan::default()).await;
        let is_unavailable = matches!(failed, Err(ReplayError::Queue(QueueError::Unavailable { .. })));
        let is_unknown = matches!(failed, Err(ReplayError::Queue(QueueError::OutcomeUnknown { .. })));
        assert_eq!((is_unavailable, is_unknown), (nothing_was, !nothing_was), "{failed:?}");
        assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn without_anybody_who_works_the_sample_stays_undecided_and_nothing_follows() {
    let mailer = Mailer::default();
    let backend = crate::ports::Backend::from(memory_backend());
    let provisioner = Provisioner::builder(backend.clone()).client_only().await.unwrap();
    let operator = provisioner.operator();
    for number in 0..2 {
        let key = JobKey::new(format!("mail:{number}")).unwrap();
        let new = NewJob::new(operator.job_id(), key, mailer.kind(), Payload::encode(&number).unwrap());
        assert_eq!(operator.enqueue(new).await.unwrap(), Enqueued::Inserted);
    }
    let claims = crate::ports::ClaimRequest {
        kinds: vec![mailer.kind()],
        most: 2,
        lease: Duration::from_secs(60),
        claim: crate::model::ClaimId::from_uuid(uuid::Uuid::from_u128(1)),
    };
    for claimed in backend.queue.claim(&claims).await.unwrap() {
        let verdict = crate::ports::Verdict::Dead { code: "no_address".to_owned() };
        let settlement = crate::ports::Settlement { lease: claimed.lease.reference, verdict };
        backend.queue.settle(&[settlement]).await.unwrap();
    }
    let report = operator.replay_dead(&ReplayPlan::default()).await.unwrap();
    assert_eq!((report.replayed, report.went_on, dead(&operator).await), (1, false, 1));
    assert_eq!(report.sample[0].fate, SampleFate::Undecided);
}

#[tokio::test]
async fn a_plan_out_of_its_bounds_is_refused() {
    let operator = Provisioner::builder(memory_backend()).client_only().await.unwrap().operator();
    let of = |change: fn(&mut ReplayPlan)| {
        let mut plan = ReplayPlan::default();
        change(&mut plan);
        plan
    };
    let good: [fn(&mut ReplayPlan); 3] =
        [|plan| plan.sample = SAMPLE_MOST, |plan| plan.most = REPLAY_MOST, |plan| plan.patience = PATIENCE_MOST];
    for change in good {
        assert!(operator.replay_dead(&of(change)).await.is_ok());
    }
    let bad: [fn(&mut ReplayPlan); 5] = [
        |plan| plan.sample = 0,
        |plan| plan.sample = SAMPLE_MOST + 1,
        |plan| plan.most = 0,
        |plan| plan.most = REPLAY_MOST + 1,
        |plan| plan.patience = PATIENCE_MOST + Duration::from_millis(1),
    ];
    for change in bad {
        assert!(matches!(operator.replay_dead(&of(change)).await, Err(ReplayError::Invalid(_))));
    }
}
