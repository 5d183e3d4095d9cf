//! Watches what really reaches store and queue, in order, beneath all faults: the history that P3 is checked on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use vip_core::model::{
    Account, AccountId, ChainHead, ClaimId, Desired, IdempotencyKey, InstallationId, Job, JobId, JobKey, JobKind,
    JobState, NewJob, Operation, OperationId, OutcomeClass, Page, PageRequest, SealedRecord, Server, ServerId,
    ServerState, Sighting, TenantId, Timestamp, Verb,
};
use vip_core::ports::{
    ChangeSet, ClaimRequest, Claimed, Committed, Delivery, Durability, Enqueued, Guard, JobQueue, KeyRecord, LeaseRef,
    Loaded, Note, QueueError, QueueStats, RecordedRef, Retention, SealReport, ServerVersions, Settled, Settlement,
    SinkName, Stalled, Store, StoreError, StoreStats, Trimmed, Verdict,
};

use crate::cloud::Cloud;
use crate::world::World;

/// Names what a commit recorded: verb, effect, outcome.
pub type Arm = (Verb, Option<String>, OutcomeClass);

/// Is what happened at store and queue; shared by all processes.
#[derive(Debug, Clone)]
pub struct History {
    world: Arc<World>,
    clouds: Arc<Vec<(AccountId, Cloud)>>,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    /// Claims in the order in which the queue granted them.
    claims: BTreeMap<ClaimId, u64>,
    /// Latest claim that wrote each record, by its place in that order.
    writers: BTreeMap<ServerId, u64>,
    leases: BTreeMap<JobId, (ClaimId, Instant)>,
    arms: BTreeMap<Arm, u64>,
    waits: u64,
    rests: u64,
    queue_lost: bool,
    stalled_wakes: u64,
    /// Whether servers may turn up that nobody expected: something landed after all allowances.
    surprises: bool,
}

impl History {
    /// Begins a history.
    #[must_use]
    pub fn new(world: Arc<World>, clouds: Vec<(AccountId, Cloud)>) -> Self {
        Self { world, clouds: Arc::new(clouds), rows: Arc::default() }
    }

    /// Notes that something lands after all allowances: what turns up then is not anybody's mistake.
    pub fn surprised(&self) {
        self.rows.lock().unwrap().surprises = true;
    }

    /// Notes that store and queue went back to an earlier time.
    pub fn restored(&self) {
        self.queue_lost();
        self.rows.lock().unwrap().writers.clear();
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

    /// P3: once a successor has written, nothing of an earlier claim changes the record. Who came later is told by the
    /// order of the grants, not by the epochs: those are what is being checked.
    fn wrote(&self, server: ServerId, guard: &Guard) {
        let Some(lease) = guard.lease() else { return };
        let mut rows = self.rows.lock().unwrap();
        let Some(place) = rows.claims.get(&lease.claim).copied() else { return };
        if let Some(last) = rows.writers.get(&server).copied().filter(|last| *last > place) {
            self.world.violated(format!("P3: {server} written by claim {place} after claim {last}"));
        }
        rows.writers.insert(server, place);
    }

    fn committed(&self, change: &ChangeSet) {
        self.wrote(change.server.id, &change.guard);
        let server = &change.server;
        if !self.rows.lock().unwrap().surprises {
            let own = server.provider_ref.as_ref().map(|own| &own.id);
            let removed = server.removing.as_ref().filter(|removal| !removal.gone).map(|removal| &removal.id);
            if change.audit.verb == Verb::Reopen {
                self.world.violated(format!("O1: {} was reopened", server.id));
            }
            if server.desired == Desired::Present
                && server.state == ServerState::Running
                && removed.is_some_and(|id| own != Some(id))
            {
                self.world.violated(format!("O1: {} has a second server", server.id));
            }
        }
        if server.state == ServerState::Lost && change.audit.from == Some(ServerState::Running) {
            self.lost(server);
        }
        let arm = (change.audit.verb, change.audit.effect.clone(), change.audit.outcome);
        *self.rows.lock().unwrap().arms.entry(arm).or_default() += 1;
    }

    /// O3: a server counts as lost only when it is gone.
    fn lost(&self, server: &Server) {
        let Some(own) = &server.provider_ref else { return };
        if self.clouds.iter().any(|(account, cloud)| account == &own.account && cloud.has(&own.id)) {
            self.world.violated(format!("O3: {} was called lost while it was there", server.id));
        }
    }

    fn claimed(&self, claimed: &[Claimed]) {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        for claimed in claimed {
            let lease = claimed.lease.reference;
            let place = u64::try_from(rows.claims.len()).unwrap_or(u64::MAX);
            rows.claims.entry(lease.claim).or_insert(place);
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
    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError> {
        let stalled = self.inner.stalled(stall_after, furthest_ahead, most).await?;
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
    async fn writable(&self) -> Result<(), StoreError> {
        self.inner.writable().await
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
    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError> {
        self.inner.versions(tenant, after, most).await
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
