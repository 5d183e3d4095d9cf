//! Workers are killed at random moments while they work: afterwards the provider's ledger equals the store.
//!
//! `VIP_TEST_KILLS` says how many kills, over as many orders; thirty unless it says more. `VIP_TEST_CRASHES` says how often
//! a database server is ended; three times unless it says more.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code fails by panicking")]

#[cfg(feature = "postgres")]
mod postgres;

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use vip_core::model::ServerSpec;
use vip_core::ports::Retryability;
use vip_core::provisioner::OperationHandle;
use vip_core::{CommandError, Provisioner};
use vip_tests::actors::{CloudActor, WorkerActors};
use vip_tests::{timing, truth};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// Most repeats of a command whose outcome is unknown.
const REPEATS: u32 = 20;
/// Longest time for all orders to end after the last kill.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time between two looks at an order; the workers are other processes and cannot tell.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_nothing_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("vip.db").display());
    disturb(&store, number("VIP_TEST_KILLS", 30), async |workers, place| workers.kill_and_replace(place).await).await;
}

/// Reads a number from the environment.
fn number(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Orders servers while something goes wrong again and again; afterwards store and ledger agree.
async fn disturb(store: &str, kills: u32, mut disturbance: impl AsyncFnMut(&mut WorkerActors, usize)) {
    let seed = 4711;
    let mut random = fastrand::Rng::with_seed(seed);
    let cloud = CloudActor::start(Path::new(ACTOR), seed, "rough").await;
    let backend = vip_adapters::connect(store).await.unwrap();
    let provisioner = Provisioner::builder(backend).timing(timing::quick()).client_only().await.unwrap();
    let mut workers = WorkerActors::start(Path::new(ACTOR), store, cloud.url(), 3);
    workers.ready().await;

    let begin = Instant::now();
    let mut orders: Vec<OperationHandle> = Vec::new();
    for number in 0..kills {
        orders.push(order(&provisioner, number).await);
        // A few orders are wished away while they may still be under way.
        if number % 5 == 4 {
            let (tenant, place) = (TENANTS[(number as usize - 2) % 3], number as usize - 2);
            let server = orders_server(&orders, place);
            let delete = || provisioner.tenant(tenant).delete_server(server).into_future();
            orders.push(until_certain(delete).await);
        }
        let pause = Duration::from_millis(random.u64(20..350));
        tokio::time::sleep(pause).await;
        let place = random.usize(..workers.count());
        disturbance(&mut workers, place).await;
    }
    let killed = begin.elapsed();
    assert!(timeout(PATIENCE, all_ended(&orders)).await.is_ok(), "some orders do not end");
    workers.stop().await;
    let ledger = cloud.ledger().await;
    truth::demand_agreement(&provisioner, &TENANTS, &ledger).await;
    println!(
        "{kills} disturbances in {killed:.1?} over {kills} orders: {} created, {} live, {} requests, ended after {:.1?}",
        ledger.servers.len(),
        ledger.servers.iter().filter(|server| server.is_live()).count(),
        ledger.request_total(),
        begin.elapsed(),
    );
    assert!(provisioner.shutdown(Duration::from_secs(5)).await.within_deadline);
    cloud.stop().await;
}

/// Orders as a host does: what may have been accepted is sent again with the same key.
async fn order(provisioner: &Provisioner, number: u32) -> OperationHandle {
    let spec = ServerSpec::new(format!("web-{number}"))
        .server_type("cpx22")
        .image("ubuntu-24.04")
        .location("fsn1")
        .ssh_key("ops");
    let tenant = provisioner.tenant(TENANTS[number as usize % 3]);
    until_certain(|| tenant.create_server(spec.clone()).idempotency_key(format!("order-{number}")).into_future()).await
}

/// Repeats a command until its outcome is known; a refusal is a failure of the test.
async fn until_certain<F>(command: impl Fn() -> F) -> OperationHandle
where
    F: Future<Output = Result<OperationHandle, CommandError>>,
{
    for _ in 0..REPEATS {
        match command().await {
            Ok(accepted) => return accepted,
            Err(error) => assert_ne!(error.retryability(), Retryability::Permanent, "{error}"),
        }
    }
    panic!("the store did not answer {REPEATS} times in a row");
}

/// Returns the server of the create with this number; deletes stand between the creates.
fn orders_server(orders: &[OperationHandle], place: usize) -> vip_core::model::ServerId {
    let creates = orders.iter().filter(|order| order.operation().verb.as_str() == "create");
    creates.map(OperationHandle::server_id).nth(place).unwrap()
}

async fn all_ended(orders: &[OperationHandle]) {
    for order in orders {
        loop {
            match order.progress().await {
                Ok(progress) if progress.operation.status.is_final() => break,
                Ok(_) => {}
                Err(error) => assert_ne!(error.retryability(), Retryability::Permanent, "{error}"),
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}
