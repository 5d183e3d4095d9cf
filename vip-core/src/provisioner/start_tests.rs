//! A start with more accounts than a queue takes jobs at once, and with one whose client panics.

use async_trait::async_trait;

use super::account_tests::{backend, cloud, stop};
use super::*;
use crate::memory::{MemoryQueue, VirtualClock};
use crate::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest, Timestamp};
use crate::ports::{
    ClaimRequest, Claimed, Durability, ENQUEUE_MOST, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled,
    Settlement,
};
use crate::provisioning::kinds;

/// Is a queue elsewhere that takes no more at once than every queue has to.
#[derive(Debug, Clone)]
struct Narrow(Arc<MemoryQueue>);

#[async_trait]
impl JobQueue for Narrow {
    fn durability(&self) -> Durability {
        self.0.durability()
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        if jobs.len() > ENQUEUE_MOST {
            return Err(QueueError::Corrupt { source: "too many jobs at once".into() });
        }
        self.0.enqueue(jobs).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        self.0.claim(request).await
    }

    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        self.0.heartbeat(leases, lease).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        self.0.settle(settlements).await
    }

    async fn wait(&self, timeout: Duration) {
        self.0.wait(timeout).await;
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        self.0.reap(max_rescues, most).await
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        self.0.raise_epochs(above).await
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        self.0.cancel(key).await
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        self.0.find(key).await
    }

    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        self.0.list(state, page).await
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        self.0.replay(job).await
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        self.0.stats(kinds).await
    }
}

#[tokio::test(start_paused = true)]
async fn more_accounts_than_a_queue_takes_jobs_at_once_all_have_their_sweep_at_the_start() {
    let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
    let queue = Narrow(Arc::new(MemoryQueue::alone(Arc::new(clock))));
    let accounts: Vec<AccountId> =
        (0..=ENQUEUE_MOST).map(|number| AccountId::new(format!("a{number}")).unwrap()).collect();
    let builder = Provisioner::builder(Backend::from(backend()).with_queue(queue.clone()));
    let builder = accounts.iter().fold(builder, |builder, id| builder.account(id.clone(), cloud(id.as_str())));
    let product = builder.start().await.unwrap();
    for id in &accounts {
        let key = kinds::sweep_job(JobId::from_uuid(uuid::Uuid::nil()), id).unwrap().key;
        assert!(queue.find(&key).await.unwrap().is_some(), "{id} has no sweep");
    }
    stop(product).await;
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn a_client_that_panics_at_each_check_of_its_token_stops_its_own_account_alone() {
    use crate::model::{ServerSpec, ServerState, TokenDigest};

    // Named so that it is checked before the other one.
    let broken = AccountId::new("broken").unwrap();
    let mut client = crate::mocks::MockProviderClient::new();
    client.expect_outlook().returning(crate::ports::Outlook::default);
    client.expect_token_digest().returning(|| TokenDigest::of("broken"));
    client.expect_inventory().returning(|_, _, _| panic!("a client that panics"));
    let builder = Provisioner::builder(backend()).provider(cloud("healthy")).account(broken.clone(), client);
    let product = builder.start().await.unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = product.tenant("acme").create_server(spec).account(AccountId::default_account()).await.unwrap();
    // Longer than a critical loop that panics at each turn is kept up.
    let failed = tokio::time::timeout(Duration::from_secs(600), product.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(order.wait().await.unwrap().state, ServerState::Running);
    let gates = product.loops().into_iter().find(|status| status.name == "gates").unwrap();
    assert!(gates.running && !gates.given_up && gates.panics == 0, "{gates:?}");
    let parts = product.health().await.parts;
    let part = parts.iter().find(|part| part.name == format!("account:{broken}")).unwrap();
    assert_eq!(part.detail.as_deref(), Some("the token is not checked yet"));
    stop(product).await;
}
