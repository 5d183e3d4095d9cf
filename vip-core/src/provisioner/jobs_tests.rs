//! Keys of enqueued jobs, and dead ones that a queue elsewhere did not take: listed with the others, counted, and replayed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::Provisioner;
use crate::memory::{MemoryBackend, MemoryQueue, VirtualClock};
use crate::model::{ClaimId, InstallationId, JobKind, PageLimit, Payload, Timestamp};
use crate::ports::{Backend, ClaimRequest, Clock, Settlement, Verdict};

struct Pair {
    backend: Backend,
    operator: Operator,
}

impl Pair {
    async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
        let memory = MemoryBackend::new(clock.clone(), InstallationId::from_uuid(Uuid::from_u128(1)));
        let backend = Backend::from(memory).with_queue(MemoryQueue::alone(clock));
        let operator = Provisioner::builder(backend.clone()).client_only().await.unwrap().operator();
        Self { backend, operator }
    }

    fn outbox(&self) -> &dyn JobQueue {
        self.backend.outbox.as_deref().unwrap()
    }

    async fn dead(&self, limit: u32) -> Vec<Vec<u128>> {
        let limit = PageLimit::new(limit).unwrap();
        let (mut page, mut pages) = (PageRequest::first(limit), Vec::new());
        loop {
            let found = self.operator.jobs(JobState::Dead, &page).await.unwrap();
            pages.push(found.items.iter().map(|job| job.id.as_uuid().as_u128()).collect());
            match found.next {
                Some(next) => page = PageRequest::after(next, limit),
                None => return pages,
            }
        }
    }
}

fn job(number: u128) -> NewJob {
    let key = JobKey::new(format!("k{number}")).unwrap();
    NewJob::new(JobId::from_uuid(Uuid::from_u128(number)), key, kind(), Payload::from_text("{}").unwrap())
}

fn kind() -> JobKind {
    JobKind::new("test").unwrap()
}

async fn kill(queue: &dyn JobQueue, numbers: impl IntoIterator<Item = u128>) {
    let jobs: Vec<NewJob> = numbers.into_iter().map(job).collect();
    queue.enqueue(&jobs).await.unwrap();
    settle_all(queue, &Verdict::Dead { code: "bad".to_owned() }).await;
}

async fn settle_all(queue: &dyn JobQueue, verdict: &Verdict) {
    let (lease, claim) = (Duration::from_secs(5), ClaimId::from_uuid(Uuid::from_u128(9)));
    let claimed = queue.claim(&ClaimRequest { kinds: vec![kind()], most: 999, lease, claim }).await.unwrap();
    let ends: Vec<_> =
        claimed.iter().map(|one| Settlement { lease: one.lease.reference, verdict: verdict.clone() }).collect();
    queue.settle(&ends).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dead_jobs_of_both_queues_are_listed_once_each_in_order_whatever_the_size_of_a_page() {
    let pair = Pair::new().await;
    kill(&*pair.backend.queue, [2, 3, 7, 8, 9]).await;
    kill(pair.outbox(), [1, 4, 5, 6, 12]).await;
    let all: BTreeSet<u128> = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12].into();
    for limit in 1..=11 {
        let pages = pair.dead(limit).await;
        assert!(pages.iter().all(|page| page.len() <= limit as usize), "{limit}: {pages:?}");
        assert_eq!(pages.concat(), all.iter().copied().collect::<Vec<_>>(), "{limit}: {pages:?}");
    }
    assert_eq!(pair.operator.queue_stats().await.unwrap().dead, 10);
}

#[test]
fn what_pages_of_both_queues_leave_out_is_counted_once() {
    let (one, place) = (PageLimit::new(1).unwrap(), Uuid::from_u128(1));
    let damaged = |next: Option<Uuid>| Page::new(Vec::new(), next).with_unreadable(1);
    // Behind the place nothing of the second queue is taken: it is read once more.
    let first = merged(damaged(Some(place)), damaged(None), &PageRequest::first(one));
    assert_eq!((first.next, first.unreadable), (Some(place), 1));
    let rest = merged(Page::new(Vec::new(), None), damaged(None), &PageRequest::after(place, one));
    assert_eq!((rest.next, rest.unreadable), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_job_of_either_queue_is_shown_and_replayed_where_it_is() {
    let pair = Pair::new().await;
    kill(&*pair.backend.queue, [1, 3]).await;
    kill(pair.outbox(), [2, 3]).await;
    assert_eq!(pair.dead(9).await, [vec![1, 2, 3]], "one that is in both is shown once");
    for number in [1, 2] {
        let id = JobId::from_uuid(Uuid::from_u128(number));
        assert_eq!(pair.operator.job(&job(number).key).await.unwrap().map(|job| job.id), Some(id));
        assert!(pair.operator.replay(id).await.unwrap(), "{number}");
        assert!(!pair.operator.replay(id).await.unwrap(), "{number}: it waits already");
    }
    assert_eq!(pair.backend.queue.find(&job(1).key).await.unwrap().unwrap().state, JobState::Waiting);
    assert_eq!(pair.outbox().find(&job(2).key).await.unwrap().unwrap().state, JobState::Waiting);
    let both = JobId::from_uuid(Uuid::from_u128(3));
    assert!(pair.operator.replay(both).await.unwrap());
    assert_eq!(pair.dead(9).await, [vec![3]], "the other one");
    assert!(pair.operator.replay(both).await.unwrap());
    assert_eq!(pair.dead(9).await, [vec![]]);
    assert_eq!(pair.operator.queue_stats().await.unwrap().dead, 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_told_from_another_under_its_key_and_from_one_that_is_still_to_be_relayed() {
    let pair = Pair::new().await;
    let mut other = job(1);
    other.id = JobId::from_uuid(Uuid::from_u128(99));
    pair.backend.queue.enqueue(&[other]).await.unwrap();
    kill(pair.outbox(), [1]).await;
    let mine = pair.outbox().find(&job(1).key).await.unwrap().unwrap();
    assert!(matches!(pair.operator.standing(&mine).await.unwrap(), Standing::Queued(found) if found.id == mine.id));
    assert!(pair.operator.replay(mine.id).await.unwrap());
    assert!(matches!(pair.operator.standing(&mine).await.unwrap(), Standing::ToBeRelayed));
    assert!(pair.outbox().cancel(&mine.key).await.unwrap());
    // The relay may have joined it with the other one: nobody knows how it fares until that one is done.
    assert!(matches!(pair.operator.standing(&mine).await.unwrap(), Standing::ToBeRelayed));
    assert!(pair.backend.queue.cancel(&mine.key).await.unwrap());
    assert!(matches!(pair.operator.standing(&mine).await.unwrap(), Standing::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_done_frees_its_key_and_one_that_is_dead_keeps_it_from_another_payload() {
    let pair = Pair::new().await;
    let again = async || pair.operator.enqueue(job(1)).await.unwrap();
    assert_eq!((again().await, again().await), (Enqueued::Inserted, Enqueued::Merged));
    settle_all(&*pair.backend.queue, &Verdict::Done).await;
    assert_eq!(again().await, Enqueued::Inserted, "the same job runs again");

    kill(&*pair.backend.queue, [1]).await;
    let dead = pair.operator.job(&job(1).key).await.unwrap();
    assert_eq!(dead.as_ref().map(|job| job.state), Some(JobState::Dead));
    let mut other = job(1);
    other.payload = Payload::from_text("[]").unwrap();
    assert_eq!(pair.operator.enqueue(other).await.unwrap(), Enqueued::Conflict);
    assert_eq!(pair.operator.job(&job(1).key).await.unwrap(), dead, "nothing is changed");
    assert_eq!(again().await, Enqueued::Revived);
}
