//! A store that is silent, or panics, once a shutdown begins: every sink is closed all the same.

use async_trait::async_trait;

use super::sink_tests::{Manner, Sink, memory, order, pass};
use super::*;
use crate::memory::MemoryProvider;
use crate::model::{
    Account, ChainHead, IdempotencyKey, Operation, OperationId, Page, PageRequest, SealedRecord, Server, ServerId,
    Sighting, TenantId, Timestamp,
};
use crate::ports::{
    ChangeSet, Committed, Delivery, Durability, KeyRecord, Loaded, Note, RecordedRef, Retention, SealReport,
    ServerVersions, SinkName, Stalled, Store, StoreError, StoreStats, Trimmed,
};

/// Is a call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Seal,
    Deliverable,
    Delivered,
}

/// Says how it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Silent,
    Panics,
}

/// Is a store one of whose calls fails, once it is told to.
#[derive(Debug)]
struct FailingStore {
    inner: Arc<dyn Store>,
    fails: (Call, Fault),
    begun: Arc<AtomicBool>,
}

impl FailingStore {
    async fn call(&self, call: Call) {
        if self.fails.0 != call || !self.begun.load(Ordering::SeqCst) {
            return;
        }
        match self.fails.1 {
            Fault::Silent => std::future::pending().await,
            Fault::Panics => panic!("a store that panics"),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for FailingStore {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn installation(&self) -> Result<InstallationId, StoreError> {
        self.inner.installation().await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        self.inner.commit(change).await
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        self.inner.note(note).await
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
        self.inner.stalled(stall_after, furthest_ahead, most).await
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
        self.call(Call::Seal).await;
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
        self.call(Call::Deliverable).await;
        self.inner.deliverable(sink, most).await
    }

    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        self.call(Call::Delivered).await;
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

#[tokio::test(start_paused = true)]
async fn a_store_that_is_silent_or_panics_keeps_no_sink_from_being_closed() {
    let calls = [Call::Seal, Call::Deliverable, Call::Delivered];
    for fails in calls.into_iter().flat_map(|call| [(call, Fault::Silent), (call, Fault::Panics)]) {
        let (backend, begun) = (Backend::from(memory()), Arc::new(AtomicBool::new(false)));
        let store = FailingStore { inner: backend.store.clone(), fails, begun: begun.clone() };
        let backend = Backend { store: Arc::new(store), ..backend };
        let sink = Sink::new(Manner::Takes);
        let builder = Provisioner::builder(backend).provider(MemoryProvider::default());
        let provisioner = builder.audit_sink(sink.clone()).start().await.unwrap();
        order(&provisioner, "web-1").await;
        pass(Duration::from_secs(3)).await;
        assert!(sink.seen().records > 0);
        order(&provisioner, "web-2").await;
        begun.store(true, Ordering::SeqCst);
        let report = provisioner.shutdown(Duration::from_secs(5)).await;
        assert_eq!((sink.seen().closed, report.tasks_left), (1, 0), "{fails:?}: {report}");
        let end = if fails.1 == Fault::Panics { "phase audit panicked" } else { "phase audit was cut" };
        assert!(report.to_string().contains(end) && !report.is_clean(), "{fails:?}: {report}");
    }
}
