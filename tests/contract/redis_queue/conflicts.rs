//! A committed job that the queue does not take, because another one stands under its key: an operator sees it among the
//! dead, and replays it once the other one is gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use vip_adapters::redis::{RedisConfig, RedisQueue};
use vip_core::Provisioner;
use vip_core::memory::{MemoryProvider, MemoryQueue};
use vip_core::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, PageLimit, PageRequest, Payload};
use vip_core::ports::{Backend, Enqueued, JobQueue, SystemClock};
use vip_core::provisioner::{Operator, ReplayPlan, SampleFate};
use vip_core::runtime::HealthStatus;
use vip_core::worker::{Attempt, JobHandler, JobOutcome};
use vip_tests::redis_server::RedisServer;
use vip_tests::site::pause;

/// Notes what it is told.
#[derive(Debug, Clone, Default)]
struct Mailer(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl JobHandler for Mailer {
    type Payload = String;

    fn kind(&self) -> JobKind {
        JobKind::new("shop.mail").unwrap()
    }

    async fn run(&self, payload: String, _attempt: &Attempt) -> JobOutcome {
        self.0.lock().unwrap().push(payload);
        JobOutcome::Done
    }
}

fn mail(operator: &Operator, text: &str) -> NewJob {
    let payload = Payload::encode(&text.to_owned()).unwrap();
    NewJob::new(operator.job_id(), JobKey::new("mail:1").unwrap(), Mailer::default().kind(), payload)
}

async fn dead(operator: &Operator) -> Vec<Job> {
    let page = PageRequest::first(PageLimit::new(9).unwrap());
    operator.jobs(JobState::Dead, &page).await.unwrap().items
}

async fn until_dead(operator: &Operator, id: JobId) {
    for _ in 0..2000 {
        let found = dead(operator).await;
        if found.iter().any(|job| job.id == id && job.last_error.as_deref() == Some("relay_conflict")) {
            return;
        }
        pause(Duration::from_millis(5)).await;
    }
    panic!("the job is not among the dead: {:?}", dead(operator).await);
}

async fn a_conflict_is_seen_and_solved(queue: impl JobQueue) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("vip.db").display());
    let backend: Backend = vip_adapters::connect(&url).await.unwrap().with_queue(queue);
    let (queue, outbox) = (backend.queue.clone(), backend.outbox.clone().unwrap());
    let mailer = Mailer::default();
    let builder = Provisioner::builder(backend).provider(MemoryProvider::default()).handler(mailer.clone());
    let product = builder.start().await.unwrap();
    let operator = product.operator();
    let mut other = mail(&operator, "the other");
    other.delay = Duration::from_secs(3600);
    assert_eq!(queue.enqueue(std::slice::from_ref(&other)).await.unwrap(), [Enqueued::Inserted]);

    let committed = mail(&operator, "mine");
    assert_eq!(outbox.enqueue(std::slice::from_ref(&committed)).await.unwrap(), [Enqueued::Inserted]);
    until_dead(&operator, committed.id).await;
    assert_eq!(operator.queue_stats().await.unwrap().dead, 1);
    let relay = product.health().await.parts.into_iter().find(|part| part.name == "relay").unwrap();
    assert_eq!(relay.status, HealthStatus::Degraded);
    assert!(relay.detail.as_deref().is_some_and(|detail| detail.contains("1 not taken elsewhere (dead)")), "{relay:?}");

    let report = operator.replay_dead(&ReplayPlan::default()).await.unwrap();
    let fates: Vec<SampleFate> = report.sample.iter().map(|sampled| sampled.fate).collect();
    assert_eq!(fates, [SampleFate::FailedAgain], "the other one still stands there");

    assert!(queue.cancel(&other.key).await.unwrap());
    let report = operator.replay_dead(&ReplayPlan::default()).await.unwrap();
    let fates: Vec<SampleFate> = report.sample.iter().map(|sampled| sampled.fate).collect();
    assert_eq!((fates, report.replayed), (vec![SampleFate::CameThrough], 1));
    assert_eq!(*mailer.0.lock().unwrap(), ["mine"]);
    assert!(dead(&operator).await.is_empty());
    assert!(product.shutdown(Duration::from_secs(10)).await.within_deadline);
}

#[tokio::test]
async fn a_job_that_memory_did_not_take_is_listed_and_replayed() {
    a_conflict_is_seen_and_solved(MemoryQueue::alone(Arc::new(SystemClock))).await;
}

#[tokio::test]
async fn a_job_that_redis_did_not_take_is_listed_and_replayed() {
    let server = RedisServer::start();
    a_conflict_is_seen_and_solved(RedisQueue::open(&server.url(), RedisConfig::queue()).await.unwrap()).await;
}
