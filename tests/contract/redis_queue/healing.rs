//! What a server that throws keys away did to the indexes is put right: no key stays blocked, and no job is ended twice.

use std::sync::Arc;
use std::time::Duration;

use vip_adapters::redis::{RedisConfig, RedisQueue};
use vip_core::conformance::job_queue::{enqueue, job, kind};
use vip_core::memory::ManualClock;
use vip_core::model::{JobState, NewJob, PageLimit, PageRequest, Timestamp, Why};
use vip_core::ports::{ClaimRequest, Claimed, Enqueued, JobQueue, Settlement, Verdict};
use vip_tests::redis_server::RedisServer;

const LEASE: Duration = Duration::from_secs(10);

struct Broken {
    server: RedisServer,
    queue: RedisQueue,
    clock: Arc<ManualClock>,
}

impl Broken {
    async fn start() -> Self {
        let server = RedisServer::start();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
        let config = RedisConfig::queue().clock(Arc::clone(&clock) as _);
        let queue = RedisQueue::open(&server.url(), config).await.unwrap();
        Self { server, queue, clock }
    }

    async fn claim(&self) -> Vec<Claimed> {
        let claim = vip_core::conformance::claim_id();
        self.queue.claim(&ClaimRequest { kinds: vec![kind("test")], most: 9, lease: LEASE, claim }).await.unwrap()
    }

    /// Throws a key of the queue away.
    fn evict(&self, name: &str) {
        let removed: i64 = self.server.ask(&["DEL", &format!("vip1:queue:{{default}}:{name}")]);
        assert_eq!(removed, 1, "{name}");
    }

    fn evict_job(&self, job: &NewJob) {
        self.evict(&format!("job:{}", job.id));
    }

    async fn reap(&self) -> u32 {
        self.queue.reap(5, 100).await.unwrap()
    }
}

#[tokio::test]
async fn a_lease_that_no_index_names_ends_once_its_key_is_enqueued_again() {
    let broken = Broken::start().await;
    let one = job("a");
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Inserted);
    assert_eq!(broken.claim().await.len(), 1);
    for index in ["held:test", "leased", "kinds", "all"] {
        broken.evict(index);
    }
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::WillRunAgain);
    assert_eq!(broken.reap().await, 0, "the lease is the present one");
    broken.clock.advance(LEASE);
    assert_eq!(broken.reap().await, 1);
    assert_eq!(broken.claim().await.len(), 1);
    let page = PageRequest::first(PageLimit::new(9).unwrap());
    assert_eq!(broken.queue.list(JobState::Leased, &page).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn the_lease_of_a_job_that_is_gone_is_not_ended_for_one_that_came_back_under_its_id() {
    let broken = Broken::start().await;
    let one = job("a");
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Inserted);
    assert_eq!(broken.claim().await.len(), 1);
    broken.evict_job(&one);
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Inserted);
    broken.clock.advance(LEASE);
    assert_eq!(broken.reap().await, 0);
    let claimed = broken.claim().await;
    assert_eq!(claimed.iter().map(|one| one.job.counts.rescues).collect::<Vec<_>>(), [0]);
    assert_eq!(broken.queue.stats(&[]).await.unwrap().leased, 1);
}

#[tokio::test]
async fn a_job_that_waits_for_its_time_is_not_claimed_because_one_before_it_was_due() {
    let broken = Broken::start().await;
    let one = job("a");
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Inserted);
    assert_eq!(broken.claim().await.len(), 1);
    // The index still says that it is due, and the job that it is leased.
    let entry = format!("vip1:queue:{{default}}:due:{}", kind("test"));
    assert_eq!(broken.server.ask::<i64>(&["ZADD", &entry, "0", &one.id.to_string()]), 1);
    assert!(broken.claim().await.is_empty(), "one lease at a time");
}

#[tokio::test]
async fn a_key_whose_job_is_gone_takes_another_and_one_that_is_lost_finds_its_own() {
    let broken = Broken::start().await;
    let (one, two) = (job("a"), job("a"));
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Inserted);
    broken.evict_job(&one);
    assert_eq!(enqueue(&broken.queue, two.clone()).await, Enqueued::Inserted);
    assert_eq!(broken.claim().await.iter().map(|it| it.job.id).collect::<Vec<_>>(), [two.id]);

    broken.evict("keys");
    assert_eq!(enqueue(&broken.queue, two.clone()).await, Enqueued::WillRunAgain, "not another job of that id");
    assert_eq!(broken.queue.find(&two.key).await.unwrap().map(|it| it.id), Some(two.id));
}

#[tokio::test]
async fn a_dead_job_that_no_index_names_is_listed_again_once_it_is_woken_in_vain() {
    let broken = Broken::start().await;
    let mut one = job("a");
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Inserted);
    let lease = broken.claim().await[0].lease.reference;
    let verdict = Verdict::Dead { code: "bad".to_owned() };
    broken.queue.settle(&[Settlement { lease, verdict }]).await.unwrap();
    broken.evict("dead");
    broken.evict("dead:test");
    one.why = Why::Wake;
    assert_eq!(enqueue(&broken.queue, one.clone()).await, Enqueued::Dead);
    let page = PageRequest::first(PageLimit::new(9).unwrap());
    let dead = broken.queue.list(JobState::Dead, &page).await.unwrap().items;
    assert_eq!((dead.len(), broken.queue.stats(&[]).await.unwrap().dead), (1, 1));
}

#[tokio::test]
async fn the_end_of_a_job_takes_its_key_from_no_other_that_stands_there_by_now() {
    let broken = Broken::start().await;
    let (old, new) = (job("a"), job("a"));
    assert_eq!(enqueue(&broken.queue, old.clone()).await, Enqueued::Inserted);
    let claimed = broken.claim().await;
    broken.evict("keys");
    assert_eq!(enqueue(&broken.queue, new.clone()).await, Enqueued::Inserted);
    for claimed in claimed {
        let settlement = Settlement { lease: claimed.lease.reference, verdict: Verdict::Done };
        broken.queue.settle(&[settlement]).await.unwrap();
    }
    assert_eq!(broken.queue.find(&new.key).await.unwrap().map(|found| found.id), Some(new.id));
}
