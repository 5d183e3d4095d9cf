//! Audit sinks that hang, panic, refuse or are slow: they are asked again, no tenant keeps its records from another's, and each
//! sink is closed, once.

use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use async_trait::async_trait;

use tokio::time::Instant;

use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, ShiftedClock, VirtualClock};
use crate::model::{InstallationId, SealedRecord, ServerSpec, TenantId, Timestamp};
use crate::ports::{AuditSink, AuditSinkError, Clock, DELIVERY_LIMIT, SinkName};
use crate::relay::deliver_once;
use crate::telemetry::unwritable::unwritable;

/// Says what a sink does with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Takes,
    /// Never answers the first one.
    HangsOnce,
    /// Never answers any.
    Hangs,
    Panics,
    PanicsAtAcme,
    Refuses,
    RefusesAcme,
    /// Takes a second for each.
    Slow,
}

/// Is what a sink has seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    asked: u32,
    pub(super) records: usize,
    pub(super) closed: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Sink {
    manner: Manner,
    seen: Arc<Mutex<Seen>>,
}

impl Sink {
    pub(super) fn new(manner: Manner) -> Self {
        Self { manner, seen: Arc::default() }
    }

    pub(super) fn seen(&self) -> Seen {
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

    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        let (asked, is_acme) = (self.asked(), tenant.as_str() == "acme");
        match self.manner {
            Manner::Hangs => std::future::pending().await,
            Manner::HangsOnce if asked == 1 => std::future::pending().await,
            Manner::Panics => panic!("a sink that panics"),
            Manner::PanicsAtAcme if is_acme => panic!("a sink that panics"),
            Manner::Refuses => return Err(AuditSinkError::new("refused")),
            Manner::RefusesAcme if is_acme => return Err(AuditSinkError::new("refused")),
            Manner::Slow => pass(Duration::from_secs(1)).await,
            Manner::Takes | Manner::HangsOnce | Manner::PanicsAtAcme | Manner::RefusesAcme => {}
        }
        self.seen.lock().unwrap().records += batch.len();
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        self.seen.lock().unwrap().closed += 1;
        Ok(())
    }
}

pub(super) fn memory() -> MemoryBackend {
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

pub(super) async fn order(provisioner: &Provisioner, name: &str) {
    order_of(provisioner, "acme", name).await;
}

async fn order_of(provisioner: &Provisioner, tenant: &str, name: &str) {
    let spec = ServerSpec::new(name).server_type("a").image("i").location("l").ssh_key("k");
    drop(provisioner.tenant(tenant).create_server(spec).await.unwrap());
}

/// Counts the sealed records of a tenant, of the first 500.
async fn sealed(backend: &MemoryBackend, tenant: &str) -> usize {
    let store = Backend::from(backend.clone()).store;
    store.sealed(&TenantId::new(tenant).unwrap(), 0, 500).await.unwrap().len()
}

pub(super) async fn pass(time: Duration) {
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
    assert_eq!(well.seen().records, sealed.len());
    assert_eq!([hung, panicking, well].map(|sink| sink.seen().closed), [1, 1, 1]);
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

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_at_one_tenant_is_closed_once() {
    let sink = Sink::new(Manner::PanicsAtAcme);
    let provisioner = start(memory(), std::slice::from_ref(&sink)).await;
    order(&provisioner, "web-1").await;
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    assert!(!report.is_clean() && report.to_string().contains("phase audit panicked"), "{report}");
    assert_eq!(sink.seen().closed, 1);
    assert!(provisioner.shutdown(Duration::ZERO).await.is_clean());
    assert_eq!(sink.seen().closed, 1, "a second shutdown finds nothing left to do");
}

#[tokio::test(start_paused = true)]
async fn after_a_clock_that_was_ahead_a_refused_tenant_keeps_none_of_another_tenants_records_back() {
    let sink = Sink::new(Manner::RefusesAcme);
    let clock = Arc::new(ShiftedClock::new(Timestamp::from_micros(1_000_000_000_000)));
    let backend = MemoryBackend::new(clock.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(1)));
    let provisioner = start(backend, std::slice::from_ref(&sink)).await;
    clock.set_ahead(Duration::from_secs(365 * 86_400));
    order_of(&provisioner, "other", "web-1").await;
    pass(Duration::from_secs(60)).await;
    let before = sink.seen().records;
    assert!(before > 0);
    clock.set_ahead(Duration::ZERO);
    order(&provisioner, "web-1").await;
    order_of(&provisioner, "other", "web-2").await;
    pass(Duration::from_secs(300)).await;
    assert!(sink.seen().records > before, "{:?}", sink.seen());
    drop(provisioner.shutdown(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_records_a_sink_does_not_take_keeps_none_of_another_tenant_from_it() {
    for manner in [Manner::RefusesAcme, Manner::PanicsAtAcme] {
        let (sink, memory) = (Sink::new(manner), memory());
        let provisioner = start(memory.clone(), std::slice::from_ref(&sink)).await;
        order(&provisioner, "web-1").await;
        order_of(&provisioner, "other", "web-1").await;
        pass(Duration::from_secs(300)).await;
        let (taken, others) = (sink.seen().records, sealed(&memory, "other").await);
        assert!(taken == others && others > 0, "{taken} of {others}: {manner:?}");
        assert!(sealed(&memory, "acme").await > 0);
        drop(provisioner.shutdown(Duration::ZERO).await);
    }
}

/// Moves with each look, so that no two turns were at the same time.
#[derive(Debug, Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_000_000_000_000 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_delivered_in_one_round_beside_a_tenant_whose_records_are_refused() {
    let sink = Sink::new(Manner::RefusesAcme);
    let installation = InstallationId::from_uuid(uuid::Uuid::from_u128(1));
    let backend = MemoryBackend::new(Arc::new(Ticking::default()), installation);
    let client = Provisioner::builder(backend).client_only().await.unwrap();
    order(&client, "web-1").await;
    for number in 0..1001 {
        order_of(&client, "other", &format!("web-{number}")).await;
    }
    let store = client.inner.shared.context.store.clone();
    crate::relay::seal_all(&*store).await.unwrap();
    let round = async || deliver_once(&*store, &sink, || Some(DELIVERY_LIMIT)).await.records;
    assert_eq!((round().await, sink.seen().asked), (0, 1), "it may be the sink that is away");
    // Three batches of the one, and one of the other.
    assert_eq!((round().await, sink.seen().asked), (1001, 5));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_away_is_asked_for_one_tenant_a_round_less_and_less_often() {
    let sink = Sink::new(Manner::Refuses);
    let provisioner = start(memory(), std::slice::from_ref(&sink)).await;
    for tenant in ["acme", "other", "third"] {
        order_of(&provisioner, tenant, "web-1").await;
    }
    pass(Duration::from_secs(300)).await;
    let asked = sink.seen().asked;
    assert!((8..=10).contains(&asked), "after 2, 4, 8, 16, 32 and then 60 s: {asked}");
    drop(provisioner.shutdown(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_sink_with_a_backlog_is_closed_in_the_time_of_the_shutdown() {
    let sink = Sink::new(Manner::Slow);
    let provisioner = start(memory(), std::slice::from_ref(&sink)).await;
    for number in 0..60 {
        order_of(&provisioner, &format!("tenant-{number}"), "web-1").await;
    }
    // A round is under way.
    pass(Duration::from_secs(3)).await;
    assert!(sink.seen().asked > 0);
    let report = provisioner.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_clean() && report.within_deadline && report.audit_delivered > 0, "{report}");
    let seen = sink.seen();
    assert!(seen.closed == 1 && seen.asked < 60, "the rest is delivered after the next start: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_time_does_not_wait_for_one_that_delivers() {
    let sink = Sink::new(Manner::Hangs);
    let provisioner = start(memory(), std::slice::from_ref(&sink)).await;
    order(&provisioner, "web-1").await;
    pass(Duration::from_secs(3)).await;
    let impatient = async {
        pass(Duration::from_secs(1)).await;
        let begin = Instant::now();
        drop(provisioner.shutdown(Duration::ZERO).await);
        begin.elapsed()
    };
    let (_, took) = tokio::join!(provisioner.shutdown(Duration::from_secs(50)), impatient);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(sink.seen().closed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_keeps_no_sink_from_its_end() {
    let sinks = [Manner::Refuses, Manner::Takes].map(Sink::new);
    let provisioner = start(memory(), &sinks).await;
    order(&provisioner, "web-1").await;
    let _log = unwritable();
    let report = provisioner.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report}");
    let [refusing, well] = &sinks;
    assert_eq!((refusing.seen().closed, well.seen().closed), (1, 1));
    assert!(refusing.seen().asked > 0 && well.seen().records > 0);
}
