//! Who calls: authenticators, identities and their scopes.

mod api_keys;
mod extract;
#[cfg(feature = "jwt")]
mod jwt;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use axum::http::{HeaderMap, header};
use vip_core::model::{Actor, NameError, TenantId};

pub use api_keys::{ApiKeyEntry, ApiKeys, ApiKeysError, NewApiKey};
pub use extract::{OperatorCaller, TenantReader, TenantWriter};
#[cfg(feature = "jwt")]
pub use jwt::{TokenAlgorithm, TokenKey, TokenKeysError, TokenSettings, Tokens};

/// Says what an identity may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Read what belongs to its tenant.
    TenantRead,
    /// Order and delete for its tenant; does not include reading.
    TenantWrite,
    /// Look at, and act on, the whole installation.
    Operator,
}

impl Scope {
    /// Lists all scopes.
    pub const ALL: [Self; 3] = [Self::TenantRead, Self::TenantWrite, Self::Operator];

    /// Returns the stable name, as it stands in files and tokens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantRead => "tenant:read",
            Self::TenantWrite => "tenant:write",
            Self::Operator => "operator",
        }
    }

    /// Finds a scope by its stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Is somebody who was identified: never made from what the request says of itself, only by an [`Authenticator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    subject: Actor,
    name: String,
    tenant: Option<TenantId>,
    scopes: BTreeSet<Scope>,
}

impl Identity {
    /// Makes an identity; without a tenant it can do nothing that belongs to one.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless the subject has 1 to 255 visible ASCII characters.
    pub fn new(
        subject: impl Into<String>,
        tenant: Option<TenantId>,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Result<Self, NameError> {
        let name = subject.into();
        Ok(Self { subject: Actor::principal(name.clone())?, name, tenant, scopes: scopes.into_iter().collect() })
    }

    /// Returns who it is, as it stands in audit records.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.name
    }

    /// Returns its tenant.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Says whether it may do what a scope allows.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    pub(crate) fn actor(&self) -> Actor {
        self.subject.clone()
    }
}

/// Says why nobody was identified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Nothing, or nothing valid, was presented. Which of both is not told to the caller.
    #[error("not authenticated: {because}")]
    Refused {
        /// Why, as a short code for the log.
        because: &'static str,
    },
    /// It cannot be told now.
    #[error("the authenticator is unavailable")]
    Unavailable {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AuthError {
    /// Refuses, with a short code for the log.
    #[must_use]
    pub const fn refused(because: &'static str) -> Self {
        Self::Refused { because }
    }
}

/// Identifies callers by what their requests present.
///
/// # Contract
///
/// * It takes the tenant from what was verified, never from another part of the request.
/// * It compares secrets in constant time, and says the same to a caller whatever was wrong.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Identifies the caller.
    ///
    /// # Errors
    ///
    /// [`AuthError`]; the request is answered 401, or 503 if it could not be told.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Identity, AuthError>;
}

/// Takes the one bearer token from `Authorization`; two headers are as good as none.
///
/// # Errors
///
/// [`AuthError::Refused`] if there is no header, another scheme, or more than one.
pub fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::refused("no_credentials"))?;
    if values.next().is_some() {
        return Err(AuthError::refused("two_credentials"));
    }
    let text = value.to_str().map_err(|_not_ascii: axum::http::header::ToStrError| AuthError::refused("not_ascii"))?;
    let (scheme, token) = text.split_once(' ').ok_or(AuthError::refused("no_scheme"))?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(AuthError::refused("other_scheme"));
    }
    Ok(token)
}
