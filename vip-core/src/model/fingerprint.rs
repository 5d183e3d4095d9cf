//! Versioned hashes: of a command as sent (idempotency) and of an order as accepted (adoption).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::server::Candidate;
use super::spec::{ServerSpec, ValidSpec};

/// Version of both hashes; an old one stays computable for as long as keys are kept.
const VERSION: &str = "1";

/// Identifies a command as it was sent, before defaults; two commands under one key must agree in it.
///
/// It is over the user data, too: the same key with other user data is another command. So it stays in the store, and goes
/// with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Hashes a create command.
    #[must_use]
    pub fn of_create(spec: &ServerSpec) -> Self {
        // Strings, lists and a map with text keys can always be written as JSON: the default is never taken.
        Self(hash("create", &serde_json::to_vec(spec).unwrap_or_default()))
    }

    /// Hashes a delete command.
    #[must_use]
    pub fn of_delete(server: super::ServerId) -> Self {
        Self(hash("delete", server.to_string().as_bytes()))
    }

    /// Wraps a hash that came from a store.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Identifies an order with all its candidates, but without its user data; computed at accept, stored, and never recomputed.
///
/// It is a label at the provider, and a tombstone keeps it for ever. Were it over the user data, whoever reads it could try which
/// secret stands in a text that is known but for that (ADR 40).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CreateHash(String);

impl CreateHash {
    /// Hashes an order.
    #[must_use]
    pub fn of(spec: &ValidSpec, candidates: &[Candidate]) -> Self {
        let shown = ValidSpec { user_data: None, ..spec.clone() };
        let mut text = hash("order", &serde_json::to_vec(&(shown, candidates)).unwrap_or_default());
        // A label value has at most 63 bytes; 160 bits are enough to tell orders apart.
        text.truncate(VERSION.len() + 1 + 40);
        Self(text)
    }

    /// Wraps a hash that came from a label or a store.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the hash as a label value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CreateHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn hash(what: &str, bytes: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(what.as_bytes());
    hasher.update([0]);
    hasher.update(bytes);
    format!("{VERSION}-{}", hex(&hasher.finalize()))
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        if write!(text, "{byte:02x}").is_err() {
            text.clear();
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_differ_have_different_fingerprints() {
        let spec = ServerSpec::new("web-1").ssh_key("ops");
        assert_eq!(Fingerprint::of_create(&spec), Fingerprint::of_create(&spec.clone()));
        assert_ne!(Fingerprint::of_create(&spec), Fingerprint::of_create(&spec.clone().user_data("x")));
        assert_ne!(Fingerprint::of_create(&spec), Fingerprint::of_create(&spec.label("a", "b")));
    }

    #[test]
    fn a_create_hash_fits_a_label_and_is_versioned() {
        let spec = ServerSpec::new("w").server_type("t").image("i").location("l").ssh_key("k").validate().unwrap();
        let hash = CreateHash::of(&spec, &spec.candidates(&[crate::model::AccountId::default_account()]));
        assert!(hash.as_str().starts_with("1-") && hash.as_str().len() == 42, "{hash}");
    }

    #[test]
    fn a_create_hash_is_not_over_the_user_data_and_a_fingerprint_is() {
        let order = |secret: &str| {
            let spec = ServerSpec::new("w").server_type("t").image("i").location("l").ssh_key("k");
            spec.user_data(format!("password: {secret}"))
        };
        let hash = |order: &ServerSpec| {
            let valid = order.validate().unwrap();
            CreateHash::of(&valid, &valid.candidates(&[crate::model::AccountId::default_account()]))
        };
        let (one, other) = (order("one"), order("other"));
        assert_eq!(hash(&one), hash(&other));
        assert_ne!(Fingerprint::of_create(&one), Fingerprint::of_create(&other));
        assert_ne!(hash(&one), hash(&one.clone().label("a", "b")));
    }

    /// Stored forms never change: a new version gets a new number instead.
    #[test]
    fn version_one_hashes_stay_as_they_are() {
        let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
        let valid = spec.validate().unwrap();
        let candidates = valid.candidates(&[crate::model::AccountId::default_account()]);
        let shown = format!("{} {}", Fingerprint::of_create(&spec).as_str(), CreateHash::of(&valid, &candidates));
        assert_eq!(shown, include_str!("golden/fingerprints_v1.txt").trim());
    }
}
