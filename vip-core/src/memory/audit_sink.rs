//! `AuditSink` in memory: keeps what was delivered, each record once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::model::{SealedRecord, TenantId};
use crate::ports::{AuditSink, AuditSinkError, SinkName};

/// Keeps every delivered record in memory; the reference for every other sink. Clones share what they keep.
#[derive(Debug, Clone)]
pub struct MemoryAuditSink {
    name: SinkName,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    /// Of one number there are several only if the store was put back to a backup.
    records: BTreeMap<TenantId, BTreeMap<u64, Vec<SealedRecord>>>,
    failing: u32,
    is_closed: bool,
}

impl MemoryAuditSink {
    /// Makes an empty sink.
    #[must_use]
    pub fn new(name: SinkName) -> Self {
        Self { name, rows: Arc::default() }
    }

    /// Returns what is kept of a tenant, ascending by number; what has the same number in the order in which it came.
    #[must_use]
    pub fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord> {
        let rows = self.lock();
        rows.records.get(tenant).into_iter().flat_map(BTreeMap::values).flatten().cloned().collect()
    }

    /// Makes the next `deliveries` deliveries fail.
    pub fn fail_next(&self, deliveries: u32) {
        self.lock().failing = deliveries;
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        // No step panics halfway.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AuditSink for MemoryAuditSink {
    fn name(&self) -> SinkName {
        self.name.clone()
    }

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        let mut rows = self.lock();
        if rows.is_closed {
            return Err(AuditSinkError::new("the sink is closed"));
        }
        if rows.failing > 0 {
            rows.failing -= 1;
            return Err(AuditSinkError::new("failed as a test asked for"));
        }
        let records = rows.records.entry(tenant.clone()).or_default();
        for record in batch {
            // A record that came before stays as it came first; with another hash it is another one.
            let of_this_number = records.entry(record.sequence).or_default();
            if of_this_number.iter().all(|known| known.hash != record.hash) {
                of_this_number.push(record.clone());
            }
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        self.lock().is_closed = true;
        Ok(())
    }
}
