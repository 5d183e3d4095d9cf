//! Decorators around a provider: each is a `ProviderClient` around a `ProviderClient`, one file each.

mod batched;
pub mod cached;
mod gather;

pub use batched::Batched;
