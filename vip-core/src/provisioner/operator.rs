//! What an operator does: look at jobs, sightings and gates, verify the audit, replay what is dead.

use std::time::Duration;

use super::Shared;
use super::catalogs::CatalogError;
use crate::model::{
    Account, AccountId, Actor, ChainHead, SealedRecord, ServerId, Sighting, TenantId, TokenDigest, Vouched,
};
use crate::ports::{StoreError, StoreStats};
use crate::provisioning::converge::{self, OperateError, Restored};
use crate::provisioning::sweep::{Sweep, SweepMode, SweepReport};
use crate::provisioning::{self, AuditFault, AuditReport, ConfirmError, TokenCheck};
use crate::relay;
use crate::resilience::{BreakerMode, BreakerView, BudgetView, Stack};

/// Speaks for the operator of this installation; sees all tenants.
#[derive(Debug, Clone)]
pub struct Operator {
    pub(super) shared: Shared,
}

impl Operator {
    pub(super) const fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Seals what is committed and verifies a tenant's audit chain, against an exported head if there is one. A store may
    /// leave a chain that it found broken alone for a minute, also if it was repaired meanwhile: SQLite does.
    ///
    /// Every record of the tenant is read, in batches and however many there are.
    ///
    /// # Errors
    ///
    /// [`AuditFault`] names the sequence number, or the version, that does not fit.
    pub async fn verify_audit(
        &self,
        tenant: &TenantId,
        exported: Option<&ChainHead>,
    ) -> Result<AuditReport, AuditFault> {
        relay::seal_all(self.shared.context.store.as_ref()).await?;
        provisioning::verify_audit(&self.shared.context, tenant, exported).await
    }

    /// Reads a tenant's sealed audit records with numbers above `after`, at most 500.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    pub async fn audit(&self, tenant: &TenantId, after: u64) -> Result<Vec<SealedRecord>, StoreError> {
        self.shared.context.store.sealed(tenant, after, 500).await
    }

    /// Reads the end of a tenant's chain as the store remembers it, without verifying anything. The last records are those above its
    /// number less 500.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    pub async fn audit_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        self.shared.context.store.chain_head(tenant).await
    }

    /// Sweeps an account now, beside the scheduled sweeps.
    ///
    /// # Errors
    ///
    /// What went wrong beneath, in words; nothing was removed.
    pub async fn sweep(&self, account: &AccountId, mode: SweepMode) -> Result<SweepReport, SweepFailed> {
        let sweep = Sweep::new(self.shared.context.clone(), mode).map_err(SweepFailed::new)?;
        let sweep = sweep.with_prices(self.shared.catalogs.clone());
        sweep.once(account).await.map_err(|source| SweepFailed { source })
    }

    /// Forgets the catalog of an account, here and in the shared cache; the next reader has it loaded.
    ///
    /// # Errors
    ///
    /// [`CatalogError::NotInvalidated`] if the shared cache may still have it; this process does not serve it then.
    pub async fn forget_catalog(&self, account: &AccountId) -> Result<(), CatalogError> {
        self.shared.catalogs.invalidate(account).await
    }

    /// Lists in what an account and the records disagreed at the last sweep.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    pub async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        self.shared.context.store.sightings(account).await
    }

    /// Forgets in what an account and the records disagreed: for one that was taken out of the configuration. Only its own sweeps write
    /// that anew, so health would tell of it for ever. If it is swept after all, the next sweep begins from nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be used; repeating it is harmless.
    pub async fn forget_sightings(&self, account: &AccountId) -> Result<(), StoreError> {
        self.shared.context.store.sight(account, &[]).await
    }

    /// Lists the accounts that this process has a client of.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountId> {
        self.shared.stacks.keys().cloned().collect()
    }

    /// Shows what is known of an account and its tokens.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    pub async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        self.shared.context.store.account(account).await
    }

    /// Checks this process's token of an account, if that is due.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be used.
    pub async fn check_token(&self, account: &AccountId) -> Result<TokenCheck, StoreError> {
        provisioning::check_token(&self.shared.context, account).await
    }

    /// Vouches for a token that is suspect: its account is looked at and changed again, and says who vouched. `missing` is
    /// [`Account::missing_seen`](crate::model::Account::missing_seen) as the operator saw it: those servers may be given up as lost.
    ///
    /// # Errors
    ///
    /// [`ConfirmError::MoreMissing`] if more are missing by now; [`ConfirmError::Store`] if it could not be written.
    pub async fn confirm_token(
        &self,
        actor: &Actor,
        account: &AccountId,
        digest: &TokenDigest,
        missing: u64,
    ) -> Result<(), ConfirmError> {
        let context = &self.shared.context;
        let vouched = Vouched { by: actor.clone(), at: context.store.now().await?, missing };
        provisioning::confirm_token(context, account, digest, &vouched).await
    }

    /// Shows this process's breaker of an account.
    ///
    /// # Errors
    ///
    /// [`UnknownAccount`] if this process has no client of the account.
    pub fn breaker(&self, account: &AccountId) -> Result<BreakerView, UnknownAccount> {
        Ok(self.stack(account)?.breaker.view())
    }

    /// Tells this process's breaker of an account how to behave, until it is told otherwise or the process ends.
    ///
    /// # Errors
    ///
    /// [`UnknownAccount`] if this process has no client of the account.
    pub fn set_breaker(&self, account: &AccountId, mode: BreakerMode) -> Result<(), UnknownAccount> {
        self.stack(account)?.breaker.set_mode(mode);
        Ok(())
    }

    /// Shows what this process knows of an account's request budget.
    ///
    /// # Errors
    ///
    /// [`UnknownAccount`] if this process has no client of the account.
    pub fn budget(&self, account: &AccountId) -> Result<BudgetView, UnknownAccount> {
        Ok(self.stack(account)?.budget.view())
    }

    /// Returns how long ago this process last swept an account by itself to the end; if it never has, for how long its sweeps have
    /// failed; none if none has ended either way. Other processes may have swept it since, and [`sweep`](Self::sweep) does not count.
    #[must_use]
    pub fn last_sweep_age(&self, account: &AccountId) -> Option<Duration> {
        self.shared.sweeps.age(account)
    }

    fn stack(&self, account: &AccountId) -> Result<&Stack, UnknownAccount> {
        self.shared.stacks.get(account).ok_or_else(|| UnknownAccount { account: account.clone() })
    }

    /// Parks every server that is not as it should be, after a backup was put back: nothing is bought or removed for
    /// it until [`resume`](Self::resume). To be called on a `client_only` product before workers start.
    ///
    /// # Errors
    ///
    /// [`OperateError`]; repeating it goes on where it ended.
    pub async fn mark_restored(&self, actor: &Actor) -> Result<Restored, OperateError> {
        converge::mark_restored(&self.shared.context, actor).await
    }

    /// Lets a parked server go on where it was, whatever it is parked for.
    ///
    /// # Errors
    ///
    /// [`OperateError`] if there is no such server, or it is not parked; repeating it is harmless.
    pub async fn resume(&self, actor: &Actor, tenant: &TenantId, server: ServerId) -> Result<(), OperateError> {
        converge::resume(&self.shared.context, actor, tenant, server).await
    }

    /// Counts what else waits for somebody.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    pub async fn store_stats(&self) -> Result<StoreStats, StoreError> {
        self.shared.context.store.stats().await
    }
}

/// Says that this process has no client of an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this process has no client of the account {account}")]
#[non_exhaustive]
pub struct UnknownAccount {
    /// The account.
    pub account: AccountId,
}

/// Says that a sweep did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the sweep failed")]
#[non_exhaustive]
pub struct SweepFailed {
    /// What happened beneath.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SweepFailed {
    fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}
