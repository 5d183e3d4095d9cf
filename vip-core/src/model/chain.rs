//! The hash chain over a tenant's audit records, and its verification.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit_record::SealedRecord;
use super::fingerprint::hex;
use super::ids::ServerId;
use super::names::TenantId;

/// Is a hash of the chain: 64 hexadecimal digits of SHA-256.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainHash(String);

impl ChainHash {
    /// Returns the hash before the first record of a tenant.
    #[must_use]
    pub fn genesis(tenant: &TenantId) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"vip audit chain 1\0");
        hasher.update(tenant.as_str().as_bytes());
        Self(hex(&hasher.finalize()))
    }

    /// Wraps digits that came from a store; a wrong one is found by the verification.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Is the end of a tenant's chain; export it to detect truncation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainHead {
    /// Number of the last sealed record; 0 if there is none.
    pub sequence: u64,
    /// Its hash.
    pub hash: ChainHash,
}

impl ChainHead {
    /// Returns the head of a chain without records.
    #[must_use]
    pub fn empty(tenant: &TenantId) -> Self {
        Self { sequence: 0, hash: ChainHash::genesis(tenant) }
    }

    /// Makes a head.
    #[must_use]
    pub const fn new(sequence: u64, hash: ChainHash) -> Self {
        Self { sequence, hash }
    }
}

/// Hashes a record onto a chain.
#[must_use]
pub fn seal_hash(previous: &ChainHash, sequence: u64, body: &str) -> ChainHash {
    let mut hasher = Sha256::new();
    hasher.update(previous.as_str().as_bytes());
    hasher.update(sequence.to_be_bytes());
    hasher.update(body.as_bytes());
    ChainHash(hex(&hasher.finalize()))
}

/// Says what is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// A number is missing or out of order: a record was deleted or moved.
    #[error("audit record {expected} is missing: found {found} in its place")]
    Gap {
        /// The number that should stand here.
        expected: u64,
        /// The number that stands here.
        found: u64,
    },
    /// The hash does not match: the record or one before it was changed.
    #[error("audit record {sequence} was changed")]
    Changed {
        /// Its number.
        sequence: u64,
    },
    /// The chain ends before an exported head: records were cut off, or an older copy was put back.
    #[error("audit records after {found} are missing: a head with {exported} was exported")]
    Truncated {
        /// The number of the last record found.
        found: u64,
        /// The number that was exported.
        exported: u64,
    },
    /// The chain has another history than an exported head.
    #[error("audit record {sequence} is not the one that was exported")]
    OtherHistory {
        /// The exported number.
        sequence: u64,
    },
}

/// Checks a part of a chain, going on from `from`; returns its end.
///
/// # Errors
///
/// [`ChainFault`] for the first record that does not fit.
pub fn verify_chain(from: &ChainHead, records: &[SealedRecord]) -> Result<ChainHead, ChainFault> {
    let mut head = from.clone();
    for record in records {
        let expected = head.sequence.saturating_add(1);
        if record.sequence != expected {
            return Err(ChainFault::Gap { expected, found: record.sequence });
        }
        if record.hash != seal_hash(&head.hash, record.sequence, &record.body) {
            return Err(ChainFault::Changed { sequence: record.sequence });
        }
        head = ChainHead { sequence: record.sequence, hash: record.hash.clone() };
    }
    Ok(head)
}

/// Says that a server's versions and its audit records disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server {server}: expected one audit record for each version up to {current}, version {version} has {found}")]
#[non_exhaustive]
pub struct VersionFault {
    /// The server.
    pub server: ServerId,
    /// Its present version.
    pub current: u64,
    /// The version without exactly one record.
    pub version: u64,
    /// How many records it has.
    pub found: u64,
}

/// Checks that each server has exactly one audit record for each of its versions.
///
/// This also sees a record that was removed before it was sealed. A record that was committed after the versions were
/// read may be newer than the version given: it is no fault.
///
/// # Errors
///
/// [`VersionFault`] for the first version that has none or several.
pub fn verify_versions(
    current: &BTreeMap<ServerId, u64>,
    recorded: &BTreeMap<ServerId, BTreeMap<u64, u64>>,
) -> Result<(), VersionFault> {
    let none = BTreeMap::new();
    for (server, current) in current {
        let counts = recorded.get(server).unwrap_or(&none);
        for version in 1..=*current {
            let found = counts.get(&version).copied().unwrap_or(0);
            if found != 1 {
                return Err(VersionFault { server: *server, current: *current, version, found });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenant() -> TenantId {
        TenantId::new("acme").unwrap()
    }

    fn chain(bodies: &[String]) -> Vec<SealedRecord> {
        let mut previous = ChainHash::genesis(&tenant());
        let mut records = Vec::new();
        for (place, body) in bodies.iter().enumerate() {
            let sequence = place as u64 + 1;
            previous = seal_hash(&previous, sequence, body);
            records.push(SealedRecord::new(sequence, previous.clone(), body.clone()));
        }
        records
    }

    fn verify(records: &[SealedRecord]) -> Result<ChainHead, ChainFault> {
        verify_chain(&ChainHead::empty(&tenant()), records)
    }

    #[test]
    fn an_untouched_chain_verifies_and_may_be_read_in_parts() {
        let records = chain(&["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        let middle = verify(&records[..1]).unwrap();
        assert_eq!(verify_chain(&middle, &records[1..]).unwrap(), verify(&records).unwrap());
    }

    proptest! {
        #[test]
        fn any_single_change_is_found_at_its_number(
            bodies in prop::collection::vec("[a-z]{1,20}", 2..12), place in any::<prop::sample::Index>(), kind in 0..4,
        ) {
            let mut records = chain(&bodies);
            let place = place.index(records.len());
            let sequence = place as u64 + 1;
            match kind {
                0 => { records[place].body.push('!'); prop_assert_eq!(verify(&records), Err(ChainFault::Changed { sequence })); }
                1 if place + 1 < records.len() => {
                    records.remove(place);
                    prop_assert_eq!(verify(&records), Err(ChainFault::Gap { expected: sequence, found: sequence + 1 }));
                }
                2 if place + 1 < records.len() => {
                    records.swap(place, place + 1);
                    prop_assert_eq!(verify(&records), Err(ChainFault::Gap { expected: sequence, found: sequence + 1 }));
                }
                _ => {
                    records[place].hash = ChainHash::genesis(&tenant());
                    prop_assert_eq!(verify(&records), Err(ChainFault::Changed { sequence }));
                }
            }
        }
    }

    #[test]
    fn each_version_needs_exactly_one_record() {
        let server = ServerId::from_uuid(uuid::Uuid::from_u128(1));
        let current = BTreeMap::from([(server, 3)]);
        let counts = |list: &[(u64, u64)]| BTreeMap::from([(server, list.iter().copied().collect())]);
        assert!(verify_versions(&current, &counts(&[(1, 1), (2, 1), (3, 1), (4, 1)])).is_ok());
        assert_eq!(verify_versions(&current, &counts(&[(1, 1), (3, 1)])).unwrap_err().version, 2);
        assert_eq!(verify_versions(&current, &counts(&[(1, 1), (2, 2), (3, 1)])).unwrap_err().found, 2);
        assert_eq!(verify_versions(&current, &BTreeMap::new()).unwrap_err().version, 1);
    }
}
