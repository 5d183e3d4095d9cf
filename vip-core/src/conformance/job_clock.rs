//! The contract of `JobQueue` about what it wrote while its clock was ahead.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::time::Duration;

use crate::model::{JobKey, JobState, Timing};
use crate::ports::{ClaimRequest, Enqueued, JobQueue, LeaseRef, Settled, Verdict};

use super::fixture::{BackendFixture, claim_id, seconds};
use super::job_queue::{claim, enqueue, job, kind, settle};

async fn leased(queue: &dyn JobQueue, key: &str, lease: Duration) -> LeaseRef {
    assert_eq!(enqueue(queue, job(key)).await, Enqueued::Inserted);
    let request = ClaimRequest { kinds: vec![kind("test")], most: 1, lease, claim: claim_id() };
    queue.claim(&request).await.unwrap().pop().unwrap().lease.reference
}

pub async fn a_lease_that_ends_beyond_any_is_reaped(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let present = leased(queue, "present", Timing::FURTHEST_AHEAD).await;
    // They end when leases end that were granted while the clock was a year ahead.
    let ahead = leased(queue, "ahead", 365 * seconds(86_400)).await;
    leased(queue, "further", 366 * seconds(86_400)).await;
    assert_eq!(queue.reap(5, 1).await.unwrap(), 1, "at most as many as asked for");
    let job = queue.find(&JobKey::new("ahead").unwrap()).await.unwrap().unwrap();
    assert_eq!((job.state, job.counts.rescues, job.due), (JobState::Waiting, 1, fixture.now().await));
    assert_eq!(queue.reap(5, 10).await.unwrap(), 1);
    assert_eq!(queue.reap(5, 10).await.unwrap(), 0);
    assert_eq!(queue.heartbeat(&[present, ahead], seconds(1)).await.unwrap(), [true, false]);
    assert_eq!(settle(queue, ahead, Verdict::Done).await, Settled::Stale);
    assert_eq!(claim(queue, 10).await.len(), 2);
    fixture.advance(Timing::FURTHEST_AHEAD).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 3, "by now all have expired");
}
