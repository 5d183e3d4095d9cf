//! Doors: the five traits at the edge, their errors and value types, and the clock. Imports only `model`.

pub mod audit_sink;
pub mod backend;
pub mod cache;
pub mod clock;
pub mod connections;
pub mod job_queue;
pub mod provider_client;
pub mod retryability;
pub mod store;

pub use audit_sink::{AuditSink, AuditSinkError, DELIVERY_LIMIT, SinkName};
pub use backend::Backend;
pub use cache::{Cache, CacheError, CacheKey};
pub use clock::{Clock, Randomness, SeededRandomness, SystemClock, SystemRandomness};
pub use connections::{Connections, PoolFigures};
pub use job_queue::{
    ClaimRequest, Claimed, ENQUEUE_MOST, Enqueued, JobQueue, Lease, LeaseRef, QueueError, QueueStats, Settled,
    Settlement, Verdict,
};
pub use provider_client::{
    ActionStatus, ActionView, Catalog, CatalogImage, CatalogLocation, CatalogPrice, CatalogServerType, CreateRequest,
    Created, Deletion, InventoryPage, Outlook, Pace, Priority, ProviderClient, ProviderError, ProviderErrorKind,
    RateLimit, RequestContext, Reserved, ServerStatus, ServerView, Service, Shut,
};
pub use retryability::Retryability;
pub use store::{
    ChangeSet, CommandStore, Committed, Delivery, Durability, Guard, KeyRecord, Loaded, Note, OperationChange,
    QuotaChange, RecordedRef, Retention, SealReport, ServerVersions, Stalled, Store, StoreError, StoreStats, Trimmed,
};
