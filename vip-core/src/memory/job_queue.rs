//! `JobQueue` in memory: a call is one lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::state::{MemoryState, Shared};
use crate::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest};
use crate::ports::{
    ClaimRequest, Claimed, Clock, Durability, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled, Settlement,
};
use crate::seeded_bugs::{SeededBug, is_on};

/// Keeps jobs in memory, on the injected clock; the reference for every other queue.
#[derive(Debug)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// How many arrivals the last claim has seen: `wait` returns at once if there were more since.
    seen: AtomicU64,
}

impl MemoryQueue {
    /// Makes an empty queue without a store beside it.
    #[must_use]
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        Self::new(Arc::default(), clock)
    }

    /// Makes a queue on the rows of a store.
    pub(super) const fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>) -> Self {
        Self { shared, clock, seen: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, MemoryState> {
        // The table has no step that can panic halfway, so a poisoned lock guards whole rows.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JobQueue for MemoryQueue {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        let now = self.clock.now();
        let answers = {
            let mut state = self.lock();
            jobs.iter().map(|job| state.jobs.enqueue(job, now)).collect()
        };
        self.shared.wake.notify_waiters();
        Ok(answers)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        let now = self.clock.now();
        let mut state = self.lock();
        self.seen.store(state.jobs.arrivals(), Ordering::SeqCst);
        Ok(state.jobs.claim(request, now))
    }

    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        let now = self.clock.now();
        let mut state = self.lock();
        Ok(leases.iter().map(|held| state.jobs.heartbeat(held, lease, now)).collect())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        let now = self.clock.now();
        let answers = {
            let mut state = self.lock();
            settlements.iter().map(|settlement| state.jobs.settle(settlement, now)).collect()
        };
        self.shared.wake.notify_waiters();
        Ok(answers)
    }

    async fn wait(&self, timeout: Duration) {
        let woken = self.shared.wake.notified();
        tokio::pin!(woken);
        // From here on no ring is missed; what rang since the last claim is seen by the count of arrivals.
        woken.as_mut().enable();
        let now = self.clock.now();
        let pause = {
            let state = self.lock();
            let arrived = state.jobs.arrivals() != self.seen.load(Ordering::SeqCst);
            if arrived && !is_on(SeededBug::LostWakeUp) {
                return;
            }
            // Not "is due": a due job of a kind that nobody here knows must not turn the waiting into a busy loop.
            state.jobs.next_due_after(now).map_or(timeout, |due| due.since(now).min(timeout))
        };
        tokio::select! {
            // In a fixed order: under the paused clock one seed is then one run.
            biased;
            () = woken => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        let now = self.clock.now();
        let reaped = self.lock().jobs.reap(max_rescues, most, now);
        if reaped > 0 || !is_on(SeededBug::LostWakeUp) {
            self.shared.wake.notify_waiters();
        }
        Ok(reaped)
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        LeaseRef::check_epoch(above)?;
        Ok(self.lock().jobs.raise_epochs(above))
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        Ok(self.lock().jobs.cancel(key))
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        Ok(self.lock().jobs.find(key))
    }

    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        Ok(self.lock().jobs.list(state, page))
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        let now = self.clock.now();
        let changed = self.lock().jobs.replay(job, now);
        self.shared.wake.notify_waiters();
        Ok(changed)
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        let now = self.clock.now();
        Ok(self.lock().jobs.stats(kinds, now))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use uuid::Uuid;

    use super::*;
    use crate::memory::VirtualClock;
    use crate::model::{ClaimId, Payload, Timestamp};

    fn queue() -> MemoryQueue {
        MemoryQueue::alone(Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000))))
    }

    fn new_job(number: u128, delay: Duration) -> NewJob {
        let id = JobId::from_uuid(Uuid::from_u128(number));
        let key = JobKey::new(format!("k{number}")).unwrap();
        let mut new = NewJob::new(id, key, JobKind::new("test").unwrap(), Payload::from_text("{}").unwrap());
        new.delay = delay;
        new
    }

    async fn claim(queue: &MemoryQueue, kind: &str) -> usize {
        let claim = ClaimId::from_uuid(Uuid::from_u128(1));
        let kinds = vec![JobKind::new(kind).unwrap()];
        queue.claim(&ClaimRequest { kinds, most: 9, lease: Duration::from_secs(60), claim }).await.unwrap().len()
    }

    async fn waited(queue: &MemoryQueue) -> Duration {
        let begin = Instant::now();
        queue.wait(Duration::from_secs(30)).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_when_a_job_becomes_due_and_then_it_is_claimed() {
        let queue = queue();
        queue.enqueue(&[new_job(1, Duration::from_secs(7))]).await.unwrap();
        assert_eq!(claim(&queue, "test").await, 0);
        assert_eq!(waited(&queue).await, Duration::from_secs(7));
        assert_eq!(claim(&queue, "test").await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_by_an_enqueue_during_it_and_by_one_just_before_it() {
        let queue = queue();
        assert_eq!(claim(&queue, "test").await, 0);
        let one = [new_job(1, Duration::ZERO)];
        let (waited_for, enqueued) = tokio::join!(waited(&queue), queue.enqueue(&one));
        assert_eq!((waited_for, enqueued.unwrap()), (Duration::ZERO, vec![Enqueued::Inserted]));
        assert_eq!(claim(&queue, "test").await, 1);
        queue.enqueue(&[new_job(2, Duration::ZERO)]).await.unwrap();
        assert_eq!(waited(&queue).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_due_job_of_an_unknown_kind_does_not_end_the_waiting() {
        let queue = queue();
        queue.enqueue(&[new_job(1, Duration::ZERO)]).await.unwrap();
        assert_eq!(claim(&queue, "other").await, 0);
        assert_eq!(waited(&queue).await, Duration::from_secs(30));
    }
}
