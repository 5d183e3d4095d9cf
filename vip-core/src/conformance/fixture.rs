//! What an adapter's author provides: a fresh adapter for each case, and the few levers that a case needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::memory::{ManualClock, MemoryBackend};
use crate::model::{AccountId, ClaimId, InstallationId, SealedRecord, TenantId, Timestamp};
use crate::ports::{
    AuditSink, Backend, Cache, Clock, CreateRequest, JobQueue, ProviderClient, Randomness, Store, SystemRandomness,
};

/// Is an empty store with the queue beside it, on a clock that moves when told.
#[async_trait]
pub trait BackendFixture: fmt::Debug + Send + Sync + 'static {
    /// Returns the backend.
    fn backend(&self) -> &Backend;

    /// Moves the clock of store and queue forward; between two calls it stands still.
    async fn advance(&self, by: Duration);

    /// Returns the store.
    fn store(&self) -> &dyn Store {
        &*self.backend().store
    }

    /// Returns the queue.
    fn queue(&self) -> &dyn JobQueue {
        &*self.backend().queue
    }

    /// Reads the clock.
    async fn now(&self) -> Timestamp {
        self.store().now().await.unwrap()
    }

    /// Ends the fixture after its case.
    async fn close(&self) {
        self.store().close().await.unwrap();
    }
}

/// Is an empty cache on a clock that moves when told.
#[async_trait]
pub trait CacheFixture: fmt::Debug + Send + Sync + 'static {
    /// Returns the cache.
    fn cache(&self) -> &dyn Cache;

    /// Moves the clock of the cache forward; between two calls it stands still.
    async fn advance(&self, by: Duration);

    /// Makes every call fail from now on, as if what keeps the values were out of reach.
    async fn break_down(&self);

    /// Ends what `break_down` began.
    async fn repair(&self);

    /// Ends the fixture after its case.
    async fn close(&self) {}
}

/// Is an empty sink whose content can be looked at.
#[async_trait]
pub trait AuditSinkFixture: fmt::Debug + Send + Sync + 'static {
    /// Returns the sink.
    fn sink(&self) -> &dyn AuditSink;

    /// Returns what is kept of a tenant, in the order in which it is kept; also after the sink was closed.
    async fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord>;

    /// Makes every delivery fail from now on, as if what keeps the records were out of reach.
    async fn break_down(&self);

    /// Ends what `break_down` began.
    async fn repair(&self);

    /// Ends the fixture after its case.
    async fn close(&self) {}
}

/// Says how the next request of a provider fixture goes wrong; of a look there is nothing to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse {
    /// It is applied, and its answer is lost.
    AnswerLost,
    /// It is lost on its way, so that nobody can tell; it is not applied.
    RequestLost,
    /// The provider refuses it and does nothing.
    Refused,
    /// It is applied, and its answer comes after an hour.
    Slow,
}

/// Is an account without servers at a provider, or at something that behaves like it.
#[async_trait]
pub trait ProviderFixture: fmt::Debug + Send + Sync + 'static {
    /// Returns the client.
    fn client(&self) -> &dyn ProviderClient;

    /// Returns an order that the provider can fulfil; the cases set its name and labels.
    fn order(&self) -> CreateRequest;

    /// Makes the next create go wrong.
    async fn next_create(&self, lapse: Lapse);

    /// Makes the next delete go wrong.
    async fn next_delete(&self, lapse: Lapse);

    /// Makes the next request that changes nothing go wrong, whatever it asks for; that one alone, also if the client repeats it.
    async fn next_look(&self, lapse: Lapse);

    /// Ends the session that the client has begun with its credentials, as if its time were over; nothing where there are no sessions.
    async fn end_session(&self) {}

    /// Returns the names of the servers that exist, as the provider itself sees them.
    async fn names(&self) -> Vec<String>;

    /// Returns how many creates reached the provider so far, applied or not; lost requests may be left out.
    async fn creates_seen(&self) -> u64;

    /// Ends the fixture after its case.
    async fn close(&self) {}
}

/// Is the in-memory backend as a fixture: the reference that others are compared with.
#[derive(Debug)]
pub struct MemoryFixture {
    backend: Backend,
    clock: Arc<ManualClock>,
}

impl MemoryFixture {
    /// Makes an empty one at a time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let backend = MemoryBackend::new(Arc::clone(&clock) as Arc<dyn Clock>, random(InstallationId::from_uuid));
        Self { backend: backend.into(), clock }
    }
}

impl Default for MemoryFixture {
    /// Starts at a time that looks like one.
    fn default() -> Self {
        Self::at(Timestamp::from_micros(1_790_000_000_000_000))
    }
}

#[async_trait]
impl BackendFixture for MemoryFixture {
    fn backend(&self) -> &Backend {
        &self.backend
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// Makes an id of any kind from random bits.
pub fn random<T>(wrap: impl Fn(Uuid) -> T) -> T {
    let source: &dyn Randomness = &SystemRandomness;
    wrap(source.uuid())
}

/// Makes a random claim id.
#[must_use]
pub fn claim_id() -> ClaimId {
    random(ClaimId::from_uuid)
}

/// Returns the account that the samples use.
#[must_use]
pub fn account() -> AccountId {
    AccountId::default_account()
}

/// Makes a duration.
#[must_use]
pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
