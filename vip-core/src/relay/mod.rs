//! Moves committed rows outward, at least once: audit records into their chain and on to sinks, jobs to a queue elsewhere.

mod audit;
mod jobs;

pub use audit::{Delivered, deliver_once, seal_all};
pub use jobs::{JobRoute, RELAY_BATCH, Relayed, relay_once};
