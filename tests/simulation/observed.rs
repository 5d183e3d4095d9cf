//! Watches what really reaches store and queue, in order, beneath all faults: the history that P3 is checked on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use vip_core::model::{
    Account, AccountId, ChainHead, ClaimId, IdempotencyKey, InstallationId, Job, JobId, JobKey, JobKind, JobState,
    NewJob, Operation, OperationId, OutcomeClass, Page, PageRequest, SealedRecord, Server, ServerId, Sighting,
    TenantId, Timestamp, Verb,
};
use vip_core::ports::{
    ChangeSet, ClaimRequest, Claimed, Committed, Delivery, Durability, Enqueued, Guard, JobQueue, KeyRecord, LeaseRef,
    Loaded, Note, QueueError, QueueStats, RecordedRef, Retention, SealReport, ServerVersions, Settled, Settlement,
    SinkName, Stalled, Store, StoreError, StoreStats, Trimmed, Verdict,
};

use crate::world::World;

/// Names what a commit recorded: verb, effect, outcome.
pub type Arm = (Verb, Option<String>, OutcomeClass);

/// Is what happened at store and queue; shared by all processes.
#[derive(Debug, Clone)]
pub struct History {
    world: Arc<World>,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    /// Highest lease that wrote each record.
    writers: BTreeMap<ServerId, LeaseRef>,
    leases: BTreeMap<JobId, (ClaimId, Instant)>,
    arms: BTreeMap<Arm, u64>,
    waits: u64,
    rests: u64,
    queue_lost: bool,
    stalled_wakes: u64,
}

impl History {
    /// Begins a history.
    #[must_use]
    pub fn new(world: Arc<World>) -> Self {
        Self { world, rows: Arc::default() }
    }

    /// Notes that the queue lost what it held: from now on leases may be doubled, and wakes by time are right.
    pub fn queue_lost(&self) {
        let mut rows = self.rows.lock().unwrap();
        rows.queue_lost = true;
        rows.leases.clear();
    }

    /// Returns how often each arm was recorded, and how many waits and rests were noted.
    #[must_use]
    pub fn arms(&self) -> (BTreeMap<Arm, u64>, u64, u64) {
        let rows = self.rows.lock().unwrap();
        (rows.arms.clone(), rows.waits, rows.rests)
    }

    /// Returns how many records the sweep found stalled.
    #[must_use]
    pub fn stalled_wakes(&self) -> u64 {
        self.rows.lock().unwrap().stalled_wakes
    }

    /// P3: once a successor has written, nothing of an earlier claim changes the record.
    fn wrote(&self, server: ServerId, guard: &Guard) {
        let Some(lease) = guard.lease() else { return };
        let mut rows = self.rows.lock().unwrap();
        if let Some(last) = rows.writers.get(&server)
            && (last.epoch > lease.epoch || (last.epoch == lease.epoch && last.claim != lease.claim))
        {
            self.world.violated(format!("P3: {server} written by epoch {} after epoch {}", lease.epoch, last.epoch));
        }
        rows.writers.insert(server, *lease);
    }

    fn committed(&self, change: &ChangeSet) {
        self.wrote(change.server.id, &change.guard);
        if change.audit.verb == Verb::Reopen {
            self.world.violated(format!("O1: {} was reopened", change.server.id));
        }
        let arm = (change.audit.verb, change.audit.effect.clone(), change.audit.outcome);
        *self.rows.lock().unwrap().arms.entry(arm).or_default() += 1;
    }

    fn claimed(&self, claimed: &[Claimed]) {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        for claimed in claimed {
            let lease = claimed.lease.reference;
            let until = now + claimed.lease.duration;
            let before = rows.leases.insert(lease.job, (lease.claim, until));
            if let Some((_, until)) = before.filter(|(_, until)| *until > now && !rows.queue_lost) {
                self.world.violated(format!("O2: {} leased twice, {:?} before its end", lease.job, until - now));
            }
        }
    }

    fn beaten(&self, leases: &[LeaseRef], held: &[bool], lease: Duration) {
        let until = Instant::now() + lease;
        let mut rows = self.rows.lock().unwrap();
        for (lease, _) in leases.iter().zip(held).filter(|(_, held)| **held) {
            rows.leases.insert(lease.job, (lease.claim, until));
        }
    }

    fn settled(&self, settlements: &[Settlement], answers: &[Settled]) {
        let mut rows = self.rows.lock().unwrap();
        for (settlement, answer) in settlements.iter().zip(answers) {
            if *answer == Settled::Stale {
                continue;
            }
            let lease = settlement.lease;
            let present = rows.leases.remove(&lease.job);
            if !rows.queue_lost && present.is_some_and(|(claim, _)| claim != lease.claim) {
                self.world.violated(format!("P3: {} settled by a claim that was not the present one", lease.job));
            }
            rows.rests += u64::from(settlement.verdict == Verdict::Done);
        }
    }
}

/// Watches a store.
#[derive(Debug)]
pub struct ObservedStore {
    history: History,
    inner: Arc<dyn Store>,
}

impl ObservedStore {
    /// Decorates a store.
    #[must_use]
    pub fn new(history: History, inner: Arc<dyn Store>) -> Self {
        Self { history, inner }
    }
}

/// Watches a queue.
#[derive(Debug)]
pub struct ObservedQueue {
    history: History,
    inner: Arc<dyn JobQueue>,
}

impl ObservedQueue {
    /// Decorates a queue.
    #[must_use]
    pub fn new(history: History, inner: Arc<dyn JobQueue>) -> Self {
        Self { history, inner }
    }
}

#[async_trait]
impl Store for ObservedStore {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    async fn installation(&self) -> Result<InstallationId, StoreError> {
        self.inner.installation().await
    }
    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        let answer = self.inner.commit(change).await;
        if answer.as_ref().is_ok_and(|committed| !committed.replayed) {
            self.history.committed(change);
        }
        answer
    }
    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        let answer = self.inner.note(note).await;
        if answer.is_ok() {
            self.history.wrote(note.server.id, &note.guard);
            self.history.rows.lock().unwrap().waits += 1;
        }
        answer
    }
    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        self.inner.load(tenant, server).await
    }
    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        self.inner.operation(tenant, id).await
    }
    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.inner.key(tenant, key).await
    }
    async fn servers(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Server>, StoreError> {
        self.inner.servers(tenant, page).await
    }
    async fn operations(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Operation>, StoreError> {
        self.inner.operations(tenant, page).await
    }
    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError> {
        self.inner.references(account).await
    }
    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError> {
        self.inner.locate(servers).await
    }
    async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        self.inner.sightings(account).await
    }
    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError> {
        self.inner.sight(account, sightings).await
    }
    async fn stalled(&self, stall_after: Duration, most: u32) -> Result<Vec<Stalled>, StoreError> {
        let stalled = self.inner.stalled(stall_after, most).await?;
        self.history.rows.lock().unwrap().stalled_wakes += u64::try_from(stalled.len()).unwrap_or(0);
        Ok(stalled)
    }
    async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        self.inner.account(account).await
    }
    async fn save_account(&self, account: &Account) -> Result<(), StoreError> {
        self.inner.save_account(account).await
    }
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }
    async fn seal(&self, most: u32) -> Result<SealReport, StoreError> {
        self.inner.seal(most).await
    }
    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError> {
        self.inner.sealed(tenant, after, most).await
    }
    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        self.inner.chain_head(tenant).await
    }
    async fn versions(&self, tenant: &TenantId) -> Result<ServerVersions, StoreError> {
        self.inner.versions(tenant).await
    }
    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError> {
        self.inner.tenants(after, most).await
    }
    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError> {
        self.inner.deliverable(sink, most).await
    }
    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        self.inner.delivered(sink, tenant, sequence).await
    }
    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.inner.trim(retention).await
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

#[async_trait]
impl JobQueue for ObservedQueue {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        self.inner.enqueue(jobs).await
    }
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        let claimed = self.inner.claim(request).await?;
        self.history.claimed(&claimed);
        Ok(claimed)
    }
    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        let held = self.inner.heartbeat(leases, lease).await?;
        self.history.beaten(leases, &held, lease);
        Ok(held)
    }
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        let answers = self.inner.settle(settlements).await?;
        self.history.settled(settlements, &answers);
        Ok(answers)
    }
    async fn wait(&self, timeout: Duration) {
        self.inner.wait(timeout).await;
    }
    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        self.inner.reap(max_rescues, most).await
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
