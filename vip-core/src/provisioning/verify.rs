//! Verifies a tenant's audit chain: numbers and hashes, one record for each version, and exported heads.

use super::context::Context;
use crate::model::{ChainFault, ChainHead, TenantId, VersionFault, verify_chain, verify_versions};
use crate::ports::{Store, StoreError};

/// Sealed records that are read at once.
const BATCH: u32 = 500;
/// Most batches of one verification: ten million records.
const BATCHES: u32 = 20_000;

/// Says that a chain is whole, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// Records that were checked.
    pub records: u64,
    /// Servers whose versions were checked.
    pub servers: usize,
    /// End of the chain; export it, so that a truncation can be seen later.
    pub head: ChainHead,
}

/// Says why a chain is not whole, or could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// Numbers or hashes do not fit.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// A version has no record, or several.
    #[error(transparent)]
    Version(#[from] VersionFault),
    /// The store could not be read.
    #[error("audit records could not be read")]
    Store(#[from] StoreError),
}

/// Verifies the chain of a tenant, against an exported head if there is one.
///
/// # Errors
///
/// [`AuditFault`] names the first sequence number, or the version, that does not fit.
pub async fn verify_audit(
    context: &Context,
    tenant: &TenantId,
    exported: Option<&ChainHead>,
) -> Result<AuditReport, AuditFault> {
    verify(context.store.as_ref(), tenant, exported).await
}

/// Verifies the chain of a tenant in a store.
pub(super) async fn verify(
    store: &dyn Store,
    tenant: &TenantId,
    exported: Option<&ChainHead>,
) -> Result<AuditReport, AuditFault> {
    // The remembered head first: records sealed meanwhile are then beyond it, never missing.
    let remembered = store.chain_head(tenant).await?;
    let mut head = ChainHead::empty(tenant);
    for _ in 0..BATCHES {
        let records = store.sealed(tenant, head.sequence, BATCH).await?;
        if records.is_empty() {
            break;
        }
        for record in &records {
            let next = verify_chain(&head, std::slice::from_ref(record))?;
            if let Some(exported) = exported
                && exported.sequence == next.sequence
                && exported.hash != next.hash
            {
                return Err(ChainFault::OtherHistory { sequence: next.sequence }.into());
            }
            head = next;
        }
    }
    let needed = exported.map_or(0, |exported| exported.sequence).max(remembered.sequence);
    if head.sequence < needed {
        return Err(ChainFault::Truncated { found: head.sequence, exported: needed }.into());
    }
    let versions = store.versions(tenant).await?;
    verify_versions(&versions.current, &versions.recorded)?;
    Ok(AuditReport { records: head.sequence, servers: versions.current.len(), head })
}
