//! What a store answers, and the settings of its upkeep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    Account, AccountId, CreateHash, Desired, ProviderName, ProviderServerId, SealedRecord, Server, ServerId,
    ServerState, Sighting, SightingClass, TenantId, Timestamp,
};

/// Says what may be lost after an answer said that it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing, as long as the disk is honest.
    Durable,
    /// The last moments, for the stated reason.
    BoundedLoss {
        /// Which setting or kind of store makes it so.
        because: &'static str,
    },
    /// Everything, when the process ends.
    Volatile,
}

/// Is a server and all that a decision may look at, of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The record.
    pub server: Server,
    /// Sightings of its servers at the provider.
    pub sightings: Vec<Sighting>,
    /// What is known of the accounts that it may use; one that cannot be read is left out, told in the log, and so closed.
    pub accounts: Vec<Account>,
    /// When it was read, by the store's clock.
    pub now: Timestamp,
}

/// Is what the sweep has to know of a record. One whose state or wish cannot be read counts as parked and wanted: its server is there,
/// and left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRef {
    /// The record.
    pub server: ServerId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Where it stands.
    pub state: ServerState,
    /// Whether the orderer wants it.
    pub desired: Desired,
    /// Account of its last create.
    pub account: Option<AccountId>,
    /// The provider's id, once known.
    pub id: Option<ProviderServerId>,
    /// Whether a create is announced or may still land: something may be there that is not recorded yet.
    pub open: bool,
    /// The provider's id of what is being removed and not gone yet.
    pub removing: Option<ProviderServerId>,
    /// Its name at the provider.
    pub provider_name: ProviderName,
    /// Hash of its order.
    pub create_hash: CreateHash,
}

impl RecordedRef {
    /// Takes what the sweep has to know from a record.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self {
            server: server.id,
            tenant: server.tenant.clone(),
            state: server.state,
            desired: server.desired,
            account: server.account.clone(),
            id: server.provider_ref.as_ref().map(|reference| reference.id.clone()),
            open: server.intent.is_some() || !server.land.is_empty(),
            removing: server.removing.as_ref().filter(|removal| !removal.gone).map(|removal| removal.id.clone()),
            provider_name: server.provider_name.clone(),
            create_hash: server.create_hash.clone(),
        }
    }
}

/// Is a server whose time to move has passed, or was written while the clock was ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// The record.
    pub server: ServerId,
    /// Its tenant.
    pub tenant: TenantId,
    /// When it should have moved, by the store's clock.
    pub wake_at: Timestamp,
}

/// Says what a round of sealing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SealReport {
    /// Records that got their place.
    pub sealed: u32,
    /// Whether there may be more.
    pub more: bool,
}

/// Holds the versions of servers, and how many audit records each version has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerVersions {
    /// Server → present version.
    pub current: BTreeMap<ServerId, u64>,
    /// Server → version → number of audit records.
    pub recorded: BTreeMap<ServerId, BTreeMap<u64, u64>>,
}

/// Is a batch of sealed records for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Tenant of all of them.
    pub tenant: TenantId,
    /// Records, ascending by number.
    pub records: Vec<SealedRecord>,
}

/// Says for how long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The store's time as it was read and believed: where the clock is ahead of it by then, as after a failover, this time counts.
    pub now: Timestamp,
    /// How long an idempotency key outlives its server.
    pub keys: Duration,
    /// How long a final record keeps more than its tombstone, and its operations.
    pub records: Duration,
    /// Most rows of each kind that one call removes.
    pub most: u32,
}

impl Retention {
    /// Returns until when a record has to have ended for its keys to be forgotten; `now` is the store's time.
    #[must_use]
    pub fn keys_until(&self, now: Timestamp) -> Timestamp {
        now.min(self.now).minus(self.keys)
    }

    /// Returns until when a record has to have ended for all but its tombstone to be forgotten; `now` is the store's time.
    #[must_use]
    pub fn records_until(&self, now: Timestamp) -> Timestamp {
        now.min(self.now).minus(self.records)
    }
}

/// Counts what a round of trimming removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Idempotency keys.
    pub keys: u64,
    /// Operations.
    pub operations: u64,
    /// Records that shrank to a tombstone.
    pub records: u64,
}

/// Counts what an operator should see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Audit records that have no place in the chain yet.
    pub unsealed: u64,
    /// Parked servers.
    pub parked: u64,
    /// The earliest time at which a server should move, by the store's clock.
    pub next_wake: Option<Timestamp>,
    /// How long the oldest removal lasts that is neither done nor parked, by the store's clock: since its deletion is pending, or
    /// of a server that nobody asked to delete, since it is known. Of the ten thousand records that move first.
    pub oldest_removal: Option<Duration>,
    /// Sightings by class.
    pub sightings: BTreeMap<SightingClass, u64>,
    /// Accounts of records that are not final: those of the last announced creates, and those that the thousand records which
    /// move first ask next ([`Server::next_account`]), announced or not.
    pub accounts: BTreeSet<AccountId>,
}
