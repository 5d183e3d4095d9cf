//! `AuditSink` with calls that go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use vip_core::model::{SealedRecord, TenantId};
use vip_core::ports::{AuditSink, AuditSinkError, SinkName};

use super::Link;
use crate::method::Method;

/// Is what was delivered: the hashes of each tenant's records, which hold their numbers. All processes share it.
#[derive(Debug, Default, Clone)]
pub struct Delivered(Arc<Mutex<BTreeMap<TenantId, BTreeSet<String>>>>);

impl Delivered {
    /// Says whether a tenant's record arrived, and not another one of its number.
    #[must_use]
    pub fn has(&self, tenant: &TenantId, record: &SealedRecord) -> bool {
        self.0.lock().unwrap().get(tenant).is_some_and(|hashes| hashes.contains(record.hash.as_str()))
    }

    fn take(&self, tenant: &TenantId, batch: &[SealedRecord]) {
        let mut all = self.0.lock().unwrap();
        all.entry(tenant.clone()).or_default().extend(batch.iter().map(|record| record.hash.as_str().to_owned()));
    }
}

/// Lets deliveries go wrong.
#[derive(Debug)]
pub struct FaultySink {
    link: Link,
    delivered: Delivered,
}

impl FaultySink {
    /// Makes the sink of one life of a process.
    #[must_use]
    pub const fn new(link: Link, delivered: Delivered) -> Self {
        Self { link, delivered }
    }
}

#[async_trait]
impl AuditSink for FaultySink {
    fn name(&self) -> SinkName {
        SinkName::new("simulated").unwrap()
    }

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        let later = || {
            let (delivered, tenant, batch) = (self.delivered.clone(), tenant.clone(), batch.to_vec());
            Box::pin(async move { delivered.take(&tenant, &batch) }) as super::Effect
        };
        let call = || async {
            self.delivered.take(tenant, batch);
            Ok(())
        };
        self.link.write(Method::Deliver, &(tenant, batch.len()), call, later).await
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        Ok(())
    }
}
