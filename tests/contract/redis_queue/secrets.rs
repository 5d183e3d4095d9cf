//! What a stored job holds is not shown, also if nobody can read it.

use vip_adapters::redis::{RedisConfig, RedisQueue};
use vip_core::conformance::job_queue::{claim, enqueue, job};
use vip_core::model::{JobState, PageLimit, PageRequest};
use vip_core::ports::{Enqueued, JobQueue};
use vip_tests::lines::Lines;
use vip_tests::redis_server::RedisServer;

/// Puts what is no text in the place of a payload.
const DAMAGE: &str = r"return redis.call('HSET', KEYS[1], 'payload', 'canary\255')";

#[tokio::test]
async fn a_payload_that_is_no_text_is_neither_logged_nor_shown_by_the_failure() {
    let (lines, _on_this_thread) = Lines::listen();
    let server = RedisServer::start();
    let queue = RedisQueue::open(&server.url(), RedisConfig::queue()).await.unwrap();
    let damaged = job("a");
    assert_eq!(enqueue(&queue, damaged.clone()).await, Enqueued::Inserted);
    let stored = format!("vip1:queue:{{default}}:job:{}", damaged.id);
    assert_eq!(server.ask::<i64>(&["EVAL", DAMAGE, "1", &stored]), 0, "it was there and is another one now");
    let failure = queue.find(&damaged.key).await.unwrap_err();
    assert!(claim(&queue, 1).await.is_empty());
    let dead = queue.list(JobState::Dead, &PageRequest::first(PageLimit::most())).await.unwrap();
    assert_eq!((dead.items.len(), dead.unreadable), (0, 1));
    assert_eq!(lines.told("a stored job cannot be read"), 2, "{}", lines.text());
    let shown = format!("{failure:?} {}", lines.text());
    // As text, and as `Debug` shows bytes.
    for form in ["canary", "99, 97, 110, 97, 114, 121"] {
        assert!(!shown.contains(form), "{form}: {shown}");
    }
}
