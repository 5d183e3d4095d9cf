//! What health tells of a breaker that is held, of a queue that nobody empties, and that a dead sweep is no end of the sweeps.

use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, VirtualClock};
use crate::model::{ClaimId, JobId, JobKey, JobKind, JobState, NewJob, Payload, Timestamp, Timing};
use crate::ports::{ClaimRequest, Enqueued, JobQueue, Settled, Settlement, Verdict};
use crate::provisioning::kinds;
use crate::resilience::BreakerMode;
use crate::runtime::HealthStatus;

/// What is degraded on any backend in memory: it keeps nothing.
const ALWAYS: &str = "store";

fn memory() -> MemoryBackend {
    let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
    MemoryBackend::new(Arc::new(clock), InstallationId::from_uuid(uuid::Uuid::from_u128(4)))
}

/// Returns the names of the parts that are not well.
async fn not_well(product: &Provisioner) -> Vec<String> {
    let parts = product.health().await.parts.into_iter();
    parts.filter(|part| part.status != HealthStatus::Ok).map(|part| part.name).collect()
}

fn job_id(number: u128) -> JobId {
    JobId::from_uuid(uuid::Uuid::from_u128(number))
}

fn mail() -> NewJob {
    let kind = JobKind::new("shop.mail").unwrap();
    NewJob::new(job_id(1), JobKey::new("mail:1").unwrap(), kind, Payload::from_text("1").unwrap())
}

/// Enqueues a job and lets it die, before anybody else can take it.
async fn kill(queue: &dyn JobQueue, job: NewJob) {
    let (kinds, claim) = (vec![job.kind.clone()], ClaimId::from_uuid(uuid::Uuid::from_u128(9)));
    queue.enqueue(&[job]).await.unwrap();
    let request = ClaimRequest { kinds, most: 1, lease: Duration::from_secs(5), claim };
    let lease = queue.claim(&request).await.unwrap().remove(0).lease.reference;
    let verdict = Verdict::Dead { code: "bad".to_owned() };
    assert_eq!(queue.settle(&[Settlement { lease, verdict }]).await.unwrap(), [Settled::Died]);
}

async fn pass(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_an_operator_holds_is_told_by_a_process_that_only_accepts_too() {
    let product = Provisioner::builder(memory()).provider(MemoryProvider::default()).client_only().await.unwrap();
    let (operator, account) = (product.operator(), AccountId::default_account());
    for mode in [BreakerMode::ForcedOpen, BreakerMode::ForcedClosed, BreakerMode::ObserveOnly] {
        operator.set_breaker(&account, mode).unwrap();
        assert_eq!(not_well(&product).await, [ALWAYS, "breaker:default"], "{mode:?}");
    }
    operator.set_breaker(&account, BreakerMode::Automatic).unwrap();
    assert_eq!(not_well(&product).await, [ALWAYS]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_due_for_longer_than_workers_may_stand_still_is_told() {
    let product = Provisioner::builder(memory()).client_only().await.unwrap();
    assert_eq!(product.operator().enqueue(mail()).await.unwrap(), Enqueued::Inserted);
    tokio::time::advance(Timing::default().stall_after).await;
    assert_eq!(not_well(&product).await, [ALWAYS], "somebody may have it in hand in a moment");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(not_well(&product).await, [ALWAYS, "queue"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_dead_is_told_until_it_is_replayed() {
    let memory = memory();
    let queue = Backend::from(memory.clone()).queue;
    let product = Provisioner::builder(memory).client_only().await.unwrap();
    kill(&*queue, mail()).await;
    assert_eq!(not_well(&product).await, [ALWAYS, "queue"]);
    assert!(product.operator().replay(job_id(1)).await.unwrap());
    assert_eq!(not_well(&product).await, [ALWAYS]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_died_runs_again_within_an_interval() {
    let memory = memory();
    let queue = Backend::from(memory.clone()).queue;
    let product = Provisioner::builder(memory).provider(MemoryProvider::default()).start().await.unwrap();
    pass(Timing::default().sweep_interval / 10).await;
    let sweep = kinds::sweep_job(job_id(6), &AccountId::default_account()).unwrap();
    let key = sweep.key.clone();
    assert!(queue.cancel(&key).await.unwrap(), "it waits for its next time");
    kill(&*queue, sweep).await;
    assert_eq!(queue.find(&key).await.unwrap().unwrap().state, JobState::Dead);
    pass(Timing::default().sweep_interval + Duration::from_secs(30)).await;
    let job = queue.find(&key).await.unwrap().unwrap();
    assert!(job.state == JobState::Waiting && job.counts.snoozes > 0, "it has run: {job:?}");
    assert_eq!(product.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}
