//! Audit sinks that hang or panic: they are asked again, and no other sink misses a record or its end.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, VirtualClock};
use crate::model::{InstallationId, SealedRecord, ServerSpec, TenantId, Timestamp};
use crate::ports::{AuditSinkError, DELIVERY_LIMIT, SinkName};

/// Says what a sink does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    /// Never answers the first one.
    HangsOnce,
    /// Never answers any.
    Hangs,
    Panics,
}

/// Is what a sink has seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    asked: u32,
    records: usize,
    closed: u32,
}

#[derive(Debug, Clone)]
struct Sink {
    manner: Manner,
    seen: Arc<Mutex<Seen>>,
}

impl Sink {
    fn new(manner: Manner) -> Self {
        Self { manner, seen: Arc::default() }
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap()
    }

    fn asked(&self) -> u32 {
        let mut seen = self.seen.lock().unwrap();
        seen.asked += 1;
        seen.asked
    }
}

#[async_trait]
impl AuditSink for Sink {
    fn name(&self) -> SinkName {
        SinkName::new(format!("{:?}", self.manner)).unwrap()
    }

    async fn deliver(&self, _tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        let asked = self.asked();
        assert_ne!(self.manner, Manner::Panics, "a sink that panics");
        if self.manner == Manner::Hangs || (self.manner == Manner::HangsOnce && asked == 1) {
            std::future::pending::<()>().await;
        }
        self.seen.lock().unwrap().records += batch.len();
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        self.seen.lock().unwrap().closed += 1;
        Ok(())
    }
}

fn memory() -> MemoryBackend {
    let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
    MemoryBackend::new(Arc::new(clock), InstallationId::from_uuid(uuid::Uuid::from_u128(1)))
}

async fn start(backend: MemoryBackend, sinks: &[Sink]) -> Provisioner {
    let mut builder = Provisioner::builder(backend).provider(MemoryProvider::default());
    for sink in sinks {
        builder = builder.audit_sink(sink.clone());
    }
    builder.start().await.unwrap()
}

async fn order(provisioner: &Provisioner, name: &str) {
    let spec = ServerSpec::new(name).server_type("a").image("i").location("l").ssh_key("k");
    drop(provisioner.tenant("acme").create_server(spec).await.unwrap());
}

async fn pass(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_has_failed_after_its_limit_and_is_asked_again() {
    let sink = Sink::new(Manner::HangsOnce);
    let provisioner = start(memory(), std::slice::from_ref(&sink)).await;
    order(&provisioner, "web-1").await;
    // The first delivery begins within two seconds of the order.
    pass(DELIVERY_LIMIT).await;
    assert_eq!((sink.seen().asked, sink.seen().records), (1, 0), "it may take its time");
    pass(Duration::from_secs(6)).await;
    assert!(sink.seen().asked > 1 && sink.seen().records > 0, "{:?}", sink.seen());
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.tasks_left, sink.seen().closed), (0, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn in_a_shutdown_a_sink_that_hangs_or_panics_costs_the_others_nothing() {
    let sinks = [Manner::Hangs, Manner::Panics, Manner::Takes].map(Sink::new);
    let memory = memory();
    let provisioner = start(memory.clone(), &sinks).await;
    order(&provisioner, "web-1").await;
    // Between two rounds of sealing, so that what is ordered now is left for the shutdown.
    pass(Duration::from_millis(10_250)).await;
    let [hung, panicking, well] = &sinks;
    let before = well.seen().records;
    assert!(hung.seen().asked == 1 && panicking.seen().asked > 0 && before > 0, "{sinks:?}");
    order(&provisioner, "web-2").await;
    let report = provisioner.shutdown(Duration::ZERO).await;
    assert_eq!(report.tasks_left, 0, "{report}");
    assert!(report.audit_delivered > 0 && report.within_deadline && !report.is_clean(), "{report}");
    let sealed = Backend::from(memory).store.sealed(&TenantId::new("acme").unwrap(), 0, 500).await.unwrap();
    assert!(sealed.len() > before, "the second order is among them");
    assert_eq!((well.seen().records, well.seen().closed), (sealed.len(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_in_a_shutdown_is_reported_once_the_others_are_closed() {
    let sinks = [Manner::Panics, Manner::Takes].map(Sink::new);
    let provisioner = start(memory(), &sinks).await;
    order(&provisioner, "web-1").await;
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    assert!(!report.is_clean() && report.to_string().contains("phase audit panicked"), "{report}");
    let [_, well] = &sinks;
    assert!(well.seen().records > 0 && well.seen().closed == 1, "{sinks:?}");
}
