//! Moves committed rows outward, at least once: audit records into their chain, and from there to sinks.

mod audit;

pub use audit::{Delivered, deliver_once, seal_all};
