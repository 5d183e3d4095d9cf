//! What every contract case gets: a fresh backend and a clock that moves when told.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use vip_core::model::{AccountId, ClaimId, Timestamp};
use vip_core::ports::{Backend, Clock, JobQueue, Randomness, Store, SystemRandomness};

/// Stands still until it is moved.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at a time that looks like one.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_790_000_000_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.store(self.now().plus(by).as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Is a fresh backend on a clock of its own, and whatever has to live as long.
pub(crate) struct Fixture {
    pub(crate) backend: Backend,
    pub(crate) clock: Arc<ManualClock>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fixture").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Fixture {
    pub(crate) fn new(backend: Backend, clock: Arc<ManualClock>, kept: impl Any + Send + Sync) -> Self {
        Self { backend, clock, _kept: Box::new(kept) }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.backend.store
    }

    pub(crate) fn queue(&self) -> &dyn JobQueue {
        &*self.backend.queue
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Makes an id of any kind from random bits.
pub(crate) fn random<T>(wrap: impl Fn(uuid::Uuid) -> T) -> T {
    let source: &dyn Randomness = &SystemRandomness;
    wrap(source.uuid())
}

pub(crate) fn claim_id() -> ClaimId {
    random(ClaimId::from_uuid)
}

pub(crate) fn account() -> AccountId {
    AccountId::default_account()
}

pub(crate) const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Is one case, to be called on a fixture of its own.
pub(crate) type Case = for<'f> fn(&'f Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>;

/// Makes one test of each case, on a fixture of its own, and a list of all of them.
macro_rules! cases {
    ($list:ident, $fixture:path, $module:ident: $($case:ident,)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let fixture = $fixture().await;
                crate::$module::$case(&fixture).await;
                fixture.backend.store.close().await.unwrap();
            }
        )+

        const $list: &[(&str, crate::fixture::Case)] =
            &[$((stringify!($case), |fixture| Box::pin(crate::$module::$case(fixture))),)+];
    };
}
pub(crate) use cases;
