//! Who did what to which server, when and with what outcome: one record for each change, in its commit.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::ChainHash;
use super::ids::{ChangeId, ClaimId, OperationId, ServerId};
use super::names::{NameError, ProviderServerId, RequestId, TenantId};
use super::server::ServerState;
use super::timestamp::Timestamp;

/// Says who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "actor", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// Somebody of the tenant, by the name that the host gave.
    Principal {
        /// The name, at most 255 bytes.
        name: String,
    },
    /// A worker, by its claim.
    Worker {
        /// The claim.
        claim: ClaimId,
    },
    /// An operator, by the name that the host gave.
    Operator {
        /// The name, at most 255 bytes.
        name: String,
    },
}

impl Actor {
    /// Names somebody of the tenant.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless the name has 1 to 255 visible ASCII characters.
    pub fn principal(name: impl Into<String>) -> Result<Self, NameError> {
        RequestId::new(name).map(|checked| Self::Principal { name: checked.into() })
    }

    /// Names an operator.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless the name has 1 to 255 visible ASCII characters.
    pub fn operator(name: impl Into<String>) -> Result<Self, NameError> {
        RequestId::new(name).map(|checked| Self::Operator { name: checked.into() })
    }
}

/// Says what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verb {
    /// A create was accepted.
    AcceptCreate,
    /// A delete was accepted.
    AcceptDelete,
    /// An effect was announced.
    Announce,
    /// The result of an effect was recorded.
    Record,
    /// The answer of a look was recorded.
    Look,
    /// The record moved without asking anybody.
    Move,
    /// The record was parked or unparked.
    Park,
    /// A final record was opened again, because its server resurfaced.
    Reopen,
}

/// Says how an effect or look ended, as far as the audit is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutcomeClass {
    /// Not an effect.
    None,
    /// Done.
    Applied,
    /// Found, and ours.
    Found,
    /// Nothing there.
    Absent,
    /// Found, and not ours.
    Foreign,
    /// Not applied: refused for good.
    Rejected,
    /// Not applied: out of stock.
    Exhausted,
    /// Not applied: locked by other work.
    Busy,
    /// Not applied: the provider limits requests.
    Throttled,
    /// Not applied: never left.
    NotSent,
    /// May have been applied, or may yet be.
    Unknown,
    /// The provider's own work ended in error.
    ActionFailed,
}

impl fmt::Display for OutcomeClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Is the part of an audit record that the caller of a commit knows; ids and codes only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct AuditDraft {
    /// Who made the change.
    pub actor: Actor,
    /// What was done.
    pub verb: Verb,
    /// State before; none for a new server.
    pub from: Option<ServerState>,
    /// State after.
    pub to: ServerState,
    /// Operation that it belongs to.
    pub operation: Option<OperationId>,
    /// Effect or look, as a stable name.
    pub effect: Option<String>,
    /// How it ended.
    pub outcome: OutcomeClass,
    /// The provider's or our code for it.
    pub code: Option<String>,
    /// Which attempt it was.
    pub attempt: u32,
    /// The provider's id of the server.
    pub provider_id: Option<ProviderServerId>,
    /// Request that asked for it.
    pub request_id: Option<RequestId>,
    /// The provider's id of its own request, for its support.
    pub correlation_id: Option<String>,
}

/// Is one audit record, as committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditRecord {
    /// The commit; equals the stamp of the version that it made.
    pub change: ChangeId,
    /// Tenant of the server.
    pub tenant: TenantId,
    /// The server.
    pub server: ServerId,
    /// The version that the commit made.
    pub version: u64,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The rest.
    #[serde(flatten)]
    pub draft: AuditDraft,
}

impl AuditRecord {
    /// Completes a draft with what the commit knows.
    #[must_use]
    pub const fn new(
        change: ChangeId,
        tenant: TenantId,
        server: ServerId,
        version: u64,
        at: Timestamp,
        draft: AuditDraft,
    ) -> Self {
        Self { change, tenant, server, version, at, draft }
    }
}

/// Is an audit record with its place in the tenant's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SealedRecord {
    /// Number in the tenant's chain: 1, 2, 3 … without a gap.
    pub sequence: u64,
    /// Hash over the previous hash and this record's bytes.
    pub hash: ChainHash,
    /// The exact bytes that were hashed: the record as JSON.
    pub body: String,
}

impl SealedRecord {
    /// Puts a record's bytes in its place.
    #[must_use]
    pub const fn new(sequence: u64, hash: ChainHash, body: String) -> Self {
        Self { sequence, hash, body }
    }

    /// Reads the record back.
    ///
    /// # Errors
    ///
    /// The decoder's error if the stored bytes were damaged.
    pub fn record(&self) -> Result<AuditRecord, serde_json::Error> {
        serde_json::from_str(&self.body)
    }
}
