//! What every contract case gets: a fresh backend and a clock that moves when told.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use vip_core::model::{AccountId, ClaimId, Timestamp};
use vip_core::ports::{Backend, Clock, JobQueue, Randomness, Store, SystemRandomness};

/// Stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at a time that looks like one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_790_000_000_000_000)))
    }

    pub fn advance(&self, by: Duration) {
        self.0.store(self.now().plus(by).as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Is a fresh backend on a clock of its own, and whatever has to live as long.
pub struct Fixture {
    pub backend: Backend,
    pub clock: Arc<ManualClock>,
    pub kept: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fixture").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Fixture {
    pub fn store(&self) -> &dyn Store {
        &*self.backend.store
    }

    pub fn queue(&self) -> &dyn JobQueue {
        &*self.backend.queue
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Makes an id of any kind from random bits.
pub fn random<T>(wrap: impl Fn(uuid::Uuid) -> T) -> T {
    let source: &dyn Randomness = &SystemRandomness;
    wrap(source.uuid())
}

pub fn claim_id() -> ClaimId {
    random(ClaimId::from_uuid)
}

pub fn account() -> AccountId {
    AccountId::default_account()
}

pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Makes one test of each case, on a fixture of its own.
macro_rules! cases {
    ($fixture:path, $module:ident: $($case:ident,)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let fixture = $fixture().await;
                crate::$module::$case(&fixture).await;
                fixture.backend.store.close().await.unwrap();
            }
        )+
    };
}
pub(crate) use cases;
