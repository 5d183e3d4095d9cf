//! Every port in memory: the reference of the contracts, and what documentation, tests and simulation run on.

mod clock;
mod job_queue;
mod jobs;
mod state;

pub use clock::{ManualClock, VirtualClock};
pub use job_queue::MemoryQueue;
