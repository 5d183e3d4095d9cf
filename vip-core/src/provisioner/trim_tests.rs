//! What is forgotten while the store's clock is a year ahead, and afterwards; and who hears of it if nothing is.

use tokio::time::Instant;

use super::pace::Pace;
use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, ShiftedClock, VirtualClock};
use crate::model::{PageLimit, PageRequest, ServerSpec, Timestamp};
use crate::ports::Clock;

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

const START: Timestamp = Timestamp::from_micros(1_000_000_000_000);

/// Is the process's own clock if it is on the store's machine.
#[derive(Debug)]
struct Same(Arc<ShiftedClock>);

impl Clock for Same {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

fn memory(clock: &Arc<ShiftedClock>) -> MemoryBackend {
    MemoryBackend::new(clock.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(9)))
}

/// Begins a process on the store's machine.
fn on(clock: &Arc<ShiftedClock>) -> Builder {
    Provisioner::builder(memory(clock)).clock(Same(clock.clone()))
}

fn at_the_start() -> Arc<ShiftedClock> {
    Arc::new(ShiftedClock::new(START))
}

/// Orders under one key; says whether that order was there already.
async fn is_repeated(provisioner: &Provisioner) -> bool {
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = provisioner.tenant("acme").create_server(spec).idempotency_key("order-1").await.unwrap();
    order.is_replayed()
}

/// Orders under that key, and deletes what was ordered.
async fn order_and_delete(provisioner: &Provisioner) {
    assert!(!is_repeated(provisioner).await);
    let tenant = provisioner.tenant("acme");
    let servers = tenant.servers(&PageRequest::first(PageLimit::most())).await.unwrap();
    let deletion = tenant.delete_server(servers.items[0].id).await.unwrap();
    deletion.wait().await.unwrap();
}

async fn passes(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_key_outlives_a_clock_that_is_a_year_ahead_for_half_an_hour() {
    // Before it is trusted for the first time, and when it is.
    for before in [Duration::ZERO, HOUR + HOUR / 4] {
        let (clock, provider) = (at_the_start(), MemoryProvider::default());
        let provisioner = on(&clock).provider(provider.clone()).start().await.unwrap();
        order_and_delete(&provisioner).await;
        passes(before).await;
        clock.set_ahead(YEAR);
        passes(HOUR / 2).await;
        clock.set_ahead(Duration::ZERO);
        passes(HOUR / 2).await;
        assert!(is_repeated(&provisioner).await, "after {before:?}");
        assert!(provider.ever_created().len() <= 1);
        assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_outlived_its_retention_is_forgotten_by_a_clock_that_keeps_pace() {
    let clock = at_the_start();
    let provisioner = on(&clock).provider(MemoryProvider::default()).start().await.unwrap();
    order_and_delete(&provisioner).await;
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    clock.set_ahead(YEAR);
    let (context, mut pace) = (&provisioner.inner.shared.context, Pace::new(Instant::now()));
    assert_eq!(loops::trim_once(context, &mut pace).await.unwrap().keys, 0, "it has only just begun");
    tokio::time::advance(HOUR).await;
    assert_eq!(loops::trim_once(context, &mut pace).await.unwrap().keys, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_outlives_a_process_that_starts_while_the_clock_is_a_year_ahead_and_health_tells_of_it() {
    let (clock, own, provider) = (at_the_start(), VirtualClock::new(START), MemoryProvider::default());
    let memory = memory(&clock);
    let start = async || {
        let builder = Provisioner::builder(memory.clone()).clock(own).provider(provider.clone());
        builder.start().await.unwrap()
    };
    let first = start().await;
    order_and_delete(&first).await;
    assert_eq!(first.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    clock.set_ahead(YEAR);
    let second = start().await;
    let told = async || {
        let trim = second.health().await.parts.into_iter().find(|part| part.name == "trim");
        trim.and_then(|part| part.detail).unwrap_or_default()
    };
    passes(HOUR * 2).await;
    assert!(told().await.contains("the store's clock and this process's differ by 31536000 s"), "{}", told().await);
    clock.set_ahead(Duration::ZERO);
    passes(HOUR / 2).await;
    assert_eq!(told().await, "");
    assert!(is_repeated(&second).await);
    assert_eq!(second.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_for_as_long_as_the_clocks_are_apart_nor_for_a_day_afterwards() {
    let (clock, own) = (at_the_start(), VirtualClock::new(START));
    let builder = Provisioner::builder(memory(&clock)).clock(own).provider(MemoryProvider::default());
    let provisioner = builder.start().await.unwrap();
    order_and_delete(&provisioner).await;
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    clock.set_ahead(YEAR);
    let (context, mut pace) = (&provisioner.inner.shared.context, Pace::new(Instant::now()));
    for _ in 0..3 {
        let refused = loops::trim_once(context, &mut pace).await.unwrap_err();
        assert!(matches!(refused, loops::TrimError::Apart { seconds: 31_536_000 }), "{refused:?}");
        tokio::time::advance(HOUR * 25).await;
    }
    clock.set_ahead(Duration::ZERO);
    assert_eq!(loops::trim_once(context, &mut pace).await.unwrap().keys, 0);
    // By now the key has outlived its retention, and both clocks say so.
    tokio::time::advance(YEAR).await;
    assert_eq!(loops::trim_once(context, &mut pace).await.unwrap().keys, 1);
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn trimming_that_fails_for_an_hour_is_told_by_health_until_a_round_succeeds() {
    use crate::ports::{StoreError, Trimmed};
    let (product, begun) = (on(&at_the_start()).client_only().await.unwrap(), Instant::now());
    let mut store = crate::mocks::MockStore::new();
    store.expect_now().returning(move || Ok(Timestamp::from_micros(1).plus(begun.elapsed())));
    store.expect_trim().times(9).returning(|_| Err(StoreError::Unavailable { source: "it took too long".into() }));
    store.expect_trim().returning(|_| Ok(Trimmed::default()));
    let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1)));
    let context = Context { store: Arc::new(store), clock, ..product.inner.shared.context.clone() };
    let (supervisor, health) = (Supervisor::new(context.randomness.clone()), Health::new());
    let _trim = loops::trim(&supervisor, &context, &health);
    // An hour after the start it is tried for the first time, and from then on about every ten minutes.
    for (minutes, told) in [(110, false), (22, true), (48, false)] {
        passes(60 * Duration::from_secs(minutes)).await;
        let parts = health.report().await.parts;
        assert_eq!(parts.iter().any(|part| part.name == "trim"), told, "{parts:?}");
        let because =
            |part: &crate::runtime::PartHealth| part.detail.as_ref().is_some_and(|it| it.contains("too long"));
        assert!(parts.iter().all(because), "{parts:?}");
    }
}
