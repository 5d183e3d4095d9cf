//! Provisions servers reliably: one order, exactly one server. Traits, logic and the in-memory reference.

pub mod memory;
pub mod model;
pub mod ports;
pub mod runtime;
pub mod telemetry;
pub mod worker;
