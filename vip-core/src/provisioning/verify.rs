//! Verifies a tenant's audit chain: numbers and hashes, one record for each version, and exported heads.

use super::context::Context;
use crate::model::{ChainFault, ChainHead, TenantId, VersionFault, verify_chain, verify_versions};
use crate::ports::{Store, StoreError};

/// Sealed records that are read at once.
const BATCH: u32 = 500;
/// Most batches that are read behind the last record that has to be there: what was sealed meanwhile, and what stands there although
/// the store remembers a shorter chain. Ten million records.
const BATCHES_BEHIND: u32 = 20_000;
/// Versions that are compared at once: no call takes longer because a tenant has more servers.
const VERSIONS: u32 = 5_000;

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
    let needed = exported.map_or(0, |exported| exported.sequence).max(remembered.sequence);
    let head = verify_records(store, tenant, exported, needed).await?;
    if head.sequence < needed {
        return Err(ChainFault::Truncated { found: head.sequence, exported: needed }.into());
    }
    let servers = compare_versions(store, tenant).await?;
    Ok(AuditReport { records: head.sequence, servers, head })
}

/// Verifies sealed records from the first one on; returns the end of the chain, which may be before the number that is needed.
async fn verify_records(
    store: &dyn Store,
    tenant: &TenantId,
    exported: Option<&ChainHead>,
    needed: u64,
) -> Result<ChainHead, AuditFault> {
    let mut head = ChainHead::empty(tenant);
    let mut behind = 0;
    // Up to what is needed however many batches that are: a chain that is read in part alone would be called truncated.
    while behind < BATCHES_BEHIND {
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
        if head.sequence >= needed {
            behind += 1;
        }
    }
    Ok(head)
}

/// Compares the versions of all servers with their audit records, page by page; returns how many servers there are.
async fn compare_versions(store: &dyn Store, tenant: &TenantId) -> Result<usize, AuditFault> {
    let (mut servers, mut last) = (0, None);
    loop {
        let page = store.versions(tenant, last, VERSIONS).await?;
        // Ids rise from page to page, so there is a last one.
        let Some((id, _)) = page.current.last_key_value() else { return Ok(servers) };
        last = Some(*id);
        verify_versions(&page.current, &page.recorded)?;
        servers += page.current.len();
    }
}
