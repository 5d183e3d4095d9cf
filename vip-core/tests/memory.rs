//! Every contract on the in-memory ports, which are the reference for everybody else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vip_core::conformance::{AuditSinkFixture, CacheFixture, Lapse, MemoryFixture, ProviderFixture};
use vip_core::memory::{ManualClock, MemoryAuditSink, MemoryCache, MemoryProvider, ProviderFault, ProviderMethod};
use vip_core::model::{Labels, Power, ProviderName, SealedRecord, TenantId, Timestamp};
use vip_core::ports::{AuditSink, Cache, CreateRequest, ProviderClient, ProviderErrorKind, SinkName};

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

    async fn fail_next(&self) {
        self.cache.fail_next(1);
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

    async fn fail_next(&self) {
        self.0.fail_next(1);
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

    async fn names(&self) -> Vec<String> {
        self.0.servers().into_iter().map(|server| server.name).collect()
    }

    async fn creates_seen(&self) -> u64 {
        self.0.calls(ProviderMethod::Create)
    }
}

vip_core::provider_suite!(provider);
