//! The contract of `JobQueue` about what was written while its clock, or that of a queue before it, was ahead.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{JobKey, JobState, Timing};
use crate::ports::{ClaimRequest, Enqueued, JobQueue, LeaseRef, Retryability, Settled, Verdict};

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

pub async fn epochs_are_raised_and_never_lowered(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let first = leased(queue, "first", seconds(60)).await;
    // As a queue gave them that is lost, and whose clock was a year ahead.
    let year = u64::try_from(365 * seconds(86_400).as_micros()).unwrap();
    let ahead = first.epoch + year;
    assert!(queue.raise_epochs(ahead).await.unwrap());
    let second = leased(queue, "second", seconds(60)).await;
    assert!(second.epoch > ahead, "{} after {ahead}", second.epoch);
    for reached in [0, first.epoch, ahead] {
        assert!(!queue.raise_epochs(reached).await.unwrap(), "{reached}");
    }
    let third = leased(queue, "third", seconds(60)).await;
    assert!(third.epoch > second.epoch, "{} after {}", third.epoch, second.epoch);

    let error = queue.raise_epochs(LeaseRef::EPOCH_MOST + 1).await.unwrap_err();
    assert_eq!(error.retryability(), Retryability::Permanent, "{error:?}");
    assert!(leased(queue, "fourth", seconds(60)).await.epoch < ahead + year);
    assert!(queue.raise_epochs(LeaseRef::EPOCH_MOST).await.unwrap());
    queue.enqueue(&[job("fifth"), job("sixth")]).await.unwrap();
    let last: BTreeSet<u64> = claim(queue, 2).await.iter().map(|claimed| claimed.lease.reference.epoch).collect();
    assert!(last.len() == 2 && last.iter().all(|epoch| *epoch > LeaseRef::EPOCH_MOST), "{last:?}");
    // Leases keep the epochs that they have.
    assert_eq!(queue.heartbeat(&[first, second, third], seconds(60)).await.unwrap(), [true; 3]);
    assert_eq!(settle(queue, first, Verdict::Done).await, Settled::Applied);
}
