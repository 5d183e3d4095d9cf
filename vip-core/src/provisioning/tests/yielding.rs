//! Ports that let everybody else have a turn before and after each call: those of the memory backend answer at once, so that
//! nothing ever comes between two of their calls.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::task::yield_now;

use super::*;
use crate::model::{
    Account, ChainHead, Effect, Page, PageRequest, ProviderActionId, ProviderName, ProviderServerId, SealedRecord,
    Sighting, TokenDigest,
};
use crate::ports::{
    ActionView, Catalog, ChangeSet, Committed, CreateRequest, Created, Deletion, Delivery, Durability, InventoryPage,
    KeyRecord, Loaded, Note, Outlook, ProviderError, RecordedRef, RequestContext, Retention, SealReport,
    ServerVersions, ServerView, SinkName, Stalled, Store, StoreError, StoreStats, Trimmed,
};

impl Product {
    /// Makes a product whose store and client yield; returns the store beside it.
    pub(super) async fn yielding() -> (Self, Arc<YieldingStore>) {
        let Self { context, provider, memory, converge: _ } = Self::new().await;
        let store = Arc::new(YieldingStore::new(context.store.clone()));
        let client: Arc<dyn ProviderClient> = Arc::new(YieldingClient(provider.clone()));
        let providers = Arc::new(BTreeMap::from([(AccountId::default_account(), client)]));
        let context = Context { store: store.clone(), providers, ..context };
        let converge = Converge::new(context.clone()).unwrap();
        (Self { context, provider, memory, converge }, store)
    }
}

/// Makes a call between two turns of everybody else.
async fn yields<T>(call: impl Future<Output = T>) -> T {
    yield_now().await;
    let answer = call.await;
    yield_now().await;
    answer
}

/// Is a store whose calls yield; it counts what shows that callers met.
#[derive(Debug)]
pub(super) struct YieldingStore {
    inner: Arc<dyn Store>,
    commits: AtomicUsize,
    commits_at_once: AtomicUsize,
    keys_taken: AtomicUsize,
}

impl YieldingStore {
    fn new(inner: Arc<dyn Store>) -> Self {
        let zero = || AtomicUsize::new(0);
        Self { inner, commits: zero(), commits_at_once: zero(), keys_taken: zero() }
    }

    /// Returns how many commits were under way at one time, at the most.
    pub(super) fn commits_at_once(&self) -> usize {
        self.commits_at_once.load(Ordering::SeqCst)
    }

    /// Returns how often a commit was refused because its key was taken.
    pub(super) fn keys_taken(&self) -> usize {
        self.keys_taken.load(Ordering::SeqCst)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Store for YieldingStore {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn installation(&self) -> Result<InstallationId, StoreError> {
        yields(self.inner.installation()).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        let under_way = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        self.commits_at_once.fetch_max(under_way, Ordering::SeqCst);
        let answer = yields(self.inner.commit(change)).await;
        self.commits.fetch_sub(1, Ordering::SeqCst);
        let is_taken = matches!(answer, Err(StoreError::KeyTaken));
        self.keys_taken.fetch_add(usize::from(is_taken), Ordering::SeqCst);
        answer
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        yields(self.inner.note(note)).await
    }

    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        yields(self.inner.load(tenant, server)).await
    }

    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        yields(self.inner.operation(tenant, id)).await
    }

    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        yields(self.inner.key(tenant, key)).await
    }

    async fn servers(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Server>, StoreError> {
        yields(self.inner.servers(tenant, page)).await
    }

    async fn operations(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Operation>, StoreError> {
        yields(self.inner.operations(tenant, page)).await
    }

    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError> {
        yields(self.inner.references(account)).await
    }

    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError> {
        yields(self.inner.locate(servers)).await
    }

    async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        yields(self.inner.sightings(account)).await
    }

    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError> {
        yields(self.inner.sight(account, sightings)).await
    }

    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError> {
        yields(self.inner.stalled(stall_after, furthest_ahead, most)).await
    }

    async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        yields(self.inner.account(account)).await
    }

    async fn save_account(&self, account: &Account) -> Result<(), StoreError> {
        yields(self.inner.save_account(account)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        yields(self.inner.now()).await
    }

    async fn writable(&self) -> Result<(), StoreError> {
        yields(self.inner.writable()).await
    }

    async fn seal(&self, most: u32) -> Result<SealReport, StoreError> {
        yields(self.inner.seal(most)).await
    }

    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError> {
        yields(self.inner.sealed(tenant, after, most)).await
    }

    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        yields(self.inner.chain_head(tenant)).await
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError> {
        yields(self.inner.versions(tenant, after, most)).await
    }

    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError> {
        yields(self.inner.tenants(after, most)).await
    }

    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError> {
        yields(self.inner.deliverable(sink, most)).await
    }

    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        yields(self.inner.delivered(sink, tenant, sequence)).await
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        yields(self.inner.trim(retention)).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        yields(self.inner.stats()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        yields(self.inner.close()).await
    }
}

/// Is the memory provider whose calls yield.
#[derive(Debug)]
struct YieldingClient(MemoryProvider);

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for YieldingClient {
    fn token_digest(&self) -> TokenDigest {
        self.0.token_digest()
    }

    fn outlook(&self) -> Outlook {
        self.0.outlook()
    }

    async fn reserve(&self, effect: &Effect, context: RequestContext) -> Result<RequestContext, ProviderError> {
        yields(self.0.reserve(effect, context)).await
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        yields(self.0.create(request, context)).await
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        yields(self.0.find(name, context)).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        yields(self.0.find_labelled(owner, server, context)).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        yields(self.0.get(id, context)).await
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        yields(self.0.delete(id, context)).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        yields(self.0.actions(ids, context)).await
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        yields(self.0.inventory(owner, page, context)).await
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        yields(self.0.catalog(context)).await
    }
}
