//! Every port in memory: the reference of the contracts, and what documentation, tests and simulation run on.

mod audit_sink;
mod backend;
mod cache;
mod clock;
mod job_queue;
mod jobs;
mod provider;
mod state;
mod store;
mod tables;

pub use audit_sink::MemoryAuditSink;
pub use backend::{MemoryBackend, MemoryBackup, memory_backend, virtual_backend};
pub use cache::{MEMORY_CACHE_ENTRIES, MemoryCache};
#[cfg(test)]
pub(crate) use clock::ShiftedClock;
pub use clock::{ManualClock, VirtualClock};
pub use job_queue::MemoryQueue;
pub use provider::{MemoryProvider, MemoryStock, ProviderFault, ProviderMethod, belongs_to};
pub use store::MemoryStore;
