//! Decorators that let calls of ports go wrong; one method for all of them decides how.

mod cache;
mod provider;
mod queue;
mod sink;
mod store;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use vip_core::ports::{AuditSinkError, CacheError, ProviderError, ProviderErrorKind, QueueError, StoreError};

pub use cache::FaultyCache;
pub use provider::FaultyProvider;
pub use queue::FaultyQueue;
pub use sink::{Delivered, FaultySink};
pub use store::{FaultyStore, Reads};

use crate::incarnation::{End, Incarnation};
use crate::method::{Kind, Method};
use crate::world::{STALL, World, pause};

/// Makes the errors of a port.
pub trait Fails: Debug + Sized {
    /// Nothing happened.
    fn before() -> Self;
    /// Nobody knows.
    fn unknown() -> Self;
    /// What was answered cannot be understood.
    fn nonsense(method: Method) -> Self;
}

impl Fails for StoreError {
    fn before() -> Self {
        Self::Unavailable { source: "simulated".into() }
    }

    fn unknown() -> Self {
        Self::OutcomeUnknown { source: "simulated".into() }
    }

    fn nonsense(_method: Method) -> Self {
        Self::Corrupt { source: "simulated".into() }
    }
}

impl Fails for QueueError {
    fn before() -> Self {
        Self::Unavailable { source: "simulated".into() }
    }

    fn unknown() -> Self {
        Self::OutcomeUnknown { source: "simulated".into() }
    }

    fn nonsense(_method: Method) -> Self {
        Self::Corrupt { source: "simulated".into() }
    }
}

impl Fails for AuditSinkError {
    fn before() -> Self {
        Self::new("simulated")
    }

    fn unknown() -> Self {
        Self::new("simulated")
    }

    fn nonsense(_method: Method) -> Self {
        Self::new("simulated")
    }
}

impl Fails for CacheError {
    fn before() -> Self {
        Self::new("simulated")
    }

    fn unknown() -> Self {
        Self::new("simulated")
    }

    fn nonsense(_method: Method) -> Self {
        Self::new("simulated")
    }
}

impl Fails for ProviderError {
    fn before() -> Self {
        Self::new(ProviderErrorKind::NotSent, "simulated")
    }

    fn unknown() -> Self {
        Self::new(ProviderErrorKind::Unknown, "simulated")
    }

    // An adapter that cannot read an answer cannot tell either.
    fn nonsense(_method: Method) -> Self {
        Self::new(ProviderErrorKind::Unknown, "undecodable")
    }
}

/// Is something that happens later, whoever is alive then.
pub type Effect = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Is the way from one life of a process to its ports.
#[derive(Debug, Clone)]
pub struct Link {
    /// The world.
    pub world: Arc<World>,
    /// The life.
    pub life: Arc<Incarnation>,
}

impl Link {
    /// Makes a call of a read.
    ///
    /// # Errors
    ///
    /// What the port answers, or what the plan says.
    pub async fn read<T, E, Call>(
        &self,
        method: Method,
        args: &(dyn Debug + Sync),
        call: impl Fn() -> Call,
        other: impl FnOnce(Kind) -> Option<T>,
    ) -> Result<T, E>
    where
        T: Debug,
        E: Fails,
        Call: Future<Output = Result<T, E>>,
    {
        let kind = self.begin(method).await;
        let answer = match kind {
            None | Some(Kind::Lost | Kind::LateEffect | Kind::Duplicate) => call().await,
            Some(Kind::ErrorBefore) => Err(E::before()),
            Some(Kind::ErrorAfter) => Err(E::unknown()),
            Some(Kind::Malformed) => Err(E::nonsense(method)),
            Some(Kind::CrashBefore | Kind::CrashAfter) => self.crash().await,
            Some(Kind::Cancel) => self.cancel().await,
            Some(Kind::Panic) => panic!("simulated"),
            Some(Kind::Stall) => {
                let answer = call().await;
                self.life.freeze(STALL);
                answer
            }
            Some(kind @ (Kind::StaleRead | Kind::Nonsense)) => match other(kind) {
                Some(other) => Ok(other),
                None => call().await,
            },
        };
        self.end(method, args, answer).await
    }

    /// Makes a call of a write.
    ///
    /// # Errors
    ///
    /// What the port answers, or what the plan says.
    pub async fn write<T, E, Call>(
        &self,
        method: Method,
        args: &(dyn Debug + Sync),
        call: impl Fn() -> Call,
        later: impl FnOnce() -> Effect,
    ) -> Result<T, E>
    where
        T: Debug,
        E: Fails,
        Call: Future<Output = Result<T, E>>,
    {
        let kind = self.begin(method).await;
        let answer = match kind {
            None | Some(Kind::StaleRead | Kind::Nonsense) => call().await,
            Some(Kind::ErrorBefore) => Err(E::before()),
            Some(Kind::Lost) => Err(E::unknown()),
            Some(Kind::ErrorAfter) => call().await.and(Err(E::unknown())),
            // A provider has done it when its answer cannot be read; a database that cannot read has not.
            Some(Kind::Malformed) if matches!(method, Method::Create | Method::Delete) => {
                call().await.and(Err(E::nonsense(method)))
            }
            Some(Kind::Malformed) => Err(E::nonsense(method)),
            Some(Kind::LateEffect) => {
                self.later(method, self.world.lateness(), later());
                Err(E::unknown())
            }
            Some(Kind::CrashBefore) => self.crash().await,
            Some(Kind::CrashAfter) => {
                drop(call().await);
                self.crash().await
            }
            Some(Kind::Cancel) => {
                drop(call().await);
                self.cancel().await
            }
            Some(Kind::Panic) => panic!("simulated"),
            Some(Kind::Stall) => {
                self.later(method, STALL, later());
                self.life.freeze(STALL);
                Err(E::unknown())
            }
            Some(Kind::Duplicate) => {
                drop(call().await);
                call().await
            }
        };
        self.end(method, args, answer).await
    }

    fn later(&self, method: Method, after: Duration, effect: Effect) {
        if matches!(method, Method::Create | Method::Delete) {
            self.world.later(after, effect);
        } else {
            self.world.write_later(after, effect);
        }
    }

    async fn begin(&self, method: Method) -> Option<Kind> {
        self.life.living().await;
        if self.world.is_endless() {
            // What turns in circles ends here; the run itself goes on to its end.
            std::future::pending::<()>().await;
        }
        if takes_time(method) {
            pause(self.world.delay()).await;
            self.life.living().await;
        }
        self.world.fault(method)
    }

    async fn end<T: Debug, E: Debug>(
        &self,
        method: Method,
        args: &(dyn Debug + Sync),
        answer: Result<T, E>,
    ) -> Result<T, E> {
        self.world.walked(method, answer.is_ok());
        if self.world.is_traced() {
            self.world.note(self.life.number, method, args, &answer);
        }
        if takes_time(method) {
            pause(self.world.delay()).await;
        }
        self.life.living().await;
        answer
    }

    async fn crash<T>(&self) -> T {
        self.life.end(End::Crashed);
        std::future::pending().await
    }

    async fn cancel<T>(&self) -> T {
        self.life.end(End::Cancelled);
        std::future::pending().await
    }
}

/// Upkeep that changes no order answers at once: it would only cost turns of the runtime.
const fn takes_time(method: Method) -> bool {
    !matches!(method, Method::Seal | Method::Reap | Method::StoreUpkeep | Method::QueueUpkeep | Method::Heartbeat)
}
