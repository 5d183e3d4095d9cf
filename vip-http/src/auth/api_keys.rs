//! API keys that the host gives out: kept as hashes, found by id, compared in constant time.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use vip_core::model::{NameError, TenantId};

use super::{AuthError, Authenticator, Identity, Scope, bearer};
use crate::limits;

/// How every key begins, so that a scanner for secrets can find one.
const PREFIX: &str = "vip_";
/// Random bytes in a key.
const SECRET_BYTES: usize = 32;

type Hash = [u8; 32];

/// Is one key as a file keeps it; it does not hold the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ApiKeyEntry {
    /// Names the key: 1 to 32 of `a-z 0-9`; stands in the key itself.
    pub id: String,
    /// SHA-256 of the whole key, in hexadecimal. It does not show what was hashed: the entry of a key that has another form
    /// than `vip_<id>_<secret>`, or is longer than [`limits::API_KEY_BYTES`], is taken, and its key is refused with each request.
    pub sha256: String,
    /// Who uses it, as it stands in audit records; the id if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The tenant that it speaks for; none for an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// What it may do: `tenant:read`, `tenant:write`, `operator`.
    pub scopes: Vec<String>,
}

/// Is a fresh key: shown once, kept by nobody but its user.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewApiKey {
    /// The key.
    pub key: SecretString,
    /// What to keep of it.
    pub entry: ApiKeyEntry,
}

impl NewApiKey {
    /// Makes a key with 256 random bits.
    ///
    /// # Errors
    ///
    /// [`ApiKeysError`] if the id is not valid, or the system has no randomness.
    pub fn generate(
        id: &str,
        tenant: Option<TenantId>,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<Self, ApiKeysError> {
        check_id(id)?;
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|error| ApiKeysError::NoRandomness { source: error })?;
        let key = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let sha256 = hash(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        let scopes = scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect();
        let entry = ApiKeyEntry { id: id.to_owned(), sha256, subject: None, tenant, scopes };
        Ok(Self { key: SecretString::from(key), entry })
    }
}

/// Says why a set of keys cannot be used; shows ids, never keys or hashes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeysError {
    /// The text is no JSON array of entries.
    #[error("not a list of API keys: line {line}, column {column}")]
    Malformed {
        /// Where it stops being right.
        line: usize,
        /// Where it stops being right.
        column: usize,
    },
    /// There are too many.
    #[error("at most {} API keys, there are {found}", limits::API_KEYS)]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// Something is wrong with one entry.
    #[error("API key {id:?}: {rule}")]
    Entry {
        /// Its id.
        id: String,
        /// The rule that it breaks.
        rule: String,
    },
    /// The system gives no random bytes.
    #[error("the system has no randomness")]
    NoRandomness {
        /// What happened beneath.
        #[source]
        source: getrandom::Error,
    },
}

struct Kept {
    hash: Hash,
    identity: Identity,
}

/// Knows the callers by their API keys, `Authorization: Bearer vip_<id>_<secret>`.
///
/// Only hashes are kept. A plain SHA-256 is enough, because a key has 256 random bits.
pub struct ApiKeys {
    kept: BTreeMap<String, Kept>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ApiKeys").field("ids", &self.kept.keys()).finish()
    }
}

impl ApiKeys {
    /// Takes a set of keys.
    ///
    /// # Errors
    ///
    /// [`ApiKeysError`] names the first entry that is wrong.
    pub fn new(entries: impl IntoIterator<Item = ApiKeyEntry>) -> Result<Self, ApiKeysError> {
        let mut kept = BTreeMap::new();
        for entry in entries {
            check_id(&entry.id)?;
            let wrong = |rule: &str| ApiKeysError::Entry { id: entry.id.clone(), rule: rule.to_owned() };
            let hash = from_hex(&entry.sha256).ok_or_else(|| wrong("`sha256` must have 64 hexadecimal digits"))?;
            let mut scopes = Vec::with_capacity(entry.scopes.len());
            for name in &entry.scopes {
                scopes.push(Scope::from_name(name).ok_or_else(|| wrong("has a scope that nobody knows"))?);
            }
            if entry.tenant.is_none() && scopes.iter().any(|scope| *scope != Scope::Operator) {
                return Err(wrong("has a scope of a tenant and no tenant"));
            }
            let subject = entry.subject.clone().unwrap_or_else(|| entry.id.clone());
            let identity = Identity::new(subject, entry.tenant.clone(), scopes);
            let identity = identity.map_err(|error: NameError| wrong(&format!("`subject` {error}")))?;
            if kept.insert(entry.id.clone(), Kept { hash, identity }).is_some() {
                return Err(wrong("is there twice"));
            }
            if kept.len() > limits::API_KEYS {
                return Err(ApiKeysError::TooMany { found: kept.len() });
            }
        }
        Ok(Self { kept })
    }

    /// Reads a set of keys from a JSON array of [`ApiKeyEntry`].
    ///
    /// # Errors
    ///
    /// [`ApiKeysError`] says where it stops being right.
    pub fn from_json(text: &str) -> Result<Self, ApiKeysError> {
        let entries: Vec<ApiKeyEntry> = serde_json::from_str(text)
            .map_err(|error| ApiKeysError::Malformed { line: error.line(), column: error.column() })?;
        Self::new(entries)
    }

    /// Returns how many keys are known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept.len()
    }

    fn identify(&self, key: &str) -> Result<&Identity, AuthError> {
        if key.len() > limits::API_KEY_BYTES {
            return Err(AuthError::refused("key_too_long"));
        }
        self.find(key).ok_or(AuthError::refused("unknown_key"))
    }

    fn find(&self, key: &str) -> Option<&Identity> {
        let presented = hash(key);
        let id = key.strip_prefix(PREFIX)?.split('_').next()?;
        // An id is no secret: it is printed and logged. What is compared in constant time is the hash of the key.
        let kept = self.kept.get(id)?;
        bool::from(presented.ct_eq(&kept.hash)).then_some(&kept.identity)
    }
}

#[async_trait]
impl Authenticator for ApiKeys {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        let key = SecretString::from(bearer(headers)?);
        self.identify(key.expose_secret()).cloned()
    }
}

fn hash(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

fn from_hex(text: &str) -> Option<Hash> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (place, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|it| it.is_ascii_hexdigit()))?;
        *place = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}

fn check_id(id: &str) -> Result<(), ApiKeysError> {
    let is_valid = (1..=limits::API_KEY_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if is_valid {
        return Ok(());
    }
    let rule = format!("the id must have 1 to {} of a-z and 0-9", limits::API_KEY_ID_BYTES);
    // What stands there is not shown: it may be the key.
    Err(ApiKeysError::Entry { id: format!("({} bytes, not shown)", id.len()), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Option<TenantId> {
        Some(TenantId::new("acme").unwrap())
    }

    #[test]
    fn a_key_is_known_and_one_with_any_byte_changed_is_not() {
        let new = NewApiKey::generate("panel", tenant(), [Scope::TenantRead]).unwrap();
        let keys = ApiKeys::new([new.entry]).unwrap();
        let key = new.key.expose_secret();
        assert_eq!(keys.identify(key).unwrap().subject(), "panel");
        for at in 0..key.len() {
            let mut changed = key.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(keys.identify(std::str::from_utf8(&changed).unwrap()).is_err(), "byte {at}");
        }
        for wrong in ["", "vip_", "vip_panel", "vip_panel_", &key[..key.len() - 1], &format!("{key}A")] {
            assert!(keys.identify(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_entries_are_refused_by_their_ids_and_show_nothing_else() {
        let good = NewApiKey::generate("panel", tenant(), [Scope::TenantRead]).unwrap().entry;
        let changed = |change: fn(&mut ApiKeyEntry)| {
            let mut entry = good.clone();
            change(&mut entry);
            vec![entry]
        };
        let cases = [
            vec![good.clone(), good.clone()],
            changed(|entry| entry.sha256.truncate(63)),
            changed(|entry| entry.sha256.replace_range(0..1, "+")),
            changed(|entry| entry.scopes.push("root".to_owned())),
            changed(|entry| entry.tenant = None),
            changed(|entry| entry.subject = Some("two words".to_owned())),
        ];
        for entries in cases {
            let error = ApiKeys::new(entries).unwrap_err().to_string();
            assert!(error.starts_with("API key \"panel\": ") && !error.contains(&good.sha256), "{error}");
        }
        assert!(ApiKeys::from_json("[{}]").unwrap_err().to_string().contains("line 1"));
    }

    /// Of one that is longer the entry does not tell, so the log does.
    #[test]
    fn a_key_has_at_most_128_bytes_and_one_that_is_longer_is_refused_as_such() {
        let identified = |length: usize| {
            let key = format!("vip_panel_{}", "x".repeat(length - "vip_panel_".len()));
            let mut entry = NewApiKey::generate("panel", tenant(), [Scope::TenantRead]).unwrap().entry;
            entry.sha256 = hash(&key).iter().map(|byte| format!("{byte:02x}")).collect();
            let keys = ApiKeys::new([entry]).unwrap();
            keys.identify(&key).cloned()
        };
        assert_eq!(identified(limits::API_KEY_BYTES).unwrap().subject(), "panel");
        let refused = identified(limits::API_KEY_BYTES + 1).unwrap_err();
        assert!(matches!(refused, AuthError::Refused { because: "key_too_long" }), "{refused}");
    }

    #[test]
    fn an_id_has_at_most_thirty_two_bytes() {
        assert!(NewApiKey::generate(&"a".repeat(32), None, []).is_ok());
        for wrong in [&"a".repeat(33), "", "a_b", "A"] {
            assert!(NewApiKey::generate(wrong, None, []).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_are_at_most_ten_thousand_keys() {
        let of = |count: usize| {
            let entry = NewApiKey::generate("a", None, [Scope::Operator]).unwrap().entry;
            ApiKeys::new((0..count).map(move |number| ApiKeyEntry { id: format!("k{number}"), ..entry.clone() }))
        };
        assert!(of(limits::API_KEYS).is_ok());
        assert!(matches!(of(limits::API_KEYS + 1), Err(ApiKeysError::TooMany { .. })));
    }

    #[test]
    fn nothing_that_is_shown_holds_a_key_or_its_hash() {
        let new = NewApiKey::generate("panel", tenant(), [Scope::TenantRead]).unwrap();
        let (key, sha256) = (new.key.expose_secret().to_owned(), new.entry.sha256.clone());
        let shown = format!("{:?} {:?}", new.key, ApiKeys::new([new.entry]).unwrap());
        assert!(!shown.contains(&key) && !shown.contains(&sha256), "{shown}");
    }
}
