//! What a claim costs with a million due jobs on Redis, beside twenty thousand; and a drain of the larger queue.
//!
//! Both queues are on one server and are asked in turn, so that whatever else the machine does falls on both.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and fails by panicking")]

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use uuid::Uuid;
use vip_adapters::redis::{REDIS_QUEUE_BATCH, RedisConfig, RedisQueue};
use vip_core::conformance::claim_id;
use vip_core::model::{JobId, JobKey, JobKind, NewJob, Payload};
use vip_core::ports::{ClaimRequest, Claimed, JobQueue, Settlement, Verdict};
use vip_tests::redis_server::RedisServer;

const SMALL: usize = 20_000;
const LARGE: usize = 1_000_000;
/// Jobs of one claim, as a worker asks for.
const MOST: u32 = 100;
/// Claims on each queue; half of the smaller one stays.
const CLAIMS: usize = 100;
/// How many times the cost at the small queue a claim at the large one may have.
const RATIO_MOST: f64 = 1.3;
/// Jobs that the drain takes.
const DRAINED: usize = 100_000;
/// Batches that are on their way at once while a queue is filled.
const LOADERS: usize = 4;

fn kind() -> JobKind {
    JobKind::new("bench").unwrap()
}

fn job(number: usize) -> NewJob {
    let id = JobId::from_uuid(Uuid::now_v7());
    let payload = Payload::encode(&("0123456789abcdef".repeat(4), number)).unwrap();
    NewJob::new(id, JobKey::new(format!("job:{number}")).unwrap(), kind(), payload)
}

async fn filled(server: &RedisServer, name: &str, jobs: usize) -> RedisQueue {
    let queue = RedisQueue::open(&server.url(), RedisConfig::queue().name(name)).await.unwrap();
    let begin = Instant::now();
    let starts = (0..jobs).step_by(REDIS_QUEUE_BATCH);
    let batches = starts.map(|start| (start..jobs.min(start + REDIS_QUEUE_BATCH)).map(job).collect::<Vec<_>>());
    let sent = stream::iter(batches).map(async |batch| queue.enqueue(&batch).await).buffer_unordered(LOADERS);
    let answers: usize = sent.try_fold(0, async |sum, answers| Ok(sum + answers.len())).await.unwrap();
    assert_eq!(answers, jobs);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = jobs as f64 / begin.elapsed().as_secs_f64();
    println!("{name}: {jobs} jobs enqueued in batches of {REDIS_QUEUE_BATCH}, {rate:.0} a second");
    queue
}

async fn claim(queue: &RedisQueue) -> (Vec<Claimed>, Duration) {
    let request = ClaimRequest { kinds: vec![kind()], most: MOST, lease: Duration::from_secs(600), claim: claim_id() };
    let begin = Instant::now();
    let claimed = queue.claim(&request).await.unwrap();
    (claimed, begin.elapsed())
}

async fn settle(queue: &RedisQueue, claimed: &[Claimed]) {
    let done = |one: &Claimed| Settlement { lease: one.lease.reference, verdict: Verdict::Done };
    queue.settle(&claimed.iter().map(done).collect::<Vec<_>>()).await.unwrap();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let server = RedisServer::start();
    let small = filled(&server, "small", SMALL).await;
    let large = filled(&server, "large", LARGE).await;
    let (mut at_small, mut at_large) = (Vec::new(), Vec::new());
    for _ in 0..CLAIMS {
        for (queue, times) in [(&small, &mut at_small), (&large, &mut at_large)] {
            let (claimed, time) = claim(queue).await;
            assert_eq!(claimed.len(), usize::try_from(MOST).unwrap());
            times.push(time);
            settle(queue, &claimed).await;
        }
    }
    let (small_cost, large_cost) = (median(at_small), median(at_large));
    let ratio = large_cost.as_secs_f64() / small_cost.as_secs_f64();
    println!("a claim of {MOST} of {SMALL}: {small_cost:.1?}; of {LARGE}: {large_cost:.1?}; {ratio:.2} times");

    let begin = Instant::now();
    let mut drained = 0;
    while drained < DRAINED {
        let (claimed, _) = claim(&large).await;
        drained += claimed.len();
        settle(&large, &claimed).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = drained as f64 / begin.elapsed().as_secs_f64();
    println!("claimed and settled one batch after the other: {rate:.0} jobs a second");
    assert!(ratio <= RATIO_MOST, "a claim costs {ratio:.2} times as much, {RATIO_MOST} are allowed");
}
