//! Provisions servers reliably: one order, exactly one server. Traits, logic and the in-memory reference.

pub mod memory;
#[cfg(feature = "mocks")]
pub mod mocks;
pub mod model;
pub mod ports;
pub mod provisioning;
pub mod relay;
pub mod worker;
