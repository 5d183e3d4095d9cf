//! Two audit sinks for the case of two workers: one that it has to see, and one that it has to let pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use vip_core::conformance::{self, AuditSinkFixture};
use vip_core::model::{SealedRecord, TenantId};
use vip_core::ports::{AuditSink, AuditSinkError, SinkName};

use super::audit_sink_contract;

/// Looks, lets others go first and then writes, which no other case sees.
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

/// Refuses a delivery that comes while another is under way, and takes one after the other.
#[derive(Debug, Default)]
struct OneAtATime {
    rows: Hasty,
    is_taken: AtomicBool,
}

#[async_trait]
impl AuditSink for OneAtATime {
    fn name(&self) -> SinkName {
        self.rows.name()
    }

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        if self.is_taken.swap(true, Ordering::SeqCst) {
            return Err(AuditSinkError::new("another delivery is under way"));
        }
        let answer = self.rows.deliver(tenant, batch).await;
        self.is_taken.store(false, Ordering::SeqCst);
        answer
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        Ok(())
    }
}

#[async_trait]
impl AuditSinkFixture for OneAtATime {
    fn sink(&self) -> &dyn AuditSink {
        self
    }

    async fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord> {
        self.rows.kept(tenant).await
    }

    async fn break_down(&self) {}

    async fn repair(&self) {}
}

fn fails<S: AuditSinkFixture + Default>(name: &str) -> bool {
    let (_, case) = audit_sink_contract::CASES.iter().find(|(known, _)| *known == name).unwrap();
    let sink = S::default();
    catch_unwind(AssertUnwindSafe(|| conformance::run(case(&sink)))).is_err()
}

#[test]
fn a_sink_that_looks_before_it_writes_is_seen_by_the_case_of_two_workers() {
    assert!(fails::<Hasty>("a_batch_that_comes_twice_at_once_is_kept_once"));
    assert!(!fails::<Hasty>("a_repeated_batch_adds_nothing"), "one after the other it keeps each record once");
}

#[test]
fn a_sink_that_refuses_the_second_of_two_workers_passes() {
    assert!(!fails::<OneAtATime>("a_batch_that_comes_twice_at_once_is_kept_once"));
}
