//! Keeps background work alive and ends it in order: supervisor, shutdown, health.

mod backoff;
mod health;
mod panics;
mod shutdown;
mod supervisor;

pub use backoff::Backoff;
pub use health::{Health, HealthReport, HealthSource, HealthStatus, PartHealth};
pub use shutdown::{PhaseEnd, PhaseReport, Shutdown, ShutdownReport};
pub use supervisor::{LoopError, LoopFailed, LoopHandle, LoopPolicy, LoopStatus, LoopsStopped, Supervisor, Tick};

pub(crate) use panics::panic_message;
