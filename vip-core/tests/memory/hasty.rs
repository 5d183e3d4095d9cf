//! An audit sink that looks, lets others go first and then writes: the case of two workers has to see it, and no other does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use vip_core::conformance::{self, AuditSinkFixture};
use vip_core::model::{SealedRecord, TenantId};
use vip_core::ports::{AuditSink, AuditSinkError, SinkName};

use super::audit_sink_contract;

#[derive(Debug, Default)]
struct Hasty(Mutex<Vec<(TenantId, SealedRecord)>>);

#[async_trait]
impl AuditSink for Hasty {
    fn name(&self) -> SinkName {
        SinkName::new("hasty").unwrap()
    }

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        for record in batch {
            let is_known = self.kept(tenant).await.contains(record);
            tokio::task::yield_now().await;
            if !is_known {
                let row = (tenant.clone(), record.clone());
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(row);
            }
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        Ok(())
    }
}

#[async_trait]
impl AuditSinkFixture for Hasty {
    fn sink(&self) -> &dyn AuditSink {
        self
    }

    async fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().filter(|(owner, _)| owner == tenant).map(|(_, record)| record.clone()).collect()
    }

    async fn break_down(&self) {}

    async fn repair(&self) {}
}

fn fails(name: &str) -> bool {
    let (_, case) = audit_sink_contract::CASES.iter().find(|(known, _)| *known == name).unwrap();
    let sink = Hasty::default();
    catch_unwind(AssertUnwindSafe(|| conformance::run(case(&sink)))).is_err()
}

#[test]
fn a_sink_that_looks_before_it_writes_is_seen_by_the_case_of_two_workers() {
    assert!(fails("a_batch_that_comes_twice_at_once_is_kept_once"));
    assert!(!fails("a_repeated_batch_adds_nothing"), "one after the other it keeps each record once");
}
