//! What the sweep saw at the provider, and what is known of an account's tokens.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit_record::Actor;
use super::fingerprint::hex;
use super::ids::ServerId;
use super::names::{AccountId, ProviderServerId};
use super::timestamp::Timestamp;

/// Says how a provider's server and our records disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SightingClass {
    /// Recorded, not listed.
    Missing,
    /// Ours, and its record is final, has lost it, or knows nothing of it.
    Resurfaced,
    /// A second server for a record.
    Surplus,
    /// Ours by label, without a record: commits were lost. Never removed by any setting.
    Unrecorded,
    /// Its name or its labels are not those of the record that it is of; reported only.
    Drift,
}

impl SightingClass {
    /// Every class.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Resurfaced, Self::Surplus, Self::Unrecorded, Self::Drift];

    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Resurfaced => "resurfaced",
            Self::Surplus => "surplus",
            Self::Unrecorded => "unrecorded",
            Self::Drift => "drift",
        }
    }
}

/// Names what was sighted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SightingKey {
    /// Account in which it is.
    pub account: AccountId,
    /// Its id there.
    pub id: ProviderServerId,
}

/// Is a disagreement that the sweep saw; converge looks again before it acts on a ripe one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What was sighted.
    pub key: SightingKey,
    /// The record that its label names, if any.
    pub server: Option<ServerId>,
    /// How it disagrees.
    pub class: SightingClass,
    /// First sighting of this class in an unbroken row, by the store's clock.
    pub first_seen: Timestamp,
    /// Last sighting, by the store's clock.
    pub last_seen: Timestamp,
    /// How often it was sighted in a row.
    pub count: u32,
    /// Whether converge may act on it.
    pub ripe: bool,
}

/// Identifies a token without revealing it: the first 16 hexadecimal digits of its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenDigest(String);

impl TokenDigest {
    /// Digests a token; the token is random and long, so that its digest reveals nothing.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"vip token digest 1\0");
        hasher.update(token.as_bytes());
        let mut text = hex(&hasher.finalize());
        text.truncate(16);
        Self(text)
    }

    /// Returns the digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Says whether requests may be made with a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gate {
    /// The token was seen to show our servers, or there was nothing to see.
    Open,
    /// The provider refuses the token; probed again at the time, by the store's clock.
    Blocked {
        /// When the next probe is due.
        probe_at: Timestamp,
    },
    /// The token shows another project than the one recorded; only an operator opens it.
    Suspect {
        /// What made it suspect, in words.
        why: String,
    },
}

/// Is the gate of one token of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateEntry {
    /// Which token.
    pub digest: TokenDigest,
    /// Its gate.
    pub gate: Gate,
    /// Probes in a row that found it closed; decides the next delay.
    pub probes: u32,
    /// Whether it was ever open, if only because there was nothing to see.
    pub accepted: bool,
    /// Whether it has shown a recorded server.
    #[serde(default)]
    pub shown: bool,
    /// Who vouched for it last; it stays when the gate closes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched: Option<Vouched>,
}

impl GateEntry {
    /// Says whether the token is known to belong to the account: it has shown what is recorded, or somebody vouched for it.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.shown || self.vouched.is_some()
    }

    /// Says whether the token is believed for no other reason than that there was nothing to see.
    pub(crate) fn is_only_believed(&self) -> bool {
        self.gate == Gate::Open && !self.is_known()
    }
}

/// Says who vouched for a token. An account belongs to no tenant, so that no audit chain could say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// Who.
    pub by: Actor,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// How many servers that are missing were known of: so many may be given up as lost.
    pub missing: u64,
}

/// Is what is known of one account at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// One entry for each token ever used; a token without an entry is not checked yet.
    pub gates: Vec<GateEntry>,
    /// Servers that were missing when the account last became suspect.
    #[serde(default)]
    pub missing_seen: u64,
    /// Missing servers that an operator has accepted: so many make the account no longer suspect.
    #[serde(default)]
    pub missing_accepted: u64,
    /// Counts changes; a write names the one that it read.
    pub version: u64,
}

impl Account {
    /// Makes an account of which nothing is known.
    #[must_use]
    pub const fn unknown(id: AccountId) -> Self {
        Self { id, gates: Vec::new(), missing_seen: 0, missing_accepted: 0, version: 0 }
    }

    /// Returns the entry of a token.
    #[must_use]
    pub fn gate(&self, digest: &TokenDigest) -> Option<&GateEntry> {
        self.gates.iter().find(|entry| &entry.digest == digest)
    }

    /// Returns this account with another gate for a token.
    #[must_use]
    pub fn with_gate(mut self, digest: &TokenDigest, gate: Gate, probes: u32) -> Self {
        let (accepted, shown, vouched) = match self.gate(digest) {
            Some(known) => (known.accepted, known.shown, known.vouched.clone()),
            None => (false, false, None),
        };
        let accepted = accepted || gate == Gate::Open;
        self.gates.retain(|entry| &entry.digest != digest);
        self.gates.push(GateEntry { digest: digest.clone(), gate, probes, accepted, shown, vouched });
        self
    }

    /// Returns this account with a token that has shown a recorded server; others that are open and not known are as if nobody had
    /// checked them.
    #[must_use]
    pub fn shown_by(mut self, digest: &TokenDigest) -> Self {
        for entry in self.gates.iter_mut().filter(|entry| &entry.digest == digest) {
            entry.shown = true;
        }
        self.gates.retain(|entry| !entry.is_only_believed());
        self
    }

    /// Returns this account with the gate of a token opened by who vouches for it.
    #[must_use]
    pub fn vouched_for(self, digest: &TokenDigest, vouched: &Vouched) -> Self {
        let mut opened = self.with_gate(digest, Gate::Open, 0);
        for entry in opened.gates.iter_mut().filter(|entry| &entry.digest == digest) {
            entry.vouched = Some(vouched.clone());
        }
        opened
    }
}
