//! The part of a store that a command needs, so that it can be accepted inside a transaction of a host's own, too.

use std::fmt;

use async_trait::async_trait;

use super::{ChangeSet, Committed, KeyRecord, Loaded, StoreError};
use crate::model::{IdempotencyKey, Operation, OperationId, ServerId, TenantId};

/// Reads what a command is decided by, and writes its change set.
///
/// A [`Store`](super::Store) does so with commits of its own. A SQL adapter does so inside a transaction that its host
/// has begun and will end; it exposes neither.
///
/// # Contract
///
/// * Reads see what was written before through the same value.
/// * A change set is written whole or not at all; after a refusal (`Conflict`, `KeyTaken`, `QuotaExceeded`) nothing of it
///   is there, and the next call works.
/// * Repeating a change set that was applied, in whatever transaction, answers `replayed`.
#[async_trait]
pub trait CommandStore: fmt::Debug + Send {
    /// Reads what an idempotency key stands for.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn key(&mut self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError>;

    /// Reads an operation.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn operation(&mut self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError>;

    /// Reads a server with all that a decision may look at.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn load(&mut self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError>;

    /// Writes one change, guarded and audited.
    ///
    /// # Errors
    ///
    /// [`StoreError`] as of [`Store::commit`](super::Store::commit).
    async fn write(&mut self, change: &ChangeSet) -> Result<Committed, StoreError>;
}
