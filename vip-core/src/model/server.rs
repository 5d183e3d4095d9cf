//! The record of a server: what is wished, what was seen, what is being done, and the fence around all of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fingerprint::CreateHash;
use super::ids::{ChangeId, ClaimId, InstallationId, IntentId, OperationId, ServerId};
use super::names::{AccountId, ProviderActionId, ProviderName, ProviderServerId, TenantId};
use super::reason::{FailReason, ParkReason, WaitReason};
use super::spec::ValidSpec;
use super::timestamp::Timestamp;

/// Says what the orderer wants; goes from `Present` to `Absent` and never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// There shall be one server.
    Present,
    /// There shall be none.
    Absent,
}

/// Says where a server stands. It moves along the table of `docs/protocol.md` §2 alone; a final state is left only when its
/// server turns up at the provider again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Accepted; nothing was announced to the provider yet.
    Requested,
    /// A create was announced.
    Creating,
    /// The provider's id is recorded; not yet seen running.
    Confirming,
    /// Seen running (or off, if ordered so).
    Running,
    /// The order is to end with nothing; being cleaned up and proven absent.
    Failing,
    /// Final: failed, and nothing is left at the provider.
    Failed,
    /// Being removed.
    Deleting,
    /// Final: removed.
    Deleted,
    /// Vanished at the provider without our doing; never created again by itself.
    Lost,
    /// Waits for an operator, or for its cause to go away.
    Parked,
}

impl ServerState {
    /// Says whether nothing follows by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Deleted)
    }

    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Creating => "creating",
            Self::Confirming => "confirming",
            Self::Running => "running",
            Self::Failing => "failing",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Lost => "lost",
            Self::Parked => "parked",
        }
    }
}

/// Is one acceptable way to fulfil an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Server type at the provider.
    pub server_type: String,
    /// Location at the provider.
    pub location: String,
    /// Account that pays for it.
    pub account: AccountId,
}

/// Is what the provider calls our server; set once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderRef {
    /// Account in which it lives.
    pub account: AccountId,
    /// Its id there.
    pub id: ProviderServerId,
    /// Installation that recorded it; another installation never deletes by it.
    pub owner: InstallationId,
    /// When it was recorded, by the store's clock.
    pub at: Timestamp,
    /// Whether a look by this id was ever answered with the server; until then a 404 proves little.
    pub seen_by_id: bool,
    /// Whether it is proven gone.
    pub gone: bool,
}

impl ProviderRef {
    /// Says whether this is the server with this id in this account: an id means nothing without its account.
    #[must_use]
    pub fn names(&self, account: &AccountId, id: &ProviderServerId) -> bool {
        &self.account == account && &self.id == id
    }
}

/// Tracks the removal of one server at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Account in which it lives.
    pub account: AccountId,
    /// Its id there.
    pub id: ProviderServerId,
    /// Since when we know of it, by the store's clock.
    pub since: Timestamp,
    /// Whether a look by this id was ever answered with the server.
    pub seen_by_id: bool,
    /// When the provider accepted a delete, or proved that none is needed, by the store's clock.
    pub accepted_at: Option<Timestamp>,
    /// When that was so first, however often it was asked again since.
    #[serde(default)]
    pub first_accepted_at: Option<Timestamp>,
    /// How many looks have found it since.
    pub looks: u32,
    /// Whether it is proven gone.
    pub gone: bool,
}

impl Removal {
    /// Says whether this removes the server with this id in this account.
    #[must_use]
    pub fn names(&self, account: &AccountId, id: &ProviderServerId) -> bool {
        &self.account == account && &self.id == id
    }
}

/// Names an effect at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Create the server from the candidate at this position, under the record's provider name.
    Create {
        /// Position in the record's candidates.
        candidate: usize,
    },
    /// Delete the server with this id.
    Delete {
        /// Id at the provider.
        id: ProviderServerId,
    },
}

impl Effect {
    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
        }
    }
}

/// Is the committed announcement of an effect; closed only by a committed result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Names this announcement.
    pub id: IntentId,
    /// What will be called.
    pub effect: Effect,
    /// Account in which it will be called.
    pub account: AccountId,
    /// Which attempt this is, counted over the life of the record.
    pub attempt: u32,
    /// Claim that announced it.
    pub claim: ClaimId,
    /// When the commit was made, by the store's clock; set by the store.
    pub announced_at: Option<Timestamp>,
    /// How long the request may take.
    pub request_deadline: Duration,
}

impl Intent {
    /// Returns when the request is over for its caller; none while the announcement is not committed.
    #[must_use]
    pub fn over_at(&self) -> Option<Timestamp> {
        self.announced_at.map(|at| at.plus(self.request_deadline))
    }

    /// Returns when the request can no longer land at the provider; none while it is not committed.
    #[must_use]
    pub fn lands_by(&self, landing_allowance: Duration) -> Option<Timestamp> {
        self.over_at().map(|at| at.plus(landing_allowance))
    }
}

/// Remembers a create whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// Account in which it may have landed.
    pub account: AccountId,
    /// Since when it is open, by the store's clock.
    pub since: Timestamp,
    /// When the last empty look started, by the store's clock.
    pub looked_at: Option<Timestamp>,
    /// Since when the provider answers that the name is taken, by the store's clock.
    pub taken_since: Option<Timestamp>,
}

/// Remembers until when creates without an answer may still land in an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    /// Latest time at which one may land, by the store's clock.
    pub by: Timestamp,
    /// When the last empty look by name started, by the store's clock.
    pub looked_at: Option<Timestamp>,
}

/// Says what an account was short of when it refused a create that it may take another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    /// Stock of what was asked for.
    Stock,
    /// Room below its own limit, or the right to create.
    Limit,
}

/// Holds the addresses that the provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Addresses {
    /// Public IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// First address of the public IPv6 network.
    pub ipv6: Option<Ipv6Addr>,
}

/// Is the record of one server: what is wished, what was seen, what is being done, and the fence (`docs/protocol.md` §1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Server {
    /// Our id, made at accept.
    pub id: ServerId,
    /// Who ordered it.
    pub tenant: TenantId,
    /// Account of the last announced create; none until one is announced.
    pub account: Option<AccountId>,

    /// Whether the orderer wants it.
    pub desired: Desired,
    /// What was ordered.
    pub spec: ValidSpec,
    /// Acceptable ways to fulfil it, in order.
    pub candidates: Vec<Candidate>,
    /// Unique name at the provider, fixed at accept.
    pub provider_name: ProviderName,
    /// Hash of the order, fixed at accept.
    pub create_hash: CreateHash,
    /// Operation of the create.
    pub create_operation: OperationId,
    /// Operation of the delete, once one was accepted.
    pub delete_operation: Option<OperationId>,

    /// Where it stands.
    pub state: ServerState,
    /// The provider's id, once known.
    pub provider_ref: Option<ProviderRef>,
    /// What is being removed.
    pub removing: Option<Removal>,
    /// Actions of the create that were not seen to end yet.
    pub actions: Vec<ProviderActionId>,
    /// Addresses, once reported.
    pub addresses: Addresses,
    /// Its type, as the provider last showed it until it ran: a resize by hand is not seen. None until a server is known, and where the
    /// provider does not say; older records do not have it.
    #[serde(default)]
    pub server_type: Option<String>,
    /// Its location, known as its type is.
    #[serde(default)]
    pub location: Option<String>,
    /// Since when answered looks say "not running", by the store's clock.
    pub waiting_since: Option<Timestamp>,
    /// When the last answered look was, while confirming, by the store's clock.
    pub last_answer: Option<Timestamp>,

    /// The open announcement, at most one.
    pub intent: Option<Intent>,
    /// A create whose outcome is unknown.
    pub unsettled: Option<Unsettled>,
    /// Account → until when creates without an answer may still land there.
    pub land: BTreeMap<AccountId, Landing>,
    /// Position of the candidate to try next.
    pub cursor: usize,
    /// Account → what it was short of at its latest such answer in this round of candidates; older records do not have it.
    #[serde(default)]
    pub shortages: BTreeMap<AccountId, Shortage>,
    /// Creates and deletes announced so far.
    pub attempt: u32,
    /// Back-offs or looks since the last progress; decides the next delay.
    pub backoff: u32,
    /// No request before this time (back-off, throttle), by the store's clock.
    pub not_before: Option<Timestamp>,
    /// Since when stock is exhausted everywhere, by the store's clock; later by each pause in which nobody was answered.
    pub exhausted_since: Option<Timestamp>,
    /// When the last answer "out of stock" came, or others last left no turn to ask again, by the store's clock; older records do not
    /// have it.
    #[serde(default)]
    pub exhausted_at: Option<Timestamp>,
    /// Whether a whole round of candidates ended with the wait for stock, and nothing has gone on since; older records do not have it.
    #[serde(default)]
    pub sold_out: bool,
    /// How often the candidate to try next was called busy since it is that, or a delete refused since something went on; older records
    /// do not have it.
    #[serde(default)]
    pub busy: u32,
    /// Why it waits, for whoever asks.
    pub wait_reason: Option<WaitReason>,
    /// When it moves again, by the store's clock; none when it rests.
    pub wake_at: Option<Timestamp>,
    /// Why it fails.
    pub fail_reason: Option<FailReason>,
    /// Why it is parked.
    pub park_reason: Option<ParkReason>,
    /// Where it goes on when it is unparked.
    pub parked_from: Option<ServerState>,

    /// Counts commits, from 1.
    pub version: u64,
    /// Id of the commit that made this version.
    pub stamp: ChangeId,
    /// Claim that owns the right to write.
    pub holder: Option<ClaimId>,
    /// Epoch of that claim.
    pub holder_epoch: u64,

    /// Whether it counts against the tenant's quota.
    pub quota_held: bool,
    /// When it was accepted, by the store's clock; set by the store.
    pub created_at: Timestamp,
    /// When it became final, by the store's clock.
    pub gone_at: Option<Timestamp>,
}

impl Server {
    /// Says whether it has nothing left to do: it is final or rests, and no second server of it is being removed.
    #[must_use]
    pub const fn is_converged(&self) -> bool {
        match self.state {
            ServerState::Failed | ServerState::Deleted => true,
            ServerState::Running | ServerState::Lost => {
                matches!(self.desired, Desired::Present) && !matches!(&self.removing, Some(removal) if !removal.gone)
            }
            ServerState::Parked => self.is_resting_parked(),
            ServerState::Requested
            | ServerState::Creating
            | ServerState::Confirming
            | ServerState::Failing
            | ServerState::Deleting => false,
        }
    }

    /// Says whether it is parked and no newer wish moves it on.
    #[must_use]
    pub const fn is_resting_parked(&self) -> bool {
        matches!(self.state, ServerState::Parked)
            && (matches!(self.desired, Desired::Present) || matches!(self.parked_from, Some(ServerState::Deleting)))
    }

    /// Returns the candidate at the cursor.
    #[must_use]
    pub fn candidate(&self) -> Option<&Candidate> {
        self.candidates.get(self.cursor)
    }

    /// Returns the account that is asked next: where a server is removed or lives, else where a create may still land, else
    /// that of the candidate at the cursor.
    #[must_use]
    pub fn next_account(&self) -> Option<&AccountId> {
        let removing = self.removing.as_ref().filter(|removal| !removal.gone).map(|removal| &removal.account);
        let own = self.provider_ref.as_ref().filter(|own| !own.gone).map(|own| &own.account);
        let unproven = || self.land.keys().next();
        let next = || self.candidate().map(|next| &next.account).filter(|_| self.desired == Desired::Present);
        removing.or(own).or_else(unproven).or_else(next)
    }
}
