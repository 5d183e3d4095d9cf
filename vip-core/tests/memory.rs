//! Every contract on the in-memory ports, which are the reference for everybody else.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

#[path = "memory/careless.rs"]
mod careless;
#[path = "memory/hasty.rs"]
mod hasty;
#[path = "memory/patient.rs"]
mod patient;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vip_core::conformance::{
    self, AuditSinkFixture, BackendFixture, CacheFixture, Case, Lapse, MemoryFixture, ProviderFixture,
};
use vip_core::memory::{ManualClock, MemoryAuditSink, MemoryCache, MemoryProvider, ProviderFault, ProviderMethod};
use vip_core::model::{Labels, Power, ProviderName, SealedRecord, TenantId, Timestamp};
use vip_core::ports::{AuditSink, Backend, Cache, CreateRequest, ProviderClient, ProviderErrorKind, SinkName};

async fn backend() -> MemoryFixture {
    MemoryFixture::default()
}

vip_core::backend_suite!(backend);

#[derive(Debug)]
struct CacheInMemory {
    cache: MemoryCache,
    clock: Arc<ManualClock>,
}

async fn cache() -> CacheInMemory {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1)));
    CacheInMemory { cache: MemoryCache::new(Arc::clone(&clock) as _), clock }
}

#[async_trait]
impl CacheFixture for CacheInMemory {
    fn cache(&self) -> &dyn Cache {
        &self.cache
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn break_down(&self) {
        self.cache.fail_next(u32::MAX);
    }

    async fn repair(&self) {
        self.cache.fail_next(0);
    }
}

vip_core::cache_suite!(cache);

#[derive(Debug)]
struct SinkInMemory(MemoryAuditSink);

async fn audit_sink() -> SinkInMemory {
    SinkInMemory(MemoryAuditSink::new(SinkName::new("memory").unwrap()))
}

#[async_trait]
impl AuditSinkFixture for SinkInMemory {
    fn sink(&self) -> &dyn AuditSink {
        &self.0
    }

    async fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord> {
        self.0.kept(tenant)
    }

    async fn break_down(&self) {
        self.0.fail_next(u32::MAX);
    }

    async fn repair(&self) {
        self.0.fail_next(0);
    }
}

vip_core::audit_sink_suite!(audit_sink);

#[derive(Debug)]
struct CloudInMemory(MemoryProvider);

async fn provider() -> CloudInMemory {
    CloudInMemory(MemoryProvider::new(Duration::ZERO))
}

/// Longer than any test takes: for the case it is never.
const NEVER: Duration = Duration::from_secs(3600);

fn fault(lapse: Lapse) -> ProviderFault {
    match lapse {
        Lapse::AnswerLost => ProviderFault::LoseAnswer,
        Lapse::RequestLost => ProviderFault::HappenLater(NEVER),
        Lapse::Refused => ProviderFault::Refuse(ProviderErrorKind::Busy),
        Lapse::Slow => ProviderFault::Stall,
    }
}

#[async_trait]
impl ProviderFixture for CloudInMemory {
    fn client(&self) -> &dyn ProviderClient {
        &self.0
    }

    fn order(&self) -> CreateRequest {
        CreateRequest {
            name: ProviderName::new("any-0123456789ab").unwrap(),
            server_type: "small".to_owned(),
            location: "here".to_owned(),
            image: "debian-12".to_owned(),
            ssh_keys: vec!["ops".to_owned()],
            labels: Labels::new(),
            user_data: None,
            power: Power::On,
        }
    }

    async fn next_create(&self, lapse: Lapse) {
        self.0.fail_next(ProviderMethod::Create, fault(lapse));
    }

    async fn next_delete(&self, lapse: Lapse) {
        self.0.fail_next(ProviderMethod::Delete, fault(lapse));
    }

    async fn next_look(&self, lapse: Lapse) {
        self.0.fail_next(ProviderMethod::Look, fault(lapse));
    }

    async fn names(&self) -> Vec<String> {
        self.0.servers().into_iter().map(|server| server.name).collect()
    }

    async fn creates_seen(&self) -> u64 {
        self.0.calls(ProviderMethod::Create)
    }
}

vip_core::provider_suite!(provider);

/// The names in parentheses behind the bullets of a contract.
fn named(text: &str) -> BTreeSet<&str> {
    let contract = text.split_once("/// # Contract").map_or("", |(_, rest)| rest);
    let contract = contract.split_once("\n#[").map_or(contract, |(bullets, _)| bullets);
    let groups = contract.split("(`").skip(1).filter_map(|rest| rest.split_once("`)"));
    groups.flat_map(|(names, _)| names.split("`,").map(|name| name.trim_matches([' ', '\n', '/', '`']))).collect()
}

fn bullets(text: &str) -> usize {
    let contract = text.split_once("/// # Contract").map_or("", |(_, rest)| rest);
    contract.split_once("\n#[").map_or("", |(bullets, _)| bullets).matches("/// * ").count()
}

#[test]
fn every_contract_bullet_names_a_case_and_every_case_is_named_by_a_bullet() {
    fn names<F: ?Sized>(cases: &[(&'static str, Case<F>)]) -> Vec<&'static str> {
        cases.iter().map(|(name, _)| *name).collect()
    }
    let of_history = |prefix| names(history_contract::CASES).into_iter().filter(move |name| name.starts_with(prefix));
    let queue = names(job_queue_contract::CASES).into_iter().chain(names(job_origin_contract::CASES));
    let queue = queue.chain(names(job_clock_contract::CASES)).chain(of_history("many_workers"));
    let store = names(store_contract::CASES).into_iter().chain(names(store_upkeep_contract::CASES));
    let store = store.chain(names(store_removal_contract::CASES)).chain(names(store_versions_contract::CASES));
    let store = store.chain(names(store_trim_contract::CASES));
    let histories = ["many_writers", "many_orders", "first_orders"].into_iter().flat_map(of_history);
    let store = store.chain(histories);
    let ports = [
        (
            include_str!("../src/ports/job_queue/mod.rs"),
            queue.chain(["random_calls_of_a_queue_answer_as_in_memory"]).collect(),
        ),
        (
            include_str!("../src/ports/store/mod.rs"),
            store.chain(["random_calls_of_a_store_answer_as_in_memory"]).collect(),
        ),
        (include_str!("../src/ports/provider_client/mod.rs"), names(provider_client_contract::CASES)),
        (include_str!("../src/ports/cache.rs"), names(cache_contract::CASES)),
        (include_str!("../src/ports/audit_sink.rs"), names(audit_sink_contract::CASES)),
    ];
    for (text, cases) in ports {
        let cases: BTreeSet<&str> = cases.into_iter().collect();
        assert_eq!(named(text), cases);
        assert!(bullets(text) > 0 && bullets(text) <= cases.len(), "a bullet names no case");
    }
}

/// Is a backend whose clock runs faster than it says.
#[derive(Debug, Default)]
struct FastClock(MemoryFixture);

#[async_trait]
impl BackendFixture for FastClock {
    fn backend(&self) -> &Backend {
        self.0.backend()
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by * 2).await;
    }
}

#[test]
fn an_adapter_that_answers_otherwise_is_found_and_shown_with_few_calls() {
    let compared =
        std::panic::catch_unwind(|| conformance::run(conformance::sequences::queue(async || FastClock::default())));
    let words = *compared.unwrap_err().downcast::<String>().unwrap();
    let (calls, _) = words.split_once("the adapter answers").unwrap();
    assert!(calls.starts_with("seed 0: after ["), "{words}");
    // Shrunk to what one call of the sequence takes when it is written down, or a few of them.
    assert!(calls.lines().count() < 20, "{calls}");
}
