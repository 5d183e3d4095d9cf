//! What one commit writes, and what guards it.

use crate::model::{
    AuditDraft, AuditRecord, ChangeId, ClaimId, Fingerprint, IdempotencyKey, NewJob, Operation, OperationId,
    OperationStatus, Server, ServerId, SightingKey, TenantId, Timestamp,
};
use crate::ports::job_queue::LeaseRef;

/// Is what must hold in the statement that writes, so that nobody overwrites what they have not read: the fences F1, F2, F3
/// and F6 of `docs/protocol.md` §5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The server is new: neither its id nor its provider name exists.
    New,
    /// A command: the stamp is the one that was read; the holder stays (F6).
    Command {
        /// Stamp that was read.
        stamp: ChangeId,
    },
    /// The first commit of a claim: the stamp is the one that was read and the epoch is above the holder's (F1).
    Takeover {
        /// Stamp that was read.
        stamp: ChangeId,
        /// Claim that takes over.
        claim: ClaimId,
        /// Its epoch.
        epoch: u64,
        /// Lease that has to be the present one of its job, where store and queue share a database (F3).
        lease: Option<LeaseRef>,
    },
    /// A later commit of a claim: the stamp is the one that was read and the claim is the holder (F2).
    Holder {
        /// Stamp that was read.
        stamp: ChangeId,
        /// Claim that holds.
        claim: ClaimId,
        /// Lease that has to be the present one of its job, where store and queue share a database (F3).
        lease: Option<LeaseRef>,
    },
    /// A fenced writer without a job: takes over with a fresh claim and the holder's epoch + 1.
    Operator {
        /// Stamp that was read.
        stamp: ChangeId,
        /// Fresh claim.
        claim: ClaimId,
    },
}

impl Guard {
    /// Returns the stamp that has to be there; none for a new server.
    #[must_use]
    pub const fn stamp(&self) -> Option<ChangeId> {
        match self {
            Self::New => None,
            Self::Command { stamp }
            | Self::Takeover { stamp, .. }
            | Self::Holder { stamp, .. }
            | Self::Operator { stamp, .. } => Some(*stamp),
        }
    }

    /// Returns the lease that has to be the present one.
    #[must_use]
    pub const fn lease(&self) -> Option<&LeaseRef> {
        match self {
            Self::Takeover { lease, .. } | Self::Holder { lease, .. } => lease.as_ref(),
            Self::New | Self::Command { .. } | Self::Operator { .. } => None,
        }
    }

    /// Says whether a record with this fence may be written.
    ///
    /// A SQL adapter puts the same condition into the statement that writes.
    #[must_use]
    pub fn admits(&self, record: &Server) -> bool {
        match self {
            Self::New => false,
            Self::Command { stamp } | Self::Operator { stamp, .. } => record.stamp == *stamp,
            Self::Takeover { stamp, epoch, .. } => record.stamp == *stamp && *epoch > record.holder_epoch,
            Self::Holder { stamp, claim, .. } => record.stamp == *stamp && record.holder == Some(*claim),
        }
    }

    /// Returns holder and epoch after the write, given those before.
    #[must_use]
    pub fn holder_after(&self, holder: Option<ClaimId>, epoch: u64) -> (Option<ClaimId>, u64) {
        match self {
            Self::New | Self::Command { .. } | Self::Holder { .. } => (holder, epoch),
            Self::Takeover { claim, epoch, .. } => (Some(*claim), *epoch),
            Self::Operator { claim, .. } => (Some(*claim), epoch.saturating_add(1)),
        }
    }
}

/// Changes an operation in the commit of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationChange {
    /// Adds one.
    Insert(Operation),
    /// Moves one.
    Status {
        /// Which one.
        id: OperationId,
        /// Where to.
        status: OperationStatus,
        /// Why, as a stable name.
        code: Option<String>,
    },
}

/// Changes how many servers a tenant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaChange {
    /// One more, if that is at most the limit; without a limit it is only counted.
    Take {
        /// Most servers of the tenant.
        limit: Option<u32>,
    },
    /// One less.
    Release,
}

/// Is what an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key.
    pub key: IdempotencyKey,
    /// Hash of the command as it was sent.
    pub fingerprint: Fingerprint,
    /// The operation that it made.
    pub operation: OperationId,
    /// The server that it is about.
    pub server: ServerId,
}

/// Is everything that one commit writes; the audit record is not optional.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a change set does nothing until it is committed"]
pub struct ChangeSet {
    /// Names the commit: the new stamp, and the identity of its audit record.
    pub id: ChangeId,
    /// The server as it shall be; the store sets version, stamp, holder and its own times.
    pub server: Server,
    /// What must hold.
    pub guard: Guard,
    /// Operations that are added or moved.
    pub operations: Vec<OperationChange>,
    /// A job to enqueue.
    pub job: Option<NewJob>,
    /// A key to take.
    pub key: Option<KeyRecord>,
    /// A quota to take or release.
    pub quota: Option<QuotaChange>,
    /// A sighting that is dealt with.
    pub sighting_done: Option<SightingKey>,
    /// Who did what.
    pub audit: AuditDraft,
}

impl ChangeSet {
    /// Makes a change set that writes a server and its audit record.
    pub const fn new(id: ChangeId, server: Server, guard: Guard, audit: AuditDraft) -> Self {
        Self {
            id,
            server,
            guard,
            operations: Vec::new(),
            job: None,
            key: None,
            quota: None,
            sighting_done: None,
            audit,
        }
    }

    /// Returns the server as the store writes it: with version, stamp and the store's times.
    ///
    /// Holder and epoch are those of the change set's server, moved by the guard; under [`Guard::Command`] a store
    /// keeps the ones that it has.
    #[must_use]
    pub fn written(&self, now: Timestamp) -> Server {
        let mut server = self.server.clone();
        let (holder, epoch) = self.guard.holder_after(server.holder, server.holder_epoch);
        server.holder = holder;
        server.holder_epoch = epoch;
        server.stamp = self.id;
        server.version = server.version.saturating_add(1);
        if self.guard == Guard::New {
            server.version = 1;
            server.created_at = now;
            server.wake_at = Some(now);
        }
        if let Some(intent) = server.intent.as_mut()
            && intent.announced_at.is_none()
        {
            intent.announced_at = Some(now);
        }
        if server.state.is_final() && server.gone_at.is_none() {
            server.gone_at = Some(now);
        }
        server
    }

    /// Returns the audit record of the commit.
    #[must_use]
    pub fn audit_record(&self, written: &Server, now: Timestamp) -> AuditRecord {
        AuditRecord::new(self.id, written.tenant.clone(), written.id, written.version, now, self.audit.clone())
    }
}

/// Is what a commit answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Committed {
    /// The server as it was written; of a replayed commit, as it is now.
    pub server: Server,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Whether the change set had been applied before.
    pub replayed: bool,
}

/// Writes why and until when a server waits: work fields alone, without a new stamp, version or audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a note does nothing until it is written"]
pub struct Note {
    /// Tenant of the server.
    pub tenant: TenantId,
    /// What must hold: [`Guard::Takeover`] or [`Guard::Holder`].
    pub guard: Guard,
    /// The server with its work fields as they shall be; holder and epoch are moved by the guard.
    pub server: Server,
}

impl Note {
    /// Returns the server as the store writes it.
    #[must_use]
    pub fn written(&self) -> Server {
        let mut server = self.server.clone();
        let (holder, epoch) = self.guard.holder_after(server.holder, server.holder_epoch);
        server.holder = holder;
        server.holder_epoch = epoch;
        server
    }
}
