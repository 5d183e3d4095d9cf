//! Values that may be lost at any time without becoming wrong.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::retryability::Retryability;
use crate::model::{NameError, TenantId};

/// Keeps values for a while: losing one costs speed, never truth.
///
/// # Contract
///
/// * A value is answered until its time to live is over, and not afterwards (`a_value_lives_for_its_time`).
/// * After `invalidate` answered `Ok`, the value is not answered again (`an_invalidated_value_is_gone`).
/// * Keys of two tenants never meet (`tenants_do_not_meet`).
/// * Every failure is an error that the caller sees; none is turned into a miss (`a_failure_is_not_a_miss`).
/// * A newer value replaces the older one, with its own time to live (`a_newer_value_replaces_the_older_one`).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Cache: fmt::Debug + Send + Sync + 'static {
    /// Returns the value of a key, if it is kept.
    ///
    /// # Errors
    ///
    /// [`CacheError`] if the cache cannot be asked.
    async fn get(&self, key: &CacheKey) -> Result<Option<Vec<u8>>, CacheError>;

    /// Keeps a value for `time_to_live`, in place of an older one.
    ///
    /// # Errors
    ///
    /// [`CacheError`]; an older value may still be answered.
    async fn put(&self, key: &CacheKey, value: &[u8], time_to_live: Duration) -> Result<(), CacheError>;

    /// Forgets a value.
    ///
    /// # Errors
    ///
    /// [`CacheError`]; the value may still be answered, so the caller must not serve it.
    async fn invalidate(&self, key: &CacheKey) -> Result<(), CacheError>;
}

/// Names a value: a tenant (none for what all may see) and 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey {
    tenant: Option<TenantId>,
    name: String,
}

impl CacheKey {
    /// Makes a key; the tenant is part of it, so that it cannot be forgotten.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless the name has 1 to 255 visible ASCII characters.
    pub fn new(tenant: Option<TenantId>, name: impl Into<String>) -> Result<Self, NameError> {
        crate::model::RequestId::new(name).map(|checked| Self { tenant, name: checked.into() })
    }

    /// Returns the tenant.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Says that a cache could not do what was asked; always survivable.
#[derive(Debug, thiserror::Error)]
#[error("cache is unavailable")]
#[non_exhaustive]
pub struct CacheError {
    /// What happened beneath.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl CacheError {
    /// Wraps what happened beneath.
    #[must_use]
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }

    /// Says that it may be tried again.
    #[must_use]
    pub const fn retryability(&self) -> Retryability {
        Retryability::Temporary
    }
}
