//! What a shutdown does to audit sinks, what a client alone refuses, what goes along to the provider, and how operations read while
//! an account is closed.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, ProviderFault, ProviderMethod, VirtualClock, memory_backend};
use crate::model::{
    AccountId, InstallationId, JobId, JobKind, OperationStatus, PageLimit, PageRequest, SealedRecord, ServerSpec,
    TenantId, Timestamp, Timing, WaitReason,
};
use crate::ports::{AuditSink, AuditSinkError, Backend, ProviderErrorKind, SinkName};
use crate::provisioning::sweep::SweepMode;
use crate::worker::{Attempt, JobHandler, JobOutcome, WorkerConfig};

/// Counts what it was given, and how often it was closed.
#[derive(Debug, Clone)]
struct Counting {
    name: SinkName,
    counts: Arc<Mutex<(u64, u32)>>,
}

impl Counting {
    fn new(name: &str) -> Self {
        Self { name: SinkName::new(name).unwrap(), counts: Arc::default() }
    }

    fn counts(&self) -> (u64, u32) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AuditSink for Counting {
    fn name(&self) -> SinkName {
        self.name.clone()
    }

    async fn deliver(&self, _tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        self.counts.lock().unwrap().0 += batch.len() as u64;
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        self.counts.lock().unwrap().1 += 1;
        Ok(())
    }
}

/// Starts a product whose two sinks have a record to come.
async fn with_an_order(sinks: &[Counting; 2]) -> Provisioner {
    let mut builder = Provisioner::builder(memory_backend()).provider(MemoryProvider::default());
    for sink in sinks {
        builder = builder.audit_sink(sink.clone());
    }
    let provisioner = builder.start().await.unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    drop(provisioner.tenant("acme").create_server(spec).await.unwrap());
    provisioner
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_every_audit_sink_and_none_misses_the_last_record() {
    let sinks = [Counting::new("one"), Counting::new("two")];
    let provisioner = with_an_order(&sinks).await;
    let report = provisioner.shutdown(Duration::ZERO).await;
    assert_eq!(report.tasks_left, 0, "{report}");
    let again = provisioner.shutdown(Duration::ZERO).await;
    assert!(again.is_clean() && again.audit_delivered == 0, "{again}");
    for sink in &sinks {
        let (records, closed) = sink.counts();
        assert!(records >= 1, "the record of the order is delivered");
        assert_eq!(closed, 1, "by the first shutdown alone");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_shutdowns_at_once_one_delivers_and_closes() {
    let sinks = [Counting::new("one"), Counting::new("two")];
    let provisioner = with_an_order(&sinks).await;
    let time = Duration::from_secs(5);
    let (first, second) = tokio::join!(provisioner.shutdown(time), provisioner.shutdown(time));
    assert!(first.is_clean() && second.is_clean(), "{first}, {second}");
    let store = provisioner.inner.shared.context.store.clone();
    let sealed = store.sealed(&TenantId::new("acme").unwrap(), 0, 500).await.unwrap().len() as u64;
    for sink in &sinks {
        assert_eq!(sink.counts(), (sealed, 1));
    }
    // Sealed and not delivered, or sealed only now, is missed as well.
    let acme = TenantId::new("acme").unwrap();
    let all = provisioner.operator().verify_audit(&acme, None).await.unwrap().records;
    assert!(sinks.iter().all(|sink| sink.counts().0 == all), "{all} records, and {sinks:?}");
}

/// Has nothing to do.
#[derive(Debug)]
struct Idle;

#[async_trait]
impl JobHandler for Idle {
    type Payload = u32;

    fn kind(&self) -> JobKind {
        JobKind::new("shop.idle").unwrap()
    }

    async fn run(&self, _payload: u32, _attempt: &Attempt) -> JobOutcome {
        JobOutcome::Done
    }
}

#[tokio::test]
async fn a_client_alone_refuses_a_handler_and_a_sink_that_nobody_would_use() {
    let builder = || Provisioner::builder(memory_backend());
    for given in [builder().handler(Idle), builder().audit_sink(Counting::new("one"))] {
        let started = given.client_only().await;
        assert!(matches!(started, Err(StartError::NoWorkers)), "{started:?}");
    }
    let settings = builder().worker(WorkerConfig::default()).sweep(SweepMode::Report);
    assert!(settings.client_only().await.is_ok(), "they have no effect");
}

/// The store remembers by name how far it has delivered: of two with one name, each would miss what the other was given.
#[tokio::test(start_paused = true)]
async fn two_audit_sinks_of_one_name_are_refused() {
    let builder = Provisioner::builder(memory_backend()).provider(MemoryProvider::default());
    let named = ["one", "two", "one"].map(Counting::new);
    let started = named.into_iter().fold(builder, Builder::audit_sink).start().await;
    assert!(matches!(&started, Err(StartError::SinkTwice { name }) if name == "one"), "{started:?}");
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn the_request_id_and_the_trace_of_an_order_go_along_to_the_provider() {
    use crate::model::{RequestId, TokenDigest, TraceParent};
    use crate::ports::{InventoryPage, ProviderError, ProviderErrorKind};

    let (told, mut asked_for) = tokio::sync::mpsc::unbounded_channel();
    let mut client = crate::mocks::MockProviderClient::new();
    client.expect_outlook().returning(crate::ports::Outlook::default);
    client.expect_token_digest().returning(|| TokenDigest::of("token"));
    client.expect_inventory().returning(|_, _, _| Ok(InventoryPage { servers: Vec::new(), next: None }));
    client.expect_create().returning(move |_, context| {
        told.send((context.request_id.clone(), context.trace_parent.clone())).unwrap();
        Err(ProviderError::new(ProviderErrorKind::Busy, "locked"))
    });
    let provisioner = Provisioner::builder(memory_backend()).provider(client).start().await.unwrap();
    let request_id = RequestId::new("req-7").unwrap();
    let trace = TraceParent::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let tenant = provisioner.tenant("acme").request_id(request_id.clone()).trace_parent(trace.clone());
    drop(tenant.create_server(spec).await.unwrap());
    assert_eq!(asked_for.recv().await.unwrap(), (Some(request_id), Some(trace)));
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_account_is_closed_its_operations_read_as_parked_and_no_row_says_so() {
    let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000_000)));
    let backend = MemoryBackend::new(clock, InstallationId::from_uuid(uuid::Uuid::from_u128(1)));
    let provider = MemoryProvider::default();
    provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unauthorized));
    let provisioner = Provisioner::builder(backend).provider(provider.clone()).start().await.unwrap();
    let tenant = provisioner.tenant("acme");
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = tenant.create_server(spec).await.unwrap();
    let blocked = Some("account_blocked");
    assert!(matches!(order.wait().await, Err(WaitError::Parked { code }) if Some(code.as_str()) == blocked));

    let shown = |operation: &crate::model::Operation| (operation.status, operation.code.clone());
    let parked = (OperationStatus::Parked, blocked.map(str::to_owned));
    let progress = order.progress().await.unwrap();
    assert_eq!((shown(&progress.operation), progress.wait_reason), (parked.clone(), Some(WaitReason::AccountBlocked)));
    assert!(
        progress.why().ends_with("if the project is another one, when an operator confirms it."),
        "{}",
        progress.why()
    );
    assert_eq!(shown(tenant.operation(order.id()).await.unwrap().operation()), parked);
    let page = PageRequest::first(PageLimit::most());
    assert_eq!(shown(&tenant.operations(&page).await.unwrap().items[0]), parked);
    let store = &provisioner.inner.shared.context.store;
    let row = store.operation(&TenantId::new("acme").unwrap(), order.id()).await.unwrap().unwrap();
    assert_eq!(shown(&row), (OperationStatus::Pending, None));

    // The probe opens the gate, and the order goes on by itself.
    let done = async {
        while order.wait().await.is_err() {
            tokio::time::advance(Duration::from_secs(1)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), done).await.unwrap();
    assert_eq!(shown(&tenant.operations(&page).await.unwrap().items[0]), (OperationStatus::Succeeded, None));
    drop(provisioner.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn every_wait_for_a_parked_order_ends_at_once_and_says_that_it_may_still_buy() {
    let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000_000)));
    let backend = MemoryBackend::new(clock, InstallationId::from_uuid(uuid::Uuid::from_u128(1)));
    let provider = MemoryProvider::default();
    provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unauthorized));
    let provisioner = Provisioner::builder(backend).provider(provider).start().await.unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = provisioner.tenant("acme").create_server(spec).await.unwrap();
    let parked = order.wait().await.unwrap_err();
    assert!(parked.to_string().ends_with("may still buy its server"), "{parked}");
    let began = tokio::time::Instant::now();
    for _ in 0..2 {
        assert!(matches!(order.wait().await, Err(WaitError::Parked { .. })));
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "whoever goes on waiting pauses in between");
    let failed = WaitError::Failed { code: "rejected".to_owned() };
    assert!(failed.to_string().ends_with("a new order needs a new idempotency key"), "{failed}");
    drop(provisioner.shutdown(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_token_reads_an_operation_of_a_closed_account_as_parked_too() {
    let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
    let backend = MemoryBackend::new(Arc::new(clock), InstallationId::from_uuid(uuid::Uuid::from_u128(1)));
    let store = Backend::from(backend.clone()).store;
    let cloud = MemoryProvider::default();
    let refused = ProviderFault::Refuse(ProviderErrorKind::Unauthorized);
    cloud.fail_next(ProviderMethod::Create, refused);
    let client = Provisioner::builder(backend.clone()).client_only().await.unwrap();
    let worker = Provisioner::builder(backend).provider(cloud).start().await.unwrap();
    let tenant = client.tenant("acme");
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = tenant.create_server(spec).await.unwrap();
    let account = AccountId::default_account();
    assert_eq!(order.progress().await.unwrap().operation.status, OperationStatus::Pending);
    for _ in 0..100 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let parked = (OperationStatus::Parked, Some("account_blocked".to_owned()));
    let shown = order.progress().await.unwrap().operation;
    assert_eq!((shown.status, shown.code), parked, "{:?}", store.account(&account).await);
    let again = tenant.operation(order.id()).await.unwrap().operation().clone();
    assert_eq!((again.status, again.code), parked);
    let listed = tenant.operations(&PageRequest::first(PageLimit::most())).await.unwrap().items.remove(0);
    assert_eq!((listed.status, listed.code), parked);
    assert!(matches!(order.wait().await, Err(WaitError::Parked { code }) if code == "account_blocked"));
    let stored = store.operation(&TenantId::new("acme").unwrap(), order.id()).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.code), (OperationStatus::Pending, None), "no row is written");
    // The probe finds the token accepted: nothing has to be unparked.
    for _ in 0..3000 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(order.progress().await.unwrap().operation.status, OperationStatus::Succeeded);
    drop(worker.shutdown(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_waits_far_in_the_future_is_brought_back_within_an_interval() {
    let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
    let memory = MemoryBackend::new(Arc::new(clock), InstallationId::from_uuid(uuid::Uuid::from_u128(5)));
    let queue = Backend::from(memory.clone()).queue;
    let provisioner = Provisioner::builder(memory).provider(MemoryProvider::default()).start().await.unwrap();
    let interval = Timing::default().sweep_interval;
    let passes = async |time| assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
    passes(interval / 10).await;
    // As a queue whose clock was days ahead for a moment leaves it.
    let id = JobId::from_uuid(uuid::Uuid::from_u128(6));
    let mut far = crate::provisioning::kinds::sweep_job(id, &AccountId::default_account()).unwrap();
    far.delay = Duration::from_secs(10 * 24 * 3600);
    assert!(queue.cancel(&far.key).await.unwrap(), "it waits for its next time");
    drop(queue.enqueue(std::slice::from_ref(&far)).await.unwrap());
    passes(interval * 2).await;
    let job = queue.find(&far.key).await.unwrap().unwrap();
    assert!(job.counts.snoozes > 0, "it has run: {job:?}");
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_in_an_account_that_is_swept_no_more_is_forgotten_when_an_operator_says_so() {
    use crate::model::{OWNER_LABEL, SERVER_LABEL};
    use crate::runtime::HealthStatus;

    let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
    let installation = InstallationId::from_uuid(uuid::Uuid::from_u128(7));
    let backend = MemoryBackend::new(Arc::new(clock), installation);
    let (stays, leaves) = (MemoryProvider::default(), MemoryProvider::with_token(Duration::from_secs(10), "old"));
    let labels = [(OWNER_LABEL, installation.to_string()), (SERVER_LABEL, uuid::Uuid::from_u128(8).to_string())];
    leaves.put("web-1", labels.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()).unwrap();
    let old = AccountId::new("old").unwrap();
    let both = Provisioner::builder(backend.clone()).provider(stays.clone()).account(old.clone(), leaves);
    let both = both.start().await.unwrap();
    both.operator().sweep(&old, SweepMode::Repair).await.unwrap();
    assert_eq!(both.shutdown(Duration::from_secs(5)).await.tasks_left, 0);

    let product = Provisioner::builder(backend).provider(stays).start().await.unwrap();
    let records = async || {
        let parts = product.health().await.parts;
        parts.into_iter().find(|part| part.name == "records").unwrap().status
    };
    assert_eq!(records().await, HealthStatus::Degraded, "one is unrecorded");
    product.operator().forget_sightings(&old).await.unwrap();
    assert_eq!(records().await, HealthStatus::Ok);
    assert_eq!(product.operator().sightings(&old).await.unwrap(), []);
    assert_eq!(product.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}
