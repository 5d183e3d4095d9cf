//! Nouns: plain values without I/O and without async. Imports nothing else of this crate.

mod audit_record;
mod chain;
mod code;
mod fingerprint;
mod ids;
mod job;
mod labels;
pub mod limits;
mod money;
mod names;
mod operation;
mod page;
mod reason;
mod server;
mod sighting;
mod spec;
#[cfg(test)]
mod stored_tests;
mod timestamp;
mod timing;
mod validation;

pub use audit_record::{Actor, AuditDraft, AuditRecord, OutcomeClass, SealedRecord, Verb};
pub use chain::{ChainFault, ChainHash, ChainHead, VersionFault, seal_hash, verify_chain, verify_versions};
pub(crate) use code::safe_code;
pub use fingerprint::{CreateHash, Fingerprint};
pub use ids::{ChangeId, ClaimId, InstallationId, IntentId, JobId, OperationId, ServerId};
pub use job::{AttemptCounts, Job, JobState, NewJob, Payload, Why};
pub use labels::{Labels, OWNER_LABEL, SERVER_LABEL, SPEC_LABEL};
pub use money::{Currency, Money, Price};
pub use names::{
    AccountId, DisplayName, IdempotencyKey, JobKey, JobKind, NameError, ProviderActionId, ProviderName,
    ProviderServerId, RequestId, TenantId, TraceParent,
};
pub use operation::{Operation, OperationStatus, OperationVerb};
pub use page::{Page, PageLimit, PageRequest};
pub use reason::{FailReason, ParkReason, WaitReason};
pub use server::{
    Addresses, Candidate, Desired, Effect, Intent, Landing, ProviderRef, Removal, Server, ServerState, Shortage,
    Unsettled,
};
pub use sighting::{Account, Gate, GateEntry, Sighting, SightingClass, SightingKey, TokenDigest, Vouched};
pub(crate) use spec::is_catalog_name;
pub use spec::{Power, ServerSpec, UserData, ValidSpec};
pub use timestamp::Timestamp;
pub use timing::{Timing, TimingError};
pub use validation::{FieldError, Invalid};
