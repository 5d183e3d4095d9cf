//! Dead jobs are replayed by a sample first; a cause that is still there costs the sample alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::Provisioner;
use crate::memory::{MemoryProvider, memory_backend};
use crate::model::{JobKey, JobKind, NewJob, Payload};
use crate::ports::Enqueued;
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

async fn dead(operator: &Operator) -> u64 {
    operator.queue_stats().await.unwrap().dead
}

/// Starts a product with dead jobs.
async fn with_dead(mailer: &Mailer, count: u64) -> Provisioner {
    let builder = Provisioner::builder(memory_backend()).provider(MemoryProvider::default());
    let provisioner = builder.handler(mailer.clone()).start().await.unwrap();
    let operator = provisioner.operator();
    for number in 0..count {
        let key = JobKey::new(format!("mail:{number}")).unwrap();
        let payload = Payload::encode(&number).unwrap();
        let new = NewJob::new(operator.job_id(), key, mailer.kind(), payload);
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
    assert_eq!((report.replayed, report.went_on), (2, false));
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
    assert_eq!((report.replayed, report.went_on), (240, true));
    assert_eq!(report.sample.iter().map(|sampled| sampled.fate).collect::<Vec<_>>(), [SampleFate::CameThrough]);
    let rest = provisioner.operator().replay_dead(&ReplayPlan::default()).await.unwrap();
    assert_eq!((rest.replayed, dead(&provisioner.operator()).await), (10, 0));
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
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
