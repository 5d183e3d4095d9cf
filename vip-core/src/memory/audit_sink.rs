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
    records: BTreeMap<TenantId, BTreeMap<u64, SealedRecord>>,
    failing: u32,
    is_closed: bool,
}

impl MemoryAuditSink {
    /// Makes an empty sink.
    #[must_use]
    pub fn new(name: SinkName) -> Self {
        Self { name, rows: Arc::default() }
    }

    /// Returns what is kept of a tenant, ascending by number.
    #[must_use]
    pub fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord> {
        self.lock().records.get(tenant).map(|records| records.values().cloned().collect()).unwrap_or_default()
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
            // A record that came before stays as it came first.
            records.entry(record.sequence).or_insert_with(|| record.clone());
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        self.lock().is_closed = true;
        Ok(())
    }
}
