//! The memory queue with faults that a test orders, and a record of its calls.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::ms;
use crate::memory::MemoryQueue;
use crate::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest};
use crate::ports::{
    ClaimRequest, Claimed, Durability, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled, Settlement,
};

/// Names the calls that may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Claim,
    Heartbeat,
    Settle,
    Reap,
}

/// Says how a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing happens.
    Before,
    /// It happens, and the answer is lost.
    After,
    /// It panics, and nothing happens.
    Panics,
    /// It is never answered, and nothing happens.
    Hangs,
    /// It happens, and the answer comes later.
    Late(Duration),
}

#[derive(Debug)]
pub(super) struct TestQueue {
    inner: MemoryQueue,
    faults: Mutex<Vec<(Call, VecDeque<Fault>)>>,
    /// Faults of every call, until they are taken away.
    outage: Mutex<Vec<(Call, Fault)>>,
    calls: Mutex<Vec<(Call, usize)>>,
    /// Makes every wait return at once.
    pub(super) hints_are_wrong: bool,
    /// A settlement of this key is refused for ever.
    pub(super) poison: Mutex<Option<JobId>>,
    /// A batch with a settlement of this key has no answer, as if somebody held its row.
    pub(super) held: Mutex<Option<JobId>>,
}

impl TestQueue {
    pub(super) const fn new(inner: MemoryQueue) -> Self {
        Self {
            inner,
            faults: Mutex::new(Vec::new()),
            outage: Mutex::new(Vec::new()),
            calls: Mutex::new(Vec::new()),
            hints_are_wrong: false,
            poison: Mutex::new(None),
            held: Mutex::new(None),
        }
    }

    pub(super) fn next(&self, call: Call, faults: &[Fault]) {
        self.faults.lock().unwrap().push((call, faults.iter().copied().collect()));
    }

    pub(super) fn always(&self, call: Call, fault: Fault) {
        self.outage.lock().unwrap().push((call, fault));
    }

    pub(super) fn heal(&self) {
        self.outage.lock().unwrap().clear();
    }

    /// Sizes of the calls so far.
    pub(super) fn calls(&self, call: Call) -> Vec<usize> {
        self.calls.lock().unwrap().iter().filter(|(made, _)| *made == call).map(|(_, size)| *size).collect()
    }

    async fn around<T>(
        &self,
        call: Call,
        size: usize,
        work: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        self.calls.lock().unwrap().push((call, size));
        let ordered = {
            let mut faults = self.faults.lock().unwrap();
            faults.iter_mut().filter(|(of, _)| *of == call).find_map(|(_, faults)| faults.pop_front())
        };
        let lasting = self.outage.lock().unwrap().iter().find(|(of, _)| *of == call).map(|(_, fault)| *fault);
        match ordered.or(lasting) {
            None => work.await,
            Some(Fault::Before) => Err(QueueError::Unavailable { source: "ordered".into() }),
            Some(Fault::Panics) => panic!("a bug of the queue"),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::After) => {
                work.await?;
                Err(QueueError::OutcomeUnknown { source: "ordered".into() })
            }
            Some(Fault::Late(by)) => {
                let answer = work.await;
                let never = std::future::pending::<()>();
                assert!(tokio::time::timeout(by, never).await.is_err());
                answer
            }
        }
    }
}

#[async_trait]
impl JobQueue for TestQueue {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        self.inner.enqueue(jobs).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        let size = usize::try_from(request.most).unwrap();
        self.around(Call::Claim, size, self.inner.claim(request)).await
    }

    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        self.around(Call::Heartbeat, leases.len(), self.inner.heartbeat(leases, lease)).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        let poison = *self.poison.lock().unwrap();
        let is_poisoned = settlements.iter().any(|settlement| Some(settlement.lease.job) == poison);
        let held = *self.held.lock().unwrap();
        let is_held = settlements.iter().any(|settlement| Some(settlement.lease.job) == held);
        let work = async {
            if is_held {
                return Err(QueueError::Unavailable { source: "held".into() });
            }
            if is_poisoned {
                return Err(QueueError::Corrupt { source: "poisoned".into() });
            }
            self.inner.settle(settlements).await
        };
        self.around(Call::Settle, settlements.len(), work).await
    }

    async fn wait(&self, timeout: Duration) {
        if self.hints_are_wrong {
            // Something has to pass, or the paused clock would stand still for ever.
            return self.inner.wait(ms(1).min(timeout)).await;
        }
        self.inner.wait(timeout).await;
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        let size = usize::try_from(most).unwrap();
        self.around(Call::Reap, size, self.inner.reap(max_rescues, most)).await
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        self.inner.raise_epochs(above).await
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        self.inner.cancel(key).await
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        self.inner.find(key).await
    }

    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        self.inner.list(state, page).await
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        self.inner.replay(job).await
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        self.inner.stats(kinds).await
    }
}
