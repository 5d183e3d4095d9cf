//! Accepts orders inside a transaction that the host has begun and will end.

use async_trait::async_trait;
use sqlx::{Acquire, Postgres};
use vip_core::CommandError;
use vip_core::model::{IdempotencyKey, InstallationId, Operation, OperationId, ServerId, TenantId, Timestamp};
use vip_core::ports::{ChangeSet, CommandStore, Committed, KeyRecord, Loaded, StoreError};
use vip_core::provisioner::{OperationHandle, PreparedOrder};
use vip_core::telemetry;

use crate::unread_accounts::UnreadAccounts;

use super::PostgresBackend;
use super::error::{Failure, Obstacle};
use super::session::{Sessions, Write};
use super::transaction::{Scope, Transaction};
use super::{keys, rows};

impl PostgresBackend {
    /// Accepts a prepared order, or deletion, inside a transaction of the host's own: it exists exactly when that is
    /// committed. Until then nobody else sees it, the returned handle included.
    ///
    /// The transaction has to reach the database of this backend, with the rights of its role, and has to be begun by
    /// sqlx's `begin`. Nothing is repeated here: after an error that may pass, the host begins a transaction anew. The
    /// same prepared order may be accepted again, also if nobody knows whether the first transaction was committed.
    ///
    /// # Guarantees
    ///
    /// * The answers are those of the order that is awaited: the key's old operation, a conflict, the quota's refusal.
    /// * The isolation level is the host's: at `REPEATABLE READ` and `SERIALIZABLE` what others have committed since the
    ///   transaction's first statement is not seen, and what meets it fails as any other error.
    /// * After a refusal (`Invalid`, `IdempotencyConflict`, `QuotaExceeded`, `NotFound`) the transaction is as it was
    ///   before, and may go on. After any other error it has to be rolled back.
    /// * Of two transactions with one key the second waits for the first to end, as long as its `lock_timeout` says.
    ///
    /// # Errors
    ///
    /// [`CommandError`], but never `OutcomeUnknown`: what becomes of the order is told by the host's own commit.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, what it wrote is taken back before anything else that the transaction does; if it is dropped at
    /// its very beginning, the whole transaction is. So roll it back.
    pub async fn accept_in(
        &self,
        transaction: &mut sqlx::Transaction<'_, Postgres>,
        order: &PreparedOrder,
    ) -> Result<OperationHandle, CommandError> {
        if *self.shared.closing.borrow() {
            return Err(StoreError::from(Failure::unavailable(Obstacle::Closed)).into());
        }
        let mut host =
            HostTransaction { transaction, sessions: self.sessions(), unread_accounts: self.unread_accounts() };
        let (installation, _now) = host.look().await.map_err(StoreError::from)?;
        if installation != order.installation() {
            return Err(StoreError::from(Failure::corrupt(Obstacle::OtherInstallation)).into());
        }
        order.accept(&mut host).await
    }
}

/// Is a store inside the transaction of a host.
#[derive(Debug)]
struct HostTransaction<'t, 'c> {
    transaction: &'t mut sqlx::Transaction<'c, Postgres>,
    sessions: &'t Sessions,
    unread_accounts: &'t UnreadAccounts,
}

impl HostTransaction<'_, '_> {
    /// Returns a view of the transaction for statements that leave it as it is.
    fn reading(&mut self) -> Transaction<'_> {
        let scope = Scope { now: None, named: self.sessions.lanes.named, commits_each: false };
        Transaction::new(self.transaction, &self.sessions.queries, scope)
    }

    /// Returns the installation that the connection reaches, and the time.
    async fn look(&mut self) -> Result<(InstallationId, Timestamp), Failure> {
        let query = self.sessions.queries.host_look.query().bind(self.sessions.bound_now());
        let row = self.reading().row(query).await?.ok_or_else(|| Failure::corrupt(Obstacle::NoInstallation))?;
        Ok((rows::id(&row, "id", InstallationId::from_uuid)?, rows::time(&row, "now")?))
    }

    /// Writes behind a savepoint: a refusal leaves the host's transaction as it was.
    async fn write_apart(&mut self, change: &ChangeSet) -> Result<Committed, Failure> {
        let (_installation, now) = self.look().await?;
        let scope = Scope { now: Some(now), named: self.sessions.lanes.named, commits_each: false };
        // sqlx takes it back if this future is dropped: a part of a change set is never committed.
        let mut apart = self.transaction.begin().await?;
        match change.write(&mut Transaction::new(&mut apart, &self.sessions.queries, scope)).await {
            Ok(committed) => {
                // Heard when the host has committed; behind a pooler nobody listens.
                if self.sessions.lanes.named {
                    Transaction::new(&mut apart, &self.sessions.queries, scope)
                        .rows(self.sessions.ring_in_host())
                        .await?;
                }
                apart.commit().await.map(|()| committed).map_err(Failure::from)
            }
            Err(failure) => {
                if let Err(error) = apart.rollback().await {
                    telemetry::tell(|| tracing::debug!(%error, "the connection of the host broke during an order"));
                }
                Err(failure)
            }
        }
    }
}

#[async_trait]
impl CommandStore for HostTransaction<'_, '_> {
    async fn key(&mut self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        let query = keys::query(&self.sessions.queries, &[(tenant.clone(), key.clone())]);
        Ok(self.reading().row(query).await?.as_ref().map(rows::key_record).transpose()?)
    }

    async fn operation(&mut self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let query = self.sessions.queries.operation_find.query().bind(id.as_uuid()).bind(tenant.to_string());
        Ok(self.reading().row(query).await?.as_ref().map(rows::operation).transpose()?)
    }

    async fn load(&mut self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        let query = self.sessions.queries.server_load.query().bind(server.as_uuid()).bind(tenant.to_string());
        let query = query.bind(self.sessions.bound_now());
        let row = self.reading().row(query).await?;
        Ok(row.map(|row| rows::loaded(&row, self.unread_accounts)).transpose()?)
    }

    async fn write(&mut self, change: &ChangeSet) -> Result<Committed, StoreError> {
        Ok(self.write_apart(change).await?)
    }
}
