//! What a command is given to unless its host has a transaction of its own: the store, with a commit for each write.

use async_trait::async_trait;

use crate::model::{IdempotencyKey, Operation, OperationId, ServerId, TenantId};
use crate::ports::{ChangeSet, CommandStore, Committed, KeyRecord, Loaded, StoreError};
use crate::provisioning::context::Context;

/// Is the store of a context; writes are repeated until the store says what became of them (F7).
#[derive(Debug)]
pub(super) struct Direct<'c>(pub(super) &'c Context);

#[async_trait]
impl CommandStore for Direct<'_> {
    async fn key(&mut self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.0.store.key(tenant, key).await
    }

    async fn operation(&mut self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        self.0.store.operation(tenant, id).await
    }

    async fn load(&mut self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        self.0.store.load(tenant, server).await
    }

    async fn write(&mut self, change: &ChangeSet) -> Result<Committed, StoreError> {
        self.0.commit(change).await
    }
}
