//! `Store` with calls that go wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use vip_core::model::{
    Account, AccountId, ChainHead, IdempotencyKey, InstallationId, Operation, OperationId, Page, PageRequest,
    SealedRecord, Server, ServerId, Sighting, TenantId, Timestamp,
};
use vip_core::ports::{
    ChangeSet, Committed, Delivery, Durability, KeyRecord, Loaded, Note, RecordedRef, Retention, SealReport,
    ServerVersions, SinkName, Stalled, Store, StoreError, StoreStats, Trimmed,
};

use super::Link;
use crate::method::Method;

/// Remembers what was last read, for reads that are stale; all processes share it.
#[derive(Debug, Default, Clone)]
pub struct Reads(Arc<Mutex<BTreeMap<ServerId, Loaded>>>);

/// Lets calls of a store go wrong.
#[derive(Debug)]
pub struct FaultyStore {
    link: Link,
    inner: Arc<dyn Store>,
    reads: Reads,
}

impl FaultyStore {
    /// Decorates a store.
    #[must_use]
    pub fn new(link: Link, inner: Arc<dyn Store>, reads: Reads) -> Self {
        Self { link, inner, reads }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn installation(&self) -> Result<InstallationId, StoreError> {
        self.link.read(Method::Installation, &(), || self.inner.installation(), |_| None).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        let later = || {
            let (inner, change) = (self.inner.clone(), change.clone());
            Box::pin(async move { drop(inner.commit(&change).await) }) as super::Effect
        };
        self.link.write(Method::Commit, change, || self.inner.commit(change), later).await
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        let later = || {
            let (inner, note) = (self.inner.clone(), note.clone());
            Box::pin(async move { drop(inner.note(&note).await) }) as super::Effect
        };
        self.link.write(Method::Note, note, || self.inner.note(note), later).await
    }

    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        let stale = |_| self.reads.0.lock().unwrap().get(&server).cloned().map(Some);
        let call = || self.inner.load(tenant, server);
        let answer = self.link.read(Method::Load, &(tenant, server), call, stale).await;
        if let Ok(Some(loaded)) = &answer {
            self.reads.0.lock().unwrap().insert(server, loaded.clone());
        }
        answer
    }

    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let call = || self.inner.operation(tenant, id);
        self.link.read(Method::Operation, &(tenant, id), call, |_| None).await
    }

    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        let call = || self.inner.key(tenant, key);
        self.link.read(Method::Key, &(tenant, key), call, |_| Some(None)).await
    }

    async fn servers(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Server>, StoreError> {
        self.link.read(Method::Servers, &(tenant, page), || self.inner.servers(tenant, page), |_| None).await
    }

    async fn operations(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Operation>, StoreError> {
        self.link.read(Method::Operations, &(tenant, page), || self.inner.operations(tenant, page), |_| None).await
    }

    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError> {
        self.link.read(Method::References, account, || self.inner.references(account), |_| None).await
    }

    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError> {
        self.link.read(Method::Locate, &servers, || self.inner.locate(servers), |_| None).await
    }

    async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        self.link.read(Method::Sightings, account, || self.inner.sightings(account), |_| None).await
    }

    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError> {
        let later = || {
            let (inner, account, sightings) = (self.inner.clone(), account.clone(), sightings.to_vec());
            Box::pin(async move { drop(inner.sight(&account, &sightings).await) }) as super::Effect
        };
        let args = (account, sightings);
        self.link.write(Method::Sight, &args, || self.inner.sight(account, sightings), later).await
    }

    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError> {
        self.link.read(Method::Stalled, &most, || self.inner.stalled(stall_after, furthest_ahead, most), |_| None).await
    }

    async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        self.link.read(Method::Account, account, || self.inner.account(account), |_| None).await
    }

    async fn save_account(&self, account: &Account) -> Result<(), StoreError> {
        let later = || {
            let (inner, account) = (self.inner.clone(), account.clone());
            Box::pin(async move { drop(inner.save_account(&account).await) }) as super::Effect
        };
        self.link.write(Method::SaveAccount, account, || self.inner.save_account(account), later).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.link.read(Method::StoreUpkeep, &(), || self.inner.now(), |_| None).await
    }

    async fn seal(&self, most: u32) -> Result<SealReport, StoreError> {
        self.link.read(Method::Seal, &most, || self.inner.seal(most), |_| None).await
    }

    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError> {
        self.link.read(Method::StoreUpkeep, tenant, || self.inner.sealed(tenant, after, most), |_| None).await
    }

    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        self.link.read(Method::StoreUpkeep, tenant, || self.inner.chain_head(tenant), |_| None).await
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError> {
        self.link.read(Method::StoreUpkeep, tenant, || self.inner.versions(tenant, after, most), |_| None).await
    }

    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError> {
        self.link.read(Method::StoreUpkeep, &most, || self.inner.tenants(after.clone(), most), |_| None).await
    }

    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError> {
        self.link.read(Method::StoreUpkeep, sink, || self.inner.deliverable(sink, most), |_| None).await
    }

    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        let call = || self.inner.delivered(sink, tenant, sequence);
        self.link.read(Method::StoreUpkeep, tenant, call, |_| None).await
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        self.link.read(Method::StoreUpkeep, &(), || self.inner.trim(retention), |_| None).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.link.read(Method::StoreUpkeep, &(), || self.inner.stats(), |_| None).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
