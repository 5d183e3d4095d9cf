//! Whole orders on the memory backend, under the paused clock: accept, converge and sweep together.

mod accept;
#[cfg(feature = "mocks")]
mod audit_chain;
#[cfg(feature = "mocks")]
mod between_commits;
mod clock_ahead;
mod commands;
#[cfg(feature = "mocks")]
mod commits;
mod cut_sweeps;
mod dead_jobs;
mod faults;
mod gates;
mod held_back;
#[cfg(feature = "mocks")]
mod hidden_list;
#[cfg(feature = "mocks")]
mod lost_commits;
#[cfg(feature = "mocks")]
mod moved_on;
mod nothing_to_see;
#[cfg(feature = "mocks")]
mod one_attempt;
mod others;
#[cfg(feature = "mocks")]
mod overtaken_sweeps;
mod own_server;
mod refused;
mod relabelled;
mod restored;
mod restored_all;
#[cfg(all(vip_seeded_bugs, feature = "mocks"))]
mod seeded_bugs;
#[cfg(feature = "mocks")]
mod summaries;
mod sweep;
mod sweep_scale;
#[cfg(feature = "mocks")]
mod sweep_times;
#[cfg(feature = "mocks")]
mod taken_away;
#[cfg(feature = "mocks")]
mod tokens;
#[cfg(feature = "mocks")]
mod told;
mod yielding;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use super::accept::{Accepted, Caller, CommandError, CreateServer, DeleteServer, create_server, delete_server};
use super::converge::Converge;
use super::kinds::CONVERGE;
use crate::memory::{MemoryBackend, MemoryProvider, VirtualClock};
use crate::model::{
    AccountId, Actor, ClaimId, IdempotencyKey, InstallationId, JobKind, Operation, OperationId, Server, ServerId,
    ServerSpec, TenantId, Timestamp, Timing,
};
use crate::ports::{Backend, ClaimRequest, Clock, ProviderClient, Randomness, SeededRandomness, Settlement, Verdict};
use crate::worker::{Attempt, JobHandler, JobOutcome};

/// When clocks start.
pub(super) const START: Timestamp = Timestamp::from_micros(1_000_000_000_000);

/// Is a product without loops: the test moves it.
pub(super) struct Product {
    pub(super) context: Context,
    pub(super) provider: MemoryProvider,
    pub(super) memory: MemoryBackend,
    converge: Converge,
}

pub(super) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(super) fn installation(number: u128) -> InstallationId {
    InstallationId::from_uuid(uuid::Uuid::from_u128(number))
}

pub(super) fn spec(name: &str) -> ServerSpec {
    ServerSpec::new(name).server_type("a").image("i").location("l").ssh_key("k")
}

impl Product {
    pub(super) async fn new() -> Self {
        Self::on(MemoryProvider::default(), installation(1)).await
    }

    /// Makes an installation of its own on a provider.
    pub(super) async fn on(provider: MemoryProvider, installation: InstallationId) -> Self {
        Self::on_clock(provider, installation, Arc::new(VirtualClock::new(START))).await
    }

    /// The same with a clock of its own for store and queue.
    pub(super) async fn on_clock(
        provider: MemoryProvider,
        installation: InstallationId,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let memory = MemoryBackend::new(clock.clone(), installation);
        let backend = Backend::from(memory.clone());
        let client: Arc<dyn ProviderClient> = Arc::new(provider.clone());
        let randomness: Arc<dyn Randomness> = Arc::new(SeededRandomness::new(installation.as_uuid().as_u64_pair().1));
        let context = Context {
            store: backend.store,
            queue: backend.queue,
            outbox: None,
            providers: Arc::new(BTreeMap::from([(AccountId::default_account(), client)])),
            clock,
            randomness,
            timing: Arc::new(Timing::default()),
            installation,
        };
        let converge = Converge::new(context.clone()).unwrap();
        let product = Self { context, provider, memory, converge };
        super::check_token(&product.context, &AccountId::default_account()).await.unwrap();
        product
    }

    /// Makes a product with an order that is failing: its server is gone before it ran, and a create before that one may land.
    pub(super) async fn with_failing_order() -> (Self, Operation) {
        use crate::memory::{ProviderFault, ProviderMethod};
        let slow = MemoryProvider::new(Duration::from_secs(3600));
        let product = Self::on(slow, installation(1)).await;
        let unanswered = ProviderFault::Refuse(crate::ports::ProviderErrorKind::Unknown);
        product.provider.fail_next(ProviderMethod::Create, unanswered);
        let order = product.order("web-1", None).await.unwrap().operation;
        product.settle_within(Duration::from_secs(30)).await;
        let seen = product.server(order.server).await.provider_ref.unwrap();
        assert!(seen.seen_by_id && product.provider.vanish(&seen.id));
        product.settle_within(Duration::from_secs(30)).await;
        let failing = product.server(order.server).await;
        assert_eq!(failing.state, crate::model::ServerState::Failing, "absence is not proven yet");
        (product, order)
    }

    pub(super) fn caller(key: Option<&str>) -> Caller {
        let key = key.map(|text| IdempotencyKey::new(text).unwrap());
        Caller {
            tenant: tenant(),
            actor: Actor::principal("somebody").unwrap(),
            request_id: None,
            trace_parent: None,
            key,
        }
    }

    pub(super) async fn order(&self, name: &str, key: Option<&str>) -> Result<Accepted, CommandError> {
        self.order_within(name, key, None).await
    }

    pub(super) async fn order_within(
        &self,
        name: &str,
        key: Option<&str>,
        quota: Option<u32>,
    ) -> Result<Accepted, CommandError> {
        let command = CreateServer {
            spec: spec(name),
            accounts: vec![AccountId::default_account()],
            quota,
            ..CreateServer::default()
        };
        create_server(&self.context, &Self::caller(key), &command).await
    }

    pub(super) async fn delete(&self, server: ServerId) -> Result<Accepted, CommandError> {
        delete_server(&self.context, &Self::caller(None), DeleteServer { server }).await
    }

    pub(super) async fn server(&self, id: ServerId) -> Server {
        self.context.store.load(&tenant(), id).await.unwrap().unwrap().server
    }

    pub(super) async fn operation(&self, id: OperationId) -> Operation {
        self.context.store.operation(&tenant(), id).await.unwrap().unwrap()
    }

    /// Claims one due job.
    pub(super) async fn claim(&self) -> Option<Attempt> {
        let request = ClaimRequest {
            kinds: vec![JobKind::new(CONVERGE).unwrap()],
            most: 1,
            lease: self.context.timing.lease,
            claim: ClaimId::from_uuid(self.context.randomness.uuid()),
        };
        let claimed = self.context.queue.claim(&request).await.unwrap().pop()?;
        Some(Attempt::for_test(claimed, self.context.timing.margin))
    }

    /// Runs an attempt and settles it.
    pub(super) async fn run(&self, attempt: Attempt) -> JobOutcome {
        let payload = attempt.job().payload.decode().unwrap();
        let outcome = self.converge.run(payload, &attempt).await;
        let verdict = match outcome.clone() {
            JobOutcome::Done => Verdict::Done,
            JobOutcome::Retry { code, .. } => Verdict::Retry { delay: Duration::from_secs(1), code },
            JobOutcome::Snooze { delay } | JobOutcome::Leave { delay } => Verdict::Snooze { delay },
            JobOutcome::Release => Verdict::Release,
            JobOutcome::Dead { code } => Verdict::Dead { code },
        };
        self.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap();
        outcome
    }

    /// Runs what is due and lets time pass, until nothing is left to do or `most` is over; burned attempts are a fault.
    pub(super) async fn settle_within(&self, most: Duration) {
        let end = Instant::now() + most;
        while Instant::now() < end {
            match self.claim().await {
                Some(attempt) => {
                    let outcome = self.run(attempt).await;
                    assert!(!matches!(outcome, JobOutcome::Retry { .. }), "burned an attempt: {outcome:?}");
                }
                None => {
                    // What the loops of a running product do: bring back expired leases, probe closed gates.
                    self.context.queue.reap(5, 100).await.unwrap();
                    super::check_token(&self.context, &AccountId::default_account()).await.unwrap();
                    let stats = self.context.queue.stats(&[]).await.unwrap();
                    if stats.due + stats.later + stats.leased == 0 {
                        return;
                    }
                    tokio::time::advance(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Demands that the audit has one record for each version and a whole chain.
    pub(super) async fn demand_audit(&self) {
        crate::relay::seal_all(self.context.store.as_ref()).await.unwrap();
        super::verify_audit(&self.context, &tenant(), None).await.unwrap();
    }
}
