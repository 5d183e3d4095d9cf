//! Decorators around a provider: each is a `ProviderClient` around a `ProviderClient`, one file each.

mod batched;
pub mod breaker;
mod gather;
mod pages;
mod recent;
mod usual;

pub use batched::Batched;
pub use breaker::{Breaker, BreakerMode, BreakerSettings, BreakerSettingsError, BreakerState, BreakerView, Guarded};
