//! Mocks of every port, for unit tests of hosts (feature `mocks`); exempt from semantic versioning.

pub use crate::ports::audit_sink::MockAuditSink;
pub use crate::ports::cache::MockCache;
pub use crate::ports::job_queue::MockJobQueue;
pub use crate::ports::provider_client::MockProviderClient;
pub use crate::ports::store::MockStore;
