//! Provisions servers reliably: one order, exactly one server. Traits, logic and the in-memory reference.
//!
//! The map: [`model`] holds nouns, [`ports`] the traits at the edge, [`provisioning`] the verbs accept, converge and
//! sweep, [`worker`] what runs jobs, [`runtime`] what keeps it all alive, [`relay`] what moves committed rows outward,
//! [`memory`] every port in memory, [`resilience`] breaker, budget and cache around a provider, [`telemetry`] the names of
//! metrics and fields, and [`provisioner`] the facade that a host holds. Features: `conformance`, the contracts as cases for
//! adapters, and `mocks`, a mock of each port; both are exempt from semantic versioning.
//!
//! ```
//! use std::time::Duration;
//!
//! use vip_core::Provisioner;
//! use vip_core::memory::{MemoryProvider, memory_backend};
//! use vip_core::model::ServerSpec;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = MemoryProvider::new(Duration::from_millis(10));
//! let provisioner = Provisioner::builder(memory_backend()).provider(provider).start().await?;
//! let spec = ServerSpec::new("web-1").server_type("small").image("debian-12").location("here").ssh_key("ops");
//! let order = provisioner.tenant("acme").create_server(spec).idempotency_key("order-1").await?;
//! println!("accepted as {}", order.id());
//! let report = provisioner.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(report.tasks_left, 0);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod memory;
#[cfg(feature = "mocks")]
pub mod mocks;
pub mod model;
pub mod ports;
pub mod provisioner;
pub mod provisioning;
pub mod relay;
pub mod resilience;
pub mod runtime;
#[cfg(not(vip_seeded_bugs))]
mod seeded_bugs;
#[cfg(vip_seeded_bugs)]
pub mod seeded_bugs;
pub mod telemetry;
pub mod worker;

pub use provisioner::{Provisioner, WaitError};
pub use provisioning::accept::CommandError;
