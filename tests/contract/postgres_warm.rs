//! Connections go from call to call on PostgreSQL; none does that may be gone.

use std::borrow::Cow;
use std::time::Duration;

use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::ports::{JobQueue, Settled, Store, Verdict};

use crate::postgres_bell::Wire;
use crate::server;

/// As long as nobody may have used a connection that is used again.
const UNUSED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_connection_that_nobody_has_used_for_a_minute_is_not_used_again() {
    let database = server().new_database().await;
    let wire = Wire::default();
    let (address, _laid) = wire.lay(server().folder()).await;
    let url = format!("postgres://vip@{address}/{database}?sslmode=disable");
    let config = PostgresConfig::default().call_deadline(Duration::from_millis(500));
    let backend = PostgresBackend::connect(&url, config).await.unwrap();
    backend.enqueue(&[job("a"), job("b")]).await.unwrap();
    let claimed = claim(&backend, 2).await;
    assert_eq!(settle(&backend, claimed[0].lease.reference, Verdict::Done).await, Settled::Applied);
    // What lies between here and the server forgets all connections, and tells neither side.
    wire.cut_all_of_now();
    tokio::time::pause();
    tokio::time::advance(UNUSED).await;
    tokio::time::resume();
    assert_eq!(settle(&backend, claimed[1].lease.reference, Verdict::Done).await, Settled::Applied);
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
