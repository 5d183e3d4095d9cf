//! The contract of `JobQueue` on Redis, against a real server.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is a test")]

#[path = "redis_queue/conflicts.rs"]
mod conflicts;
#[path = "redis_queue/guards.rs"]
mod guards;
#[path = "redis_queue/healing.rs"]
mod healing;
#[path = "redis_queue/secrets.rs"]
mod secrets;
#[path = "redis_queue/server.rs"]
mod server;
#[path = "redis_queue/tls.rs"]
mod tls;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use vip_adapters::redis::{RedisConfig, RedisQueue};
use vip_core::conformance::{BackendFixture, random};
use vip_core::memory::{ManualClock, MemoryBackend};
use vip_core::model::{InstallationId, Timestamp};
use vip_core::ports::{Backend, Clock};
use vip_tests::redis_server::RedisServer;

/// Is a queue of a name of its own on the server that all cases share, beside a store in memory on the same clock.
#[derive(Debug)]
struct RedisFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl BackendFixture for RedisFixture {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// Is never dropped: the server's guard ends with this process, and removes its folder.
fn shared_server() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(RedisServer::start)
}

async fn redis_queue() -> RedisFixture {
    with_config(|config| config).await
}

async fn with_config(change: impl FnOnce(RedisConfig) -> RedisConfig) -> RedisFixture {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("case-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
    let config = change(RedisConfig::queue().name(name).clock(Arc::clone(&clock) as _));
    let queue = RedisQueue::open(&shared_server().url(), config).await.unwrap();
    let memory = MemoryBackend::new(Arc::clone(&clock) as Arc<dyn Clock>, random(InstallationId::from_uuid));
    let backend = Backend::new(Backend::from(memory).store, Arc::new(queue));
    RedisFixture { backend, clock }
}

vip_core::job_queue_suite!(redis_queue);
