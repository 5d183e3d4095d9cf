//! Seals committed audit records and delivers sealed ones.

use std::error::Error;

use crate::ports::{AuditSink, AuditSinkError, DELIVERY_LIMIT, Delivery, Store, StoreError};

/// Records that are sealed, or delivered, at once.
const BATCH: u32 = 500;
/// Most batches of one round; the next round goes on.
const BATCHES: u32 = 200;

/// Gives every committed audit record its place in the chain; answers how many.
///
/// # Errors
///
/// [`StoreError`]; what was sealed before stays sealed.
pub async fn seal_all(store: &dyn Store) -> Result<u64, StoreError> {
    let mut sealed = 0;
    for _ in 0..BATCHES {
        let report = store.seal(BATCH).await?;
        sealed += u64::from(report.sealed);
        if !report.more {
            break;
        }
    }
    Ok(sealed)
}

/// Says what a round of delivery did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Delivered {
    /// Records that the sink took.
    pub records: u64,
    /// Why the round ended early, if it did; the same records are sent again.
    pub failed: Option<Box<dyn Error + Send + Sync>>,
}

/// Delivers what a sink does not have yet, tenant by tenant, in order. A batch that it does not take within [`DELIVERY_LIMIT`] has
/// failed.
pub async fn deliver_once(store: &dyn Store, sink: &dyn AuditSink) -> Delivered {
    let mut delivered = Delivered::default();
    let name = sink.name();
    for _ in 0..BATCHES {
        let batch = match store.deliverable(&name, BATCH).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return delivered,
            Err(error) => {
                delivered.failed = Some(Box::new(error));
                return delivered;
            }
        };
        let Some(last) = batch.records.last().map(|record| record.sequence) else {
            return delivered;
        };
        if let Err(error) = hand_over(sink, &batch).await {
            delivered.failed = Some(Box::new(error));
            return delivered;
        }
        // The sink has them: if this is not remembered, they come again, and the sink knows them by their numbers and hashes.
        if let Err(error) = store.delivered(&name, &batch.tenant, last).await {
            delivered.failed = Some(Box::new(error));
            return delivered;
        }
        delivered.records += u64::try_from(batch.records.len()).unwrap_or(0);
    }
    delivered
}

/// Hands a batch to a sink. One that does not answer in time has not taken it: it may hang for ever, and nobody would see it.
async fn hand_over(sink: &dyn AuditSink, batch: &Delivery) -> Result<(), AuditSinkError> {
    let taken = tokio::time::timeout(DELIVERY_LIMIT, sink.deliver(&batch.tenant, &batch.records)).await;
    taken.unwrap_or_else(|elapsed| Err(AuditSinkError::new(elapsed)))
}
