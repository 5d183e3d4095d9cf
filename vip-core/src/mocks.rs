//! Mocks of every port, for unit tests of hosts (feature `mocks`); exempt from semantic versioning.
//!
//! ```toml
//! [dev-dependencies]
//! vip-core = { path = "../vip/vip-core", features = ["mocks"] }
//! ```
//!
//! With it they are in `vip_adapters::vip_core::mocks`, too. A call that nobody expects panics, and methods with a body of their own are
//! mocked as well. So expect of a [`MockProviderClient`] what the start asks it, and afterwards each sweep:
//!
//! ```
//! use vip_core::Provisioner;
//! use vip_core::memory::memory_backend;
//! use vip_core::mocks::MockProviderClient;
//! use vip_core::model::TokenDigest;
//! use vip_core::ports::{InventoryPage, Outlook};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = MockProviderClient::new();
//! client.expect_token_digest().returning(|| TokenDigest::of("token"));
//! client.expect_outlook().returning(Outlook::default);
//! client.expect_inventory().returning(|_owner, _page, _context| Ok(InventoryPage { servers: Vec::new(), next: None }));
//! let provisioner = Provisioner::builder(memory_backend()).provider(client).start().await?;
//! # assert!(provisioner.shutdown(std::time::Duration::from_secs(5)).await.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! For a cloud that works take [`MemoryProvider`](crate::memory::MemoryProvider): its `fail_next` makes single calls go wrong.

pub use crate::ports::audit_sink::MockAuditSink;
pub use crate::ports::cache::MockCache;
pub use crate::ports::job_queue::MockJobQueue;
pub use crate::ports::provider_client::MockProviderClient;
pub use crate::ports::store::MockStore;
