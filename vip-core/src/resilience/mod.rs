//! Decorators around a provider: each is a `ProviderClient` around a `ProviderClient`, one file each.

mod batched;
mod gather;
mod pages;
mod recent;
mod usual;

pub use batched::Batched;
