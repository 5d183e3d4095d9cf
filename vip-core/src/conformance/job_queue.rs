//! The contract of `JobQueue`: one case for each bullet.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::collections::BTreeSet;
use std::time::Duration;

use super::fixture::{BackendFixture, claim_id, random, seconds};
use crate::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, PageLimit, PageRequest, Payload, Why};
use crate::ports::{ClaimRequest, Claimed, Enqueued, JobQueue, LeaseRef, Settled, Settlement, Verdict};

const LEASE: Duration = seconds(60);

#[must_use]
pub fn kind(name: &str) -> JobKind {
    JobKind::new(name).unwrap()
}

#[must_use]
pub fn job(key: &str) -> NewJob {
    let payload = Payload::encode(&key).unwrap();
    NewJob::new(random(JobId::from_uuid), JobKey::new(key).unwrap(), kind("test"), payload)
}

fn wake(key: &str) -> NewJob {
    let mut job = job(key);
    job.why = Why::Wake;
    job
}

fn later(key: &str, delay: u64) -> NewJob {
    let mut job = job(key);
    job.delay = seconds(delay);
    job
}

pub async fn enqueue(queue: &dyn JobQueue, job: NewJob) -> Enqueued {
    queue.enqueue(&[job]).await.unwrap()[0]
}

pub async fn claim(queue: &dyn JobQueue, most: u32) -> Vec<Claimed> {
    let request = ClaimRequest { kinds: vec![kind("test")], most, lease: LEASE, claim: claim_id() };
    queue.claim(&request).await.unwrap()
}

async fn claim_one(queue: &dyn JobQueue) -> Claimed {
    let mut claimed = claim(queue, 10).await;
    assert_eq!(claimed.len(), 1);
    claimed.pop().unwrap()
}

pub async fn settle(queue: &dyn JobQueue, lease: LeaseRef, verdict: Verdict) -> Settled {
    queue.settle(&[Settlement { lease, verdict }]).await.unwrap()[0]
}

async fn found(queue: &dyn JobQueue, key: &str) -> Option<Job> {
    queue.find(&JobKey::new(key).unwrap()).await.unwrap()
}

pub(super) async fn kill(queue: &dyn JobQueue) {
    let claimed = claim_one(queue).await;
    let dead = Verdict::Dead { code: "bad".to_owned() };
    assert_eq!(settle(queue, claimed.lease.reference, dead).await, Settled::Died);
}

fn retry(delay: u64) -> Verdict {
    Verdict::Retry { delay: seconds(delay), code: "panic".to_owned() }
}

fn snooze(delay: u64) -> Verdict {
    Verdict::Snooze { delay: seconds(delay) }
}

pub async fn one_job_per_key(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let answers = queue.enqueue(&[job("a"), job("a"), job("b")]).await.unwrap();
    assert_eq!(answers, [Enqueued::Inserted, Enqueued::Merged, Enqueued::Inserted]);
    let keys: BTreeSet<_> = claim(queue, 10).await.into_iter().map(|claimed| claimed.job.key).collect();
    assert_eq!(keys.len(), 2);
}

pub async fn enqueue_moves_earlier_only(fixture: &dyn BackendFixture) {
    let (queue, now) = (fixture.queue(), fixture.now().await);
    assert_eq!(enqueue(queue, later("a", 20)).await, Enqueued::Inserted);
    assert_eq!(enqueue(queue, later("a", 10)).await, Enqueued::Merged);
    assert_eq!(found(queue, "a").await.unwrap().due, now.plus(seconds(10)));
    assert_eq!(enqueue(queue, later("a", 30)).await, Enqueued::Merged);
    assert_eq!(found(queue, "a").await.unwrap().due, now.plus(seconds(10)));
}

pub async fn enqueue_while_leased_runs_again(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    let verdicts = [Verdict::Done, retry(500), snooze(500), Verdict::Release, Verdict::Dead { code: "bad".to_owned() }];
    for verdict in verdicts {
        let claimed = claim_one(queue).await;
        assert_eq!(enqueue(queue, later("a", 30)).await, Enqueued::WillRunAgain);
        assert_eq!(enqueue(queue, later("a", 10)).await, Enqueued::WillRunAgain);
        assert_eq!(settle(queue, claimed.lease.reference, verdict.clone()).await, Settled::Applied);
        let waits = if verdict == Verdict::Release { seconds(0) } else { seconds(10) };
        let job = found(queue, "a").await.unwrap();
        assert_eq!((job.state, job.due), (JobState::Waiting, fixture.now().await.plus(waits)), "{verdict:?}");
        fixture.advance(waits).await;
    }
    // The mark was used up: this time it is done for good.
    let claimed = claim_one(queue).await;
    assert_eq!(settle(queue, claimed.lease.reference, Verdict::Done).await, Settled::Applied);
    assert_eq!(found(queue, "a").await, None);
}

/// A wake marks a leased job, too, but it does not keep it from dying.
pub async fn a_wake_does_not_save_a_dying_job(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let mut first = job("a");
    first.max_attempts = 1;
    assert_eq!(enqueue(queue, first).await, Enqueued::Inserted);
    let claimed = claim_one(queue).await;
    assert_eq!(enqueue(queue, wake("a")).await, Enqueued::WillRunAgain);
    assert_eq!(settle(queue, claimed.lease.reference, retry(0)).await, Settled::Died);
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Revived);
    let claimed = claim_one(queue).await;
    // A command beats a wake, whichever came first.
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::WillRunAgain);
    assert_eq!(enqueue(queue, wake("a")).await, Enqueued::WillRunAgain);
    assert_eq!(settle(queue, claimed.lease.reference, retry(0)).await, Settled::Applied);
    let job = found(queue, "a").await.unwrap();
    assert_eq!((job.state, job.counts.attempts), (JobState::Waiting, 0));
}

pub async fn a_command_revives_a_dead_job(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    kill(queue).await;
    assert_eq!(enqueue(queue, wake("a")).await, Enqueued::Dead);
    assert_eq!(found(queue, "a").await.unwrap().state, JobState::Dead);
    assert!(claim(queue, 10).await.is_empty());
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Revived);
    assert_eq!(claim_one(queue).await.job.counts.attempts, 0);
}

pub async fn another_payload_is_a_conflict(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let original = job("a");
    assert_eq!(enqueue(queue, original.clone()).await, Enqueued::Inserted);
    let mut payload = job("a");
    payload.payload = Payload::encode(&"other").unwrap();
    let mut other_kind = job("a");
    other_kind.kind = kind("other");
    let refused = async |state: JobState| {
        let before = found(queue, "a").await;
        for other in [&payload, &other_kind] {
            assert_eq!(enqueue(queue, (*other).clone()).await, Enqueued::Conflict, "{state:?}");
        }
        assert_eq!(found(queue, "a").await, before);
        assert_eq!(before.unwrap().state, state);
    };
    refused(JobState::Waiting).await;
    let claimed = claim_one(queue).await;
    refused(JobState::Leased).await;
    settle(queue, claimed.lease.reference, Verdict::Dead { code: "bad".to_owned() }).await;
    refused(JobState::Dead).await;
    // The id of a job under another key is a conflict, too.
    let mut same_id = job("b");
    same_id.id = original.id;
    assert_eq!(enqueue(queue, same_id).await, Enqueued::Conflict);
}

pub async fn job_is_claimed_by_one_worker_only(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    let first = claim_one(queue).await;
    assert!(claim(queue, 10).await.is_empty());
    fixture.advance(LEASE).await;
    // Expired, but not reaped: still nobody else's.
    assert!(claim(queue, 10).await.is_empty());
    assert_eq!(first.lease.duration, LEASE);
}

pub async fn only_due_known_kinds_are_claimed(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let mut unknown = job("a");
    unknown.kind = kind("unknown");
    queue.enqueue(&[unknown, later("b", 10), job("c")]).await.unwrap();
    let keys = |claimed: Vec<Claimed>| claimed.iter().map(|one| one.job.key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(claim(queue, 10).await), ["c"]);
    fixture.advance(seconds(10) - Duration::from_micros(1)).await;
    assert!(claim(queue, 10).await.is_empty());
    fixture.advance(Duration::from_micros(1)).await;
    assert_eq!(keys(claim(queue, 10).await), ["b"]);
    queue.enqueue(&[later("z", 1), later("y", 2), later("x", 3)]).await.unwrap();
    fixture.advance(seconds(3)).await;
    assert_eq!(keys(claim(queue, 2).await), ["z", "y"], "earliest due first, at most as many as asked for");
}

pub async fn epoch_rises_for_ever(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let mut last = u64::try_from(fixture.now().await.as_micros()).unwrap() - 1;
    for _ in 0..3 {
        queue.enqueue(&["a", "b", "c"].map(job)).await.unwrap();
        let claimed = claim(queue, 10).await;
        let epochs: BTreeSet<u64> = claimed.iter().map(|it| it.lease.reference.epoch).collect();
        assert!(epochs.len() == 3 && epochs.first().is_some_and(|first| *first > last), "{epochs:?} after {last}");
        last = epochs.last().copied().unwrap();
        for Claimed { job, lease } in claimed {
            assert_eq!(lease.reference.epoch, job.epoch);
            settle(queue, lease.reference, Verdict::Done).await;
        }
    }
    assert!(claim(queue, 10).await.is_empty());
}

pub async fn stale_lease_changes_nothing(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    let LeaseRef { job, epoch, claim } = claim_one(queue).await.lease.reference;
    let wrong = [
        LeaseRef { job, epoch: epoch - 1, claim },
        LeaseRef { job, epoch: epoch + 1, claim },
        LeaseRef { job, epoch, claim: claim_id() },
        LeaseRef { job: random(JobId::from_uuid), epoch, claim },
    ];
    refuse_all(queue, &wrong).await;
    assert_eq!(enqueue(queue, self::job("a")).await, Enqueued::WillRunAgain);
    refuse_all(queue, &wrong).await;
    // The mark is still there for the rightful one.
    assert_eq!(settle(queue, LeaseRef { job, epoch, claim }, Verdict::Done).await, Settled::Applied);
    assert_eq!(found(queue, "a").await.unwrap().state, JobState::Waiting);
}

async fn refuse_all(queue: &dyn JobQueue, wrong: &[LeaseRef]) {
    let before = found(queue, "a").await;
    let verdicts = [Verdict::Done, retry(1), snooze(1), Verdict::Release, Verdict::Dead { code: "bad".to_owned() }];
    for lease in wrong.iter().copied() {
        assert_eq!(queue.heartbeat(&[lease], seconds(999)).await.unwrap(), [false]);
        for verdict in &verdicts {
            assert_eq!(settle(queue, lease, verdict.clone()).await, Settled::Stale, "{verdict:?}");
        }
        assert_eq!(found(queue, "a").await, before);
    }
}

pub async fn expired_lease_settles_but_does_not_beat(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    queue.enqueue(&[job("a")]).await.unwrap();
    let lease = claim_one(queue).await.lease.reference;
    fixture.advance(LEASE - Duration::from_micros(1)).await;
    assert_eq!(queue.heartbeat(&[lease], LEASE).await.unwrap(), [true]);
    assert_eq!(found(queue, "a").await.unwrap().lease_until, Some(fixture.now().await.plus(LEASE)));
    assert_eq!(queue.heartbeat(&[lease], seconds(1)).await.unwrap(), [true]);
    assert_eq!(found(queue, "a").await.unwrap().lease_until, Some(fixture.now().await.plus(LEASE)), "never shorter");
    fixture.advance(LEASE).await;
    assert_eq!(queue.heartbeat(&[lease], LEASE).await.unwrap(), [false]);
    assert_eq!(settle(queue, lease, Verdict::Done).await, Settled::Applied);
    assert_eq!(found(queue, "a").await, None);
}

pub async fn expired_lease_is_claimable(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    let first = claim_one(queue).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 0);
    fixture.advance(LEASE - Duration::from_micros(1)).await;
    assert_eq!(queue.reap(5, 10).await.unwrap(), 0);
    fixture.advance(Duration::from_micros(1)).await;
    assert_eq!(enqueue(queue, job("young")).await, Enqueued::Inserted);
    drop(claim_one(queue).await);
    assert_eq!(queue.reap(5, 10).await.unwrap(), 1);
    let second = claim_one(queue).await;
    assert_eq!(second.job.counts.rescues, 1);
    assert!(second.lease.reference.epoch > first.lease.reference.epoch);
    assert_eq!(settle(queue, first.lease.reference, Verdict::Done).await, Settled::Stale);
    assert_eq!(found(queue, "a").await.unwrap().claim, Some(second.lease.reference.claim));
}

pub async fn rescues_are_bounded(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    for rescue in 1..=3 {
        drop(claim_one(queue).await);
        fixture.advance(LEASE).await;
        assert_eq!(queue.reap(2, 10).await.unwrap(), 1);
        let job = found(queue, "a").await.unwrap();
        assert_eq!(job.counts.rescues, rescue);
        assert_eq!(job.state, if rescue <= 2 { JobState::Waiting } else { JobState::Dead });
    }
    queue.enqueue(&[job("b"), job("c"), job("d")]).await.unwrap();
    drop(claim(queue, 10).await);
    fixture.advance(LEASE).await;
    assert_eq!(queue.reap(2, 2).await.unwrap(), 2, "at most as many as asked for");
    assert_eq!(queue.reap(2, 2).await.unwrap(), 1);
}

/// A worker that was lost now and then, with good attempts in between, kills no job.
pub async fn rescues_before_a_snooze_or_a_revival_do_not_count(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let lose_worker = async || {
        drop(claim_one(queue).await);
        fixture.advance(LEASE).await;
        assert_eq!(queue.reap(1, 10).await.unwrap(), 1);
        found(queue, "a").await.unwrap()
    };
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    for _ in 0..3 {
        let rescued = lose_worker().await;
        assert_eq!((rescued.state, rescued.counts.rescues), (JobState::Waiting, 1), "a restart kills nobody");
        let claimed = claim_one(queue).await;
        assert_eq!(settle(queue, claimed.lease.reference, snooze(0)).await, Settled::Applied);
    }
    lose_worker().await;
    assert_eq!(lose_worker().await.state, JobState::Dead, "two in a row are one too many");
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Revived);
    assert_eq!(lose_worker().await.state, JobState::Waiting, "who asks again has all rescues before it");

    let claimed = claim_one(queue).await;
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::WillRunAgain);
    assert_eq!(settle(queue, claimed.lease.reference, Verdict::Done).await, Settled::Applied);
    assert_eq!(found(queue, "a").await.unwrap().counts.rescues, 0, "done, and asked for once more");
}

pub async fn attempts_snoozes_and_rescues_are_counted_apart(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let mut first = job("a");
    first.max_attempts = 3;
    assert_eq!(enqueue(queue, first).await, Enqueued::Inserted);
    for verdict in [retry(0), snooze(0), snooze(0), Verdict::Release, retry(0)] {
        let claimed = claim_one(queue).await;
        assert_eq!(settle(queue, claimed.lease.reference, verdict).await, Settled::Applied);
    }
    drop(claim_one(queue).await);
    fixture.advance(LEASE).await;
    queue.reap(5, 10).await.unwrap();
    let counts = found(queue, "a").await.unwrap().counts;
    assert_eq!((counts.attempts, counts.snoozes, counts.rescues), (2, 2, 1));
    let claimed = claim_one(queue).await;
    assert_eq!(settle(queue, claimed.lease.reference, retry(0)).await, Settled::Died, "the third attempt is the last");
    let dead = found(queue, "a").await.unwrap();
    assert_eq!((dead.state, dead.counts.attempts, dead.last_error.as_deref()), (JobState::Dead, 3, Some("panic")));
}

pub async fn repeated_calls_change_nothing(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let new = job("a");
    assert_eq!(enqueue(queue, new.clone()).await, Enqueued::Inserted);
    let before = found(queue, "a").await;
    assert_eq!(enqueue(queue, new).await, Enqueued::Merged);
    assert_eq!(found(queue, "a").await, before);
    let lease = claim_one(queue).await.lease.reference;
    let settlement = Settlement { lease, verdict: retry(5) };
    assert_eq!(queue.settle(std::slice::from_ref(&settlement)).await.unwrap(), [Settled::Applied]);
    let before = found(queue, "a").await;
    assert_eq!(queue.settle(&[settlement]).await.unwrap(), [Settled::Stale]);
    assert_eq!(found(queue, "a").await, before);
    let key = JobKey::new("a").unwrap();
    assert!(queue.cancel(&key).await.unwrap());
    assert!(!queue.cancel(&key).await.unwrap());
}

pub async fn a_leased_job_is_not_cancelled(fixture: &dyn BackendFixture) {
    let (queue, key) = (fixture.queue(), JobKey::new("a").unwrap());
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    drop(claim_one(queue).await);
    assert!(!queue.cancel(&key).await.unwrap());
    assert!(found(queue, "a").await.is_some());
}

pub async fn replay_starts_a_dead_job_over_and_marks_a_leased_one(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    assert_eq!(enqueue(queue, job("a")).await, Enqueued::Inserted);
    let id = found(queue, "a").await.unwrap().id;
    assert!(!queue.replay(id).await.unwrap(), "a waiting one runs anyway");
    let claimed = claim_one(queue).await;
    settle(queue, claimed.lease.reference, retry(0)).await;
    kill(queue).await;
    assert!(queue.replay(id).await.unwrap());
    let job = found(queue, "a").await.unwrap();
    assert_eq!((job.state, job.counts, job.due), (JobState::Waiting, Default::default(), fixture.now().await));
    let claimed = claim_one(queue).await;
    assert!(queue.replay(id).await.unwrap() && !queue.replay(id).await.unwrap());
    settle(queue, claimed.lease.reference, Verdict::Done).await;
    assert_eq!(found(queue, "a").await.unwrap().state, JobState::Waiting);
    assert!(!queue.replay(random(JobId::from_uuid)).await.unwrap());
}

pub async fn jobs_are_listed_in_pages_and_counted(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let mut unknown = job("u");
    unknown.kind = kind("unknown");
    queue.enqueue(&[job("a"), job("b"), job("c"), later("d", 10), unknown]).await.unwrap();
    drop(claim(queue, 1).await);
    fixture.advance(seconds(4)).await;
    let limit = PageLimit::new(2).unwrap();
    let first = queue.list(JobState::Waiting, &PageRequest::first(limit)).await.unwrap();
    let second = queue.list(JobState::Waiting, &PageRequest::after(first.next.unwrap(), limit)).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 2, None));
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|job| job.id).collect();
    assert!(ids.is_sorted() && ids.len() == 4);
    let stats = queue.stats(&[kind("test")]).await.unwrap();
    assert_eq!((stats.due, stats.later, stats.leased, stats.dead), (2, 1, 1, 0));
    assert_eq!(stats.oldest_due, Some(seconds(4)));
    assert_eq!(queue.stats(&[]).await.unwrap().due, 3, "no kind named means all");
}
