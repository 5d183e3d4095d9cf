//! The writes that share one transaction: each is done by itself, and what a refused one did is taken back alone.

use vip_core::telemetry;

use super::error::Failure;
use super::transaction::WriteTransaction;
use super::writer::{Kept, Request};

/// Counts what a group wrote.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) requests: usize,
    pub(super) arrivals: u64,
    /// Whether any of it changed a row: else the disk was not asked.
    pub(super) has_changed: bool,
    /// Why the last one was not written that the file was in the way of.
    pub(super) hindrance: Option<Failure>,
}

/// Runs every write of a group, and takes back what a refused one did.
pub(super) async fn run_each(
    transaction: &mut WriteTransaction<'_>,
    group: &mut [Request],
) -> Result<Written, Failure> {
    let mut written = Written::default();
    // A write that is alone is taken back with the whole transaction.
    let shared = group.len() > 1;
    if shared {
        transaction.part("SAVEPOINT vip_write").await?;
    }
    for request in group {
        let kept = request.run(transaction).await;
        let (arrivals, has_changed) = (transaction.take_arrivals(), transaction.replace_changed(false));
        match kept {
            Kept::Yes => {
                written.requests += 1;
                written.arrivals += arrivals;
                written.has_changed |= has_changed;
                if shared {
                    // Two in one: every statement is a way to the driver's thread and back.
                    transaction.part("RELEASE vip_write; SAVEPOINT vip_write").await?;
                }
            }
            Kept::No => take_back(transaction, shared).await?,
            Kept::Hindered(failure) => {
                if let Err(ended) = take_back(transaction, shared).await {
                    telemetry::tell(|| {
                        tracing::debug!(error = ?ended, "the transaction had ended by itself, as it does when the disk is full");
                    });
                    return Err(failure);
                }
                written.hindrance = Some(failure);
            }
        }
    }
    Ok(written)
}

/// Takes back what a write did. One that is alone is taken back with the whole transaction; the savepoint of others stays, for
/// the next one.
async fn take_back(transaction: &mut WriteTransaction<'_>, shared: bool) -> Result<(), Failure> {
    if shared { transaction.part("ROLLBACK TO vip_write").await } else { Ok(()) }
}
