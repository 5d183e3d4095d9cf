//! A queue apart from the store: orders are relayed to it and run under its leases, and health shows both.

use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, MemoryQueue, VirtualClock};
use crate::model::{InstallationId, ServerSpec, Timestamp};
use crate::ports::{Backend, ClaimRequest, Clock, Settlement, Verdict};
#[cfg(feature = "mocks")]
use crate::ports::{Durability, Enqueued, QueueError, QueueStats};
use crate::runtime::HealthStatus;

#[tokio::test(start_paused = true)]
async fn an_order_is_relayed_to_a_queue_elsewhere_and_runs_under_its_leases() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let installation: InstallationId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    let memory = MemoryBackend::new(clock.clone(), installation);
    let backend = Backend::from(memory).with_queue(MemoryQueue::alone(clock));
    let outbox = backend.outbox.clone().unwrap();
    let provisioner = Provisioner::builder(backend).provider(MemoryProvider::default()).start().await.unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = provisioner.tenant("acme").create_server(spec).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), order.wait()).await.unwrap().unwrap();
    assert_eq!(outbox.stats(&[]).await.unwrap(), Default::default(), "nothing is left to relay");

    let parts = provisioner.health().await.parts;
    let status = |name: &str| parts.iter().find(|part| part.name == name).map(|part| part.status);
    assert_eq!(status("relay"), Some(HealthStatus::Ok));
    assert_eq!(status("queue"), Some(HealthStatus::Degraded), "one that keeps nothing, apart from the store");
    // A job that the other queue does not take is put off, and seen.
    let one = crate::model::NewJob::new(
        crate::model::JobId::from_uuid(uuid::Uuid::from_u128(1)),
        crate::model::JobKey::new("a:1").unwrap(),
        crate::model::JobKind::new("nobody").unwrap(),
        crate::model::Payload::from_text("{}").unwrap(),
    );
    outbox.enqueue(std::slice::from_ref(&one)).await.unwrap();
    let claim = crate::model::ClaimId::from_uuid(uuid::Uuid::from_u128(2));
    let (kinds, lease) = (vec![one.kind.clone()], Duration::from_secs(5));
    let claimed = outbox.claim(&ClaimRequest { kinds, most: 1, lease, claim }).await.unwrap();
    let verdict = Verdict::Snooze { delay: Duration::from_secs(30) };
    outbox.settle(&[Settlement { lease: claimed[0].lease.reference, verdict }]).await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    let parts = provisioner.health().await.parts;
    let relay = parts.iter().find(|part| part.name == "relay").unwrap();
    assert_eq!(relay.status, HealthStatus::Degraded, "{relay:?}");
    assert!(provisioner.loops().iter().any(|known| known.name == "relay"));
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

/// Counts what it has and takes nothing more than the first sweep, as a Redis server that is full.
#[cfg(feature = "mocks")]
fn full_queue() -> crate::mocks::MockJobQueue {
    let mut queue = crate::mocks::MockJobQueue::new();
    queue.expect_enqueue().times(1).returning(|jobs| Ok(vec![Enqueued::Inserted; jobs.len()]));
    queue.expect_enqueue().returning(|_| Err(QueueError::Unavailable { source: "out of memory".into() }));
    queue.expect_durability().return_const(Durability::Durable);
    queue.expect_claim().returning(|_| Ok(Vec::new()));
    queue.expect_wait().returning(|_| ());
    queue.expect_reap().returning(|_, _| Ok(0));
    queue.expect_find().returning(|_| Ok(None));
    queue.expect_stats().returning(|_| Ok(QueueStats::default()));
    queue
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_no_job_although_it_counts_them_is_told_with_its_cause() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let installation: InstallationId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
    let backend = Backend::from(MemoryBackend::new(clock, installation)).with_queue(full_queue());
    let provisioner = Provisioner::builder(backend).provider(MemoryProvider::default()).start().await.unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = provisioner.tenant("acme").create_server(spec).await.unwrap();
    let relay_after = async |minutes: u64| {
        let time = Duration::from_secs(60 * minutes);
        assert!(tokio::time::timeout(time, order.wait()).await.is_err(), "nobody works on it");
        provisioner.health().await.parts.into_iter().find(|part| part.name == "relay").unwrap()
    };
    let soon = relay_after(1).await;
    assert_eq!(soon.status, HealthStatus::Ok, "{soon:?}");
    let later = relay_after(9).await;
    assert_eq!(later.status, HealthStatus::Degraded, "{later:?}");
    let detail = later.detail.unwrap();
    assert!(detail.contains("1 committed jobs to relay") && detail.contains("out of memory"), "{detail}");
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}
