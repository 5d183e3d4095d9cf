//! What a caller polls until it is done.

use serde::{Deserialize, Serialize};

use super::ids::{OperationId, ServerId};
use super::names::{RequestId, TenantId};
use super::timestamp::Timestamp;

/// Says what an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperationVerb {
    /// Creates a server.
    Create,
    /// Deletes a server.
    Delete,
}

impl OperationVerb {
    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }
}

/// Says how far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OperationStatus {
    /// Not done yet; the server says why and when it goes on.
    Pending,
    /// Waits for an operator or for its cause to go away.
    Parked,
    /// Done.
    Succeeded,
    /// Ended without its goal; `code` says why, and nothing is left at the provider.
    Failed,
    /// Overtaken by a delete.
    Superseded,
}

impl OperationStatus {
    /// Says whether nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Superseded)
    }

    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Parked => "parked",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// Is one accepted command and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Who ordered it.
    pub tenant: TenantId,
    /// The server that it is about.
    pub server: ServerId,
    /// What it does.
    pub verb: OperationVerb,
    /// How far it is.
    pub status: OperationStatus,
    /// Why it failed or is parked, as a stable name.
    pub code: Option<String>,
    /// The request that ordered it.
    pub request_id: Option<RequestId>,
    /// When it was accepted, by the store's clock; set by the store.
    pub created_at: Timestamp,
    /// When its status last changed, by the store's clock; set by the store.
    pub updated_at: Timestamp,
}

impl Operation {
    /// Makes a pending operation; the store sets the times.
    #[must_use]
    pub const fn pending(id: OperationId, tenant: TenantId, server: ServerId, verb: OperationVerb) -> Self {
        let unset = Timestamp::from_micros(0);
        Self {
            id,
            tenant,
            server,
            verb,
            status: OperationStatus::Pending,
            code: None,
            request_id: None,
            created_at: unset,
            updated_at: unset,
        }
    }
}
