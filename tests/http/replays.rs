//! Dead jobs are replayed over HTTP: for a bounded time, with a report, and with a line that says who asked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::Instant;
use tracing::Level;
use uuid::Uuid;
use vip_core::Provisioner;
use vip_core::memory::memory_backend;
use vip_core::model::{ClaimId, Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest, Payload};
use vip_core::ports::{
    Backend, ClaimRequest, Claimed, Durability, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled,
    Settlement, Verdict,
};
use vip_http::limits;
use vip_tests::lines::Lines;
use vip_tests::site::pause;

use crate::app::{Answer, StillApp, json_request};

/// Is a queue whose first job cannot be read, where each replay takes its time, and what was replayed is done at once.
#[derive(Debug)]
struct Slow {
    queue: Arc<dyn JobQueue>,
    replay_time: Duration,
}

#[async_trait]
impl JobQueue for Slow {
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
    async fn find(&self, _key: &JobKey) -> Result<Option<Job>, QueueError> {
        Ok(None)
    }
    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        let mut found = self.queue.list(state, page).await?;
        let listed = found.items.len();
        found.items.retain(|job| job.id != id(0));
        let unreadable = u64::try_from(listed - found.items.len()).unwrap();
        Ok(found.with_unreadable(unreadable))
    }
    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        pause(self.replay_time).await;
        self.queue.replay(job).await
    }
    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        self.queue.stats(kinds).await
    }
}

fn id(number: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(number))
}

/// Makes an API whose handlers may take a second, on a queue with so many dead jobs behind the one that cannot be read.
async fn with_dead(count: u128, replay_time: Duration) -> StillApp {
    let Backend { store, queue, .. } = Backend::from(memory_backend());
    let kind = JobKind::new("shop.mail").unwrap();
    for number in 0..=count {
        let key = JobKey::new(format!("mail:{number}")).unwrap();
        let job = NewJob::new(id(number), key, kind.clone(), Payload::from_text("{}").unwrap());
        assert_eq!(queue.enqueue(&[job]).await.unwrap(), [Enqueued::Inserted]);
    }
    let (lease, claim) = (Duration::from_secs(60), ClaimId::from_uuid(Uuid::from_u128(1)));
    let claimed = queue.claim(&ClaimRequest { kinds: vec![kind], most: u32::MAX, lease, claim }).await.unwrap();
    for one in claimed {
        let verdict = Verdict::Dead { code: "no_address".to_owned() };
        let settled = queue.settle(&[Settlement { lease: one.lease.reference, verdict }]).await.unwrap();
        assert_eq!(settled, [Settled::Died]);
    }
    let backend = Backend::new(store, Arc::new(Slow { queue, replay_time }));
    StillApp::with_limit(Provisioner::builder(backend), Duration::from_secs(1)).await
}

/// Replays what is dead, and says how long that took.
async fn replayed(app: &StillApp) -> (Answer, Duration) {
    let began = Instant::now();
    let answer = app.send(json_request("POST", "/v1/operator/jobs/replay", Some(&app.operator), &json!({}))).await;
    (answer, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_many_jobs_is_answered_with_how_far_it_came_and_asked_again_it_goes_on() {
    // Forty seconds of work: more than any request may take, and twice what a replay is given.
    let app = with_dead(800, Duration::from_millis(50)).await;
    let (first, took) = replayed(&app).await;
    assert_eq!(first.status.as_u16(), 200, "{first:?}");
    assert!((limits::REPLAY..limits::REPLAY + Duration::from_secs(1)).contains(&took), "{took:?}");
    let of_first = first.body["replayed"].as_u64().unwrap();
    assert!((300..=401).contains(&of_first), "{first:?}");
    assert_eq!((first.text("/sample/0/fate"), &first.body["went_on"]), ("came_through", &json!(true)));
    assert_eq!((&first.body["unreadable"], &first.body["more"]), (&json!(1), &json!(true)));

    let (mut left, mut answer) = (800 - of_first, first);
    while answer.body["more"] == true {
        answer = replayed(&app).await.0;
        left -= answer.body["replayed"].as_u64().unwrap();
    }
    assert_eq!((left, &answer.body["unreadable"]), (0, &json!(1)), "{answer:?}");
    app.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_replay_is_told_also_if_it_is_cut_off() {
    let (lines, _on_this_thread) = Lines::listen_from(Level::INFO);
    let app = with_dead(1, Duration::from_secs(3600)).await;
    let (answer, took) = replayed(&app).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "outcome_unknown"));
    assert!(took > limits::REPLAY, "{took:?}");
    let text = lines.text();
    let line = text.lines().find(|line| line.contains("replay of dead jobs asked for"));
    assert!(line.is_some_and(|line| line.contains(r#"subject="root""#)), "{text}");
    app.end().await;
}
