//! The contracts of all ports as cases that an adapter's author runs (feature `conformance`, exempt from semantic versioning).
//!
//! Write a fixture for your adapter, and hand its name to one line of a test file; `docs/how-to/write-an-adapter.md`
//! shows it for three ports.
//!
//! ```
//! # #[macro_use]
//! # extern crate vip_core;
//! use vip_core::conformance::MemoryFixture;
//!
//! async fn memory() -> MemoryFixture {
//!     MemoryFixture::default()
//! }
//!
//! backend_suite!(memory);
//! # fn main() {}
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "test code that happens to live in a library: a case fails by panicking"
)]

pub mod audit_sink;
pub mod cache;
mod fixture;
pub mod history;
pub mod job_clock;
pub mod job_origin;
pub mod job_queue;
pub mod provider_client;
pub mod samples;
pub mod sequences;
pub mod store;
pub mod store_removal;
pub mod store_trim;
pub mod store_upkeep;
pub mod store_versions;
mod suite;

pub use fixture::{
    AuditSinkFixture, BackendFixture, CacheFixture, Lapse, MemoryFixture, ProviderFixture, account, claim_id, random,
    seconds,
};
pub use suite::{Case, conformance_cases, job_queue_cases, run};
