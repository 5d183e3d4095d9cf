//! Tokens (JWT) of an issuer that the host names: the key says the algorithm, never the token.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use vip_core::model::TenantId;
use vip_core::telemetry;

use super::{AuthError, Authenticator, Identity, Scope, bearer};
use crate::limits;

/// Bytes of both coordinates of a point of P-256.
const P256_POINT_BYTES: usize = 64;

/// How a key signs; a token that says anything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenAlgorithm {
    /// RSA with SHA-256, PKCS#1 v1.5.
    Rs256,
    /// RSA with SHA-256, PSS.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Ps256 => Algorithm::PS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// Is a key that tokens may be signed with: its name, its one algorithm, and what verifies.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    name: &'static str,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, algorithm: _, key: _ } = self;
        formatter.debug_struct("TokenKey").field("id", id).field("algorithm", name).finish_non_exhaustive()
    }
}

/// Says why tokens cannot be verified; shows ids of keys, never a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenKeysError {
    /// The public key is not of the algorithm, or no PEM.
    #[error("token key {id:?}: no public key of {algorithm} in PEM")]
    Key {
        /// The key's id.
        id: String,
        /// The algorithm that it was to be of.
        algorithm: &'static str,
        /// What happened beneath.
        #[source]
        source: jsonwebtoken::errors::Error,
    },
    /// The secret of an HMAC key is too short to be one.
    #[error("token key {id:?}: a secret has at least {} bytes", limits::TOKEN_SECRET_BYTES)]
    SecretTooShort {
        /// The key's id.
        id: String,
    },
    /// Two keys have one id, so that a token does not say which it is of.
    #[error("token key {id:?} is there twice")]
    Twice {
        /// The id.
        id: String,
    },
    /// There is no key, or there are too many.
    #[error("1 to {} token keys, there are {found}", limits::TOKEN_KEYS)]
    Count {
        /// How many there are.
        found: usize,
    },
    /// A setting is empty or beyond its bound.
    #[error("tokens: {setting} {rule}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What holds for it.
        rule: &'static str,
    },
}

impl TokenKey {
    /// Takes a public key in PEM; `id` is what `kid` of its tokens says.
    ///
    /// # Errors
    ///
    /// [`TokenKeysError::Key`] if it is none of the algorithm.
    pub fn public(id: impl Into<String>, algorithm: TokenAlgorithm, pem: &str) -> Result<Self, TokenKeysError> {
        let id = id.into();
        let read = match algorithm {
            // The library takes private keys for public ones, and any curve for the one that was asked for.
            _ if pem.contains("PRIVATE KEY") => Err(ErrorKind::InvalidKeyFormat.into()),
            TokenAlgorithm::Rs256 | TokenAlgorithm::Ps256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
            TokenAlgorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()).and_then(of_p256),
            TokenAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
        };
        match read {
            Ok(key) => Ok(Self { id, name: algorithm.name(), algorithm: algorithm.library(), key }),
            Err(source) => Err(TokenKeysError::Key { id, algorithm: algorithm.name(), source }),
        }
    }

    /// Takes the secret that both sides have, for HMAC with SHA-256. Whoever verifies with it can sign, too.
    ///
    /// # Errors
    ///
    /// [`TokenKeysError::SecretTooShort`] below 32 bytes.
    pub fn secret(id: impl Into<String>, secret: &SecretString) -> Result<Self, TokenKeysError> {
        let (id, secret) = (id.into(), secret.expose_secret().as_bytes());
        if secret.len() < limits::TOKEN_SECRET_BYTES {
            return Err(TokenKeysError::SecretTooShort { id });
        }
        Ok(Self { id, name: "HS256", algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
    }
}

/// Lets a key pass that is an uncompressed point as long as those of P-256.
fn of_p256(key: DecodingKey) -> jsonwebtoken::errors::Result<DecodingKey> {
    let is_one = matches!(key.try_get_as_bytes()?, [4, point @ ..] if point.len() == P256_POINT_BYTES);
    if is_one { Ok(key) } else { Err(ErrorKind::InvalidEcdsaKey.into()) }
}

/// Says what a token has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct TokenSettings {
    /// Who issues them: `iss`, word for word.
    pub issuer: String,
    /// Whom they are for: `aud` is this, or has this in its list.
    pub audience: String,
    /// What they are: `typ`, in any case, with or without `application/`. Default `at+jwt`, an access token (RFC 9068).
    pub token_type: String,
    /// The claim with the name of the tenant. Default `tenant`; a token without it belongs to none.
    pub tenant_claim: String,
    /// How far the issuer's clock may differ. Default 30 s, at most 5 min.
    pub leeway: Duration,
}

impl TokenSettings {
    /// Says who issues tokens and whom they are for; the rest has defaults.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            token_type: "at+jwt".to_owned(),
            tenant_claim: "tenant".to_owned(),
            leeway: Duration::from_secs(30),
        }
    }

    fn check(&self) -> Result<(), TokenKeysError> {
        let texts = [
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("token_type", &self.token_type),
            ("tenant_claim", &self.tenant_claim),
        ];
        if let Some((setting, _)) = texts.into_iter().find(|(_, text)| text.is_empty()) {
            return Err(TokenKeysError::Setting { setting, rule: "must not be empty" });
        }
        if self.leeway > limits::TOKEN_LEEWAY {
            return Err(TokenKeysError::Setting { setting: "leeway", rule: "must be at most 5 min" });
        }
        Ok(())
    }
}

/// Knows callers by their tokens, `Authorization: Bearer <token>`.
///
/// A token is valid if its `kid` names a key and `alg` is that key's algorithm, if the signature is right, if `typ`, `iss` and
/// `aud` are the ones that were set, if `exp` is to come and `nbf` is over, and if `sub` says who it is. `scope` says what it
/// may do. Keys that a token brings along or points to are never used.
#[derive(Debug)]
pub struct Tokens {
    keys: BTreeMap<String, TokenKey>,
    settings: TokenSettings,
}

/// Is the head of a token; a name that is there twice makes it unreadable.
#[derive(Debug, Deserialize)]
struct Head {
    alg: String,
    kid: String,
    typ: String,
    /// Extensions that have to be understood; we understand none, whatever stands there.
    #[serde(default, deserialize_with = "anything")]
    crit: Option<IgnoredAny>,
}

/// Reads what is there as there, null too.
fn anything<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(Some)
}

impl Tokens {
    /// Takes keys and what tokens have to say.
    ///
    /// # Errors
    ///
    /// [`TokenKeysError`] says what is wrong.
    pub fn new(keys: impl IntoIterator<Item = TokenKey>, settings: TokenSettings) -> Result<Self, TokenKeysError> {
        settings.check()?;
        // Beside another one, which a host's own features may bring, the library would panic at the first token.
        if DEFAULT_PROVIDER.install_default().is_err() {
            telemetry::tell(|| tracing::debug!("the cryptography for tokens was chosen before"));
        }
        let mut known = BTreeMap::new();
        for key in keys {
            let id = key.id.clone();
            if known.insert(id.clone(), key).is_some() {
                return Err(TokenKeysError::Twice { id });
            }
        }
        if known.is_empty() || known.len() > limits::TOKEN_KEYS {
            return Err(TokenKeysError::Count { found: known.len() });
        }
        Ok(Self { keys: known, settings })
    }

    fn identify(&self, token: &str) -> Result<Identity, AuthError> {
        if token.len() > limits::TOKEN_BYTES {
            return Err(AuthError::refused("token_too_long"));
        }
        let head = head_of(token).ok_or(AuthError::refused("token_head"))?;
        let kind = head.typ.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if head.crit.is_some() || !kind.eq_ignore_ascii_case(&self.settings.token_type) {
            return Err(AuthError::refused("token_type"));
        }
        let key = self.keys.get(&head.kid).ok_or(AuthError::refused("token_key"))?;
        if head.alg != key.name {
            return Err(AuthError::refused("token_algorithm"));
        }
        let decoded = decode::<Map<String, Value>>(token, &key.key, &self.validation(key));
        let claims = match decoded {
            Ok(decoded) => decoded.claims,
            Err(error) => {
                telemetry::tell(|| tracing::debug!(error = %telemetry::causes(&error), "a token is not valid"));
                return Err(AuthError::refused("token_invalid"));
            }
        };
        self.identity_of(&claims)
    }

    fn validation(&self, key: &TokenKey) -> Validation {
        let mut validation = Validation::new(key.algorithm);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.validate_nbf = true;
        validation.leeway = self.settings.leeway.as_secs();
        validation
    }

    fn identity_of(&self, claims: &Map<String, Value>) -> Result<Identity, AuthError> {
        // A time that is no number would be taken for none; an issuer that is a list could have ours in it.
        let is_clear = claims.get("nbf").is_none_or(Value::is_number)
            && claims.get("exp").is_some_and(Value::is_number)
            && claims.get("iss").is_some_and(Value::is_string);
        let subject = claims.get("sub").and_then(Value::as_str).filter(|_| is_clear);
        let subject = subject.ok_or(AuthError::refused("token_claims"))?;
        let tenant = match claims.get(&self.settings.tenant_claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(TenantId::new(name).ok().ok_or(AuthError::refused("token_tenant"))?),
            Some(_) => return Err(AuthError::refused("token_tenant")),
        };
        let scopes = match claims.get("scope") {
            None => "",
            Some(Value::String(scopes)) => scopes,
            Some(_) => return Err(AuthError::refused("token_scope")),
        };
        // Scopes that we do not know are somebody else's.
        let scopes = scopes.split(' ').filter_map(Scope::from_name);
        Identity::new(subject, tenant, scopes).ok().ok_or(AuthError::refused("token_subject"))
    }
}

/// Reads the head; nothing of it is believed before the signature is verified with a key of ours.
fn head_of(token: &str) -> Option<Head> {
    let mut parts = token.split('.');
    let (head, _claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError> {
        self.identify(bearer(headers)?)
    }
}
