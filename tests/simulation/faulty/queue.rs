//! `JobQueue` with calls that go wrong.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vip_core::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest};
use vip_core::ports::{
    ClaimRequest, Claimed, Durability, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled, Settlement,
};
use vip_core::provisioning::kinds::CONVERGE;

use super::Link;
use crate::method::Method;
use crate::world::STALL;

/// Lets calls of a queue go wrong.
#[derive(Debug)]
pub struct FaultyQueue {
    link: Link,
    inner: Arc<dyn JobQueue>,
}

impl FaultyQueue {
    /// Decorates a queue.
    #[must_use]
    pub fn new(link: Link, inner: Arc<dyn JobQueue>) -> Self {
        Self { link, inner }
    }
}

#[async_trait]
impl JobQueue for FaultyQueue {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        let later = || {
            let (inner, jobs) = (self.inner.clone(), jobs.to_vec());
            Box::pin(async move { drop(inner.enqueue(&jobs).await) }) as super::Effect
        };
        self.link.write(Method::Enqueue, &jobs, || self.inner.enqueue(jobs), later).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        let later = || {
            let (inner, request) = (self.inner.clone(), request.clone());
            Box::pin(async move { drop(inner.claim(&request).await) }) as super::Effect
        };
        let claimed = self.link.write(Method::Claim, request, || self.inner.claim(request), later).await?;
        if claimed.iter().any(|claimed| claimed.job.kind.as_str() == CONVERGE) && self.link.world.suspends() {
            // The machine is suspended between the answer and the first step of the attempt.
            self.link.life.freeze(STALL);
        }
        Ok(claimed)
    }

    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        let call = || self.inner.heartbeat(leases, lease);
        self.link.read(Method::Heartbeat, &leases, call, |_| None).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        let later = || {
            let (inner, settlements) = (self.inner.clone(), settlements.to_vec());
            Box::pin(async move { drop(inner.settle(&settlements).await) }) as super::Effect
        };
        self.link.write(Method::Settle, &settlements, || self.inner.settle(settlements), later).await
    }

    async fn wait(&self, timeout: Duration) {
        self.life_or_wait(timeout).await;
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        self.link.read(Method::Reap, &most, || self.inner.reap(max_rescues, most), |_| None).await
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        self.link.read(Method::QueueUpkeep, &above, || self.inner.raise_epochs(above), |_| None).await
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        self.link.read(Method::QueueUpkeep, key, || self.inner.cancel(key), |_| None).await
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        self.link.read(Method::FindJob, key, || self.inner.find(key), |_| None).await
    }

    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        self.link.read(Method::QueueUpkeep, page, || self.inner.list(state, page), |_| None).await
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        self.link.read(Method::QueueUpkeep, &job, || self.inner.replay(job), |_| None).await
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        self.link.read(Method::QueueUpkeep, &kinds, || self.inner.stats(kinds), |_| None).await
    }
}

impl FaultyQueue {
    async fn life_or_wait(&self, timeout: Duration) {
        self.link.life.living().await;
        self.inner.wait(timeout).await;
        self.link.life.living().await;
    }
}
