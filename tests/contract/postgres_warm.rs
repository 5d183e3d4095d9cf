//! Connections go from call to call on PostgreSQL; none does that may be gone.

use std::borrow::Cow;
use std::time::Duration;

use tokio::task::JoinSet;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::ports::{ChangeSet, JobQueue, Settled, Store, StoreError, Verdict};
use vip_tests::site::until;

use crate::postgres_bell::Wire;
use crate::postgres_database::whole_order;
use crate::server;

/// As long as nobody may have used a connection that is used again.
const UNUSED: Duration = Duration::from_secs(60);
/// As long as a call may take: more than a disk does, and not much, for closing waits as long for connections that are gone.
const CALL: Duration = Duration::from_secs(2);

/// Lets time pass here, and nowhere else.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Opens a new database over a wire, which lies as long as what is returned beside it is kept.
async fn open_over(wire: &Wire, config: PostgresConfig) -> (PostgresBackend, JoinSet<()>) {
    let database = server().new_database().await;
    let (address, laid) = wire.lay(server().folder()).await;
    let url = format!("postgres://vip@{address}/{database}?sslmode=disable");
    let config = config.call_deadline(CALL);
    (PostgresBackend::connect(&url, config).await.unwrap(), laid)
}

#[tokio::test]
async fn a_connection_that_nobody_has_used_for_a_minute_is_not_used_again() {
    let wire = Wire::default();
    let (backend, _laid) = open_over(&wire, PostgresConfig::default()).await;
    backend.enqueue(&[job("a"), job("b")]).await.unwrap();
    let claimed = claim(&backend, 2).await;
    assert_eq!(settle(&backend, claimed[0].lease.reference, Verdict::Done).await, Settled::Applied);
    // What lies between here and the server forgets all connections, and tells neither side.
    wire.cut_all_of_now();
    pass(UNUSED).await;
    assert_eq!(settle(&backend, claimed[1].lease.reference, Verdict::Done).await, Settled::Applied);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_went_from_call_to_call_for_a_minute_is_not_used_either_after_nobody_has_for_another() {
    let wire = Wire::default();
    let (backend, _laid) = open_over(&wire, PostgresConfig::default()).await;
    backend.enqueue(&[job("a"), job("b"), job("c"), job("d")]).await.unwrap();
    let idle = || backend.pool_figures().into_iter().find(|it| it.purpose == "leases").unwrap().idle;
    let claimed = claim(&backend, 4).await;
    for one in claimed.iter().take(3) {
        assert_eq!(settle(&backend, one.lease.reference, Verdict::Done).await, Settled::Applied);
        // Whoever gets it back may ask it something first.
        until("the connection rests", async || idle() > 0).await;
        pass(2 * UNUSED / 3).await;
    }
    wire.cut_all_of_now();
    pass(UNUSED).await;
    assert_eq!(settle(&backend, claimed[3].lease.reference, Verdict::Done).await, Settled::Applied);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_network_loses_after_a_change_was_refused_takes_no_place_of_another() {
    let wire = Wire::default();
    let (backend, _laid) = open_over(&wire, PostgresConfig::default().connections(1)).await;
    // Without a job it is no order that goes along with others. Both have the same key.
    let by_itself = || ChangeSet { job: None, ..whole_order(0) };
    assert!(!backend.commit(&by_itself()).await.unwrap().replayed);
    let refused = backend.commit(&by_itself()).await;
    assert!(matches!(refused, Err(StoreError::KeyTaken)), "{refused:?}");
    wire.cut_all_of_now();
    pass(UNUSED).await;
    backend.installation().await.unwrap();
    backend.close().await.unwrap();
}

/// Ends the session that sets a job apart.
fn ended(name: &str, text: &'static str) -> Cow<'static, str> {
    let end = " AS now FROM (SELECT pg_terminate_backend(pg_backend_pid())) AS gone\n";
    if name == "job_settle" { Cow::Owned(text.replacen(" AS now\n", end, 1)) } else { Cow::Borrowed(text) }
}

#[tokio::test]
async fn a_connection_that_a_part_of_a_call_was_lost_on_goes_to_no_other_call() {
    let database = server().new_database().await;
    let config = PostgresConfig::default().query_filter(ended);
    let backend = PostgresBackend::connect(&server().url(&database), config).await.unwrap();
    backend.enqueue(&[job("a"), job("b")]).await.unwrap();
    server().run(&database, "UPDATE vip.jobs SET tenant = 'no name at all' WHERE key = 'a'").await;
    // That the other one cannot be set apart takes nothing from the claim.
    assert_eq!(claim(&backend, 2).await.len(), 1);
    backend.enqueue(&[job("c")]).await.unwrap();
    assert_eq!(claim(&backend, 2).await.len(), 1);
    backend.close().await.unwrap();
}
