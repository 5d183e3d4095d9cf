//! A backend whose counts and sightings are never answered, as those of a database that is silent, and whose audit may be slow.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vip_core::model::{
    Account, AccountId, ChainHead, IdempotencyKey, InstallationId, Job, JobId, JobKey, JobKind, JobState, NewJob,
    Operation, OperationId, Page, PageRequest, SealedRecord, Server, ServerId, Sighting, TenantId, Timestamp,
};
use vip_core::ports::{
    Backend, ChangeSet, ClaimRequest, Claimed, Committed, Delivery, Durability, Enqueued, JobQueue, KeyRecord,
    LeaseRef, Loaded, Note, QueueError, QueueStats, RecordedRef, Retention, SealReport, ServerVersions, Settled,
    Settlement, SinkName, Stalled, Store, StoreError, StoreStats, Trimmed,
};
use vip_tests::site::pause;

/// Takes counts and sightings away from a backend.
pub(crate) fn silent(backend: impl Into<Backend>) -> Backend {
    slow_audit(backend, Duration::ZERO)
}

/// Makes each read of sealed records take its time, besides.
pub(crate) fn slow_audit(backend: impl Into<Backend>, read: Duration) -> Backend {
    let backend = backend.into();
    Backend::new(Arc::new(SilentStore(backend.store, read)), Arc::new(SilentQueue(backend.queue)))
}

/// Is a store, and how long a read of sealed records takes.
#[derive(Debug)]
struct SilentStore(Arc<dyn Store>, Duration);

#[derive(Debug)]
struct SilentQueue(Arc<dyn JobQueue>);

#[async_trait]
impl Store for SilentStore {
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        std::future::pending().await
    }
    fn durability(&self) -> Durability {
        self.0.durability()
    }
    async fn installation(&self) -> Result<InstallationId, StoreError> {
        self.0.installation().await
    }
    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        self.0.commit(change).await
    }
    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        self.0.note(note).await
    }
    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        self.0.load(tenant, server).await
    }
    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        self.0.operation(tenant, id).await
    }
    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.0.key(tenant, key).await
    }
    async fn servers(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Server>, StoreError> {
        self.0.servers(tenant, page).await
    }
    async fn operations(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Operation>, StoreError> {
        self.0.operations(tenant, page).await
    }
    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError> {
        self.0.references(account).await
    }
    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError> {
        self.0.locate(servers).await
    }
    async fn sightings(&self, _account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        std::future::pending().await
    }
    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError> {
        self.0.sight(account, sightings).await
    }
    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError> {
        self.0.stalled(stall_after, furthest_ahead, most).await
    }
    async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        self.0.account(account).await
    }
    async fn save_account(&self, account: &Account) -> Result<(), StoreError> {
        self.0.save_account(account).await
    }
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.0.now().await
    }
    async fn writable(&self) -> Result<(), StoreError> {
        self.0.writable().await
    }
    async fn seal(&self, most: u32) -> Result<SealReport, StoreError> {
        self.0.seal(most).await
    }
    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError> {
        pause(self.1).await;
        self.0.sealed(tenant, after, most).await
    }
    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        self.0.chain_head(tenant).await
    }
    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError> {
        self.0.versions(tenant, after, most).await
    }
    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError> {
        self.0.tenants(after, most).await
    }
    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError> {
        self.0.deliverable(sink, most).await
    }
    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        self.0.delivered(sink, tenant, sequence).await
    }
    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.0.trim(retention).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}

#[async_trait]
impl JobQueue for SilentQueue {
    async fn stats(&self, _kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        std::future::pending().await
    }
    fn durability(&self) -> Durability {
        self.0.durability()
    }
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        self.0.enqueue(jobs).await
    }
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        self.0.claim(request).await
    }
    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        self.0.heartbeat(leases, lease).await
    }
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        self.0.settle(settlements).await
    }
    async fn wait(&self, timeout: Duration) {
        self.0.wait(timeout).await;
    }
    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        self.0.reap(max_rescues, most).await
    }
    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        self.0.raise_epochs(above).await
    }
    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        self.0.cancel(key).await
    }
    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        self.0.find(key).await
    }
    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        self.0.list(state, page).await
    }
    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        self.0.replay(job).await
    }
}
