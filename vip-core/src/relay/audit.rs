//! Seals committed audit records and delivers sealed ones.

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::model::TenantId;
use crate::ports::{AuditSink, AuditSinkError, DELIVERY_LIMIT, Delivery, SinkName, Store, StoreError};
use crate::telemetry;

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
    /// What went wrong last, if anything did; the log has it already, and what was not taken is sent again.
    pub failed: Option<Box<dyn Error + Send + Sync>>,
}

/// Delivers what a sink does not have yet, tenant by tenant, in order. A batch that it does not take within [`DELIVERY_LIMIT`] has
/// failed.
///
/// Before each batch `time` says how long it may take, and nothing if there shall be none.
///
/// A tenant whose batch was not taken goes behind all others, and the sink is not asked for it again in this round: it keeps no
/// record of theirs. If the sink has taken nothing yet the round ends there: it may be away altogether, and is asked once.
pub async fn deliver_once(
    store: &dyn Store,
    sink: &dyn AuditSink,
    time: impl Fn() -> Option<Duration> + Send,
) -> Delivered {
    let (refused, delivered) = (BTreeMap::new(), Delivered::default());
    let mut round = Round { store, sink, name: sink.name(), refused, delivered };
    for _ in 0..BATCHES {
        let Some(time) = time() else { break };
        match round.turn(time).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                round.tell(None, &error);
                round.delivered.failed = Some(Box::new(error));
                break;
            }
        }
    }
    round.delivered
}

/// Is a round of delivery to one sink.
struct Round<'a> {
    store: &'a dyn Store,
    sink: &'a dyn AuditSink,
    name: SinkName,
    /// Whose batch was not taken, and how many records the sink had taken when their turn came last.
    refused: BTreeMap<TenantId, u64>,
    delivered: Delivered,
}

impl Round<'_> {
    /// Gives the tenant whose turn was longest ago its turn; says whether there shall be another one.
    async fn turn(&mut self, time: Duration) -> Result<bool, StoreError> {
        let Some(batch) = self.store.deliverable(&self.name, BATCH).await? else { return Ok(false) };
        let (Some(first), Some(last)) = (batch.records.first(), batch.records.last()) else { return Ok(false) };
        let before = first.sequence.saturating_sub(1);
        if let Some(taken) = self.refused.get_mut(&batch.tenant) {
            if *taken == self.delivered.records {
                // All others had a turn since its last one, and had nothing left.
                return Ok(false);
            }
            *taken = self.delivered.records;
            self.store.delivered(&self.name, &batch.tenant, before).await?;
            return Ok(true);
        }
        match AssertUnwindSafe(hand_over(self.sink, &batch, time)).catch_unwind().await {
            Ok(Ok(())) => {
                // The sink has them: if this is not remembered, they come again, and the sink knows them by their
                // numbers and hashes.
                self.store.delivered(&self.name, &batch.tenant, last.sequence).await?;
                self.delivered.records += u64::try_from(batch.records.len()).unwrap_or(0);
                Ok(true)
            }
            Ok(Err(error)) => {
                self.tell(Some(&batch.tenant), &error);
                self.delivered.failed = Some(Box::new(error));
                // Nothing more of it was delivered, but its turn is over.
                self.store.delivered(&self.name, &batch.tenant, before).await?;
                self.refused.insert(batch.tenant, self.delivered.records);
                Ok(self.delivered.records > 0)
            }
            Err(panic) => {
                // The loop starts again after it: then with another tenant.
                if let Err(error) = self.store.delivered(&self.name, &batch.tenant, before).await {
                    self.tell(Some(&batch.tenant), &error);
                }
                resume_unwind(panic)
            }
        }
    }

    /// Tells why records were not delivered, and whose, if that is known.
    fn tell(&self, tenant: Option<&TenantId>, error: &dyn Error) {
        telemetry::tell(|| {
            tracing::warn!(
                sink = self.name.as_str(),
                { telemetry::TENANT } = tenant.map(tracing::field::display),
                { telemetry::ERROR } = %telemetry::causes(error),
                "audit records were not delivered"
            );
        });
    }
}

/// Hands a batch to a sink. One that does not answer in time has not taken it: it may hang for ever, and nobody would see it.
async fn hand_over(sink: &dyn AuditSink, batch: &Delivery, time: Duration) -> Result<(), AuditSinkError> {
    let limit = time.min(DELIVERY_LIMIT);
    let taken = tokio::time::timeout(limit, sink.deliver(&batch.tenant, &batch.records)).await;
    taken.unwrap_or_else(|elapsed| Err(AuditSinkError::new(elapsed)))
}
