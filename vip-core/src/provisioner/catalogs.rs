//! What can be ordered in each account, kept for a while: asked at the provider at most once in ten minutes.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;

use super::builder::StartError;
use crate::model::{AccountId, Gate};
use crate::ports::{Cache, CacheKey, Catalog, ProviderError, ProviderErrorKind, RequestContext};
use crate::provisioning::Context;
use crate::provisioning::sweep::Prices;
use crate::resilience::cached::{Ages, Cached, CachedSource, InvalidationError, LoadError, Source};
use crate::runtime::{HealthSource, HealthStatus, PartHealth};

/// Says why there is no catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// This process has no client of such an account.
    #[error("this process has no client of account {account}")]
    UnknownAccount {
        /// The account.
        account: AccountId,
    },
    /// None is kept that is young enough, and none could be loaded. Try again later.
    #[error("the catalog could not be loaded")]
    Unavailable {
        /// Why.
        #[source]
        source: LoadError<ProviderError>,
    },
    /// It may still be kept in the cache that processes share; this one does not serve it.
    #[error(transparent)]
    NotInvalidated(#[from] InvalidationError),
}

/// Keeps the catalogs of all accounts of this process.
#[derive(Debug)]
pub(super) struct Catalogs {
    kept: BTreeMap<AccountId, CachedSource<AccountCatalog>>,
}

#[derive(Debug)]
struct AccountCatalog {
    context: Context,
    account: AccountId,
}

impl Catalogs {
    pub(super) fn new(context: &Context, ages: Ages, cache: Option<&Arc<dyn Cache>>) -> Result<Self, StartError> {
        let mut kept = BTreeMap::new();
        for account in context.providers.keys() {
            let ages = ages.jittered(&*context.randomness);
            let source = AccountCatalog { context: context.clone(), account: account.clone() };
            let cached = match cache {
                Some(cache) => {
                    // Two installations may share a cache and call different accounts by one name.
                    let key = CacheKey::new(None, format!("catalog:{}:{account}", context.installation))?;
                    CachedSource::shared(source, ages, cache.clone(), key, context.clock.clone())
                }
                None => CachedSource::new(source, ages),
            };
            kept.insert(account.clone(), cached);
        }
        Ok(Self { kept })
    }

    pub(super) async fn get(&self, account: &AccountId) -> Result<Cached<Catalog>, CatalogError> {
        self.of(account)?.get().await.map_err(|source| CatalogError::Unavailable { source })
    }

    pub(super) async fn invalidate(&self, account: &AccountId) -> Result<(), CatalogError> {
        Ok(self.of(account)?.invalidate().await?)
    }

    pub(super) async fn close(&self) {
        for kept in self.kept.values() {
            kept.close().await;
        }
    }

    fn of(&self, account: &AccountId) -> Result<&CachedSource<AccountCatalog>, CatalogError> {
        self.kept.get(account).ok_or_else(|| CatalogError::UnknownAccount { account: account.clone() })
    }
}

#[async_trait]
impl Source for AccountCatalog {
    type Value = Catalog;
    type Error = ProviderError;

    fn name(&self) -> String {
        format!("catalog:{}", self.account)
    }

    async fn load(&self) -> Result<Catalog, ProviderError> {
        let refuse = |code| ProviderError::new(ProviderErrorKind::NotSent, code);
        let Some(client) = self.context.providers.get(&self.account) else {
            return Err(refuse("no_client"));
        };
        let account = self.context.store.account(&self.account).await;
        let account = account.map_err(|error| refuse("store").with_source(error))?;
        match account.gate(&client.token_digest()).map(|entry| &entry.gate) {
            // A token that nobody has checked yet may read what is the same for everybody.
            Some(Gate::Open) | None => {}
            // A stopped account makes no request at all.
            Some(Gate::Blocked { .. } | Gate::Suspect { .. }) => return Err(refuse("account_blocked")),
        }
        client.catalog(&RequestContext::new(self.context.timing.request_deadline)).await
    }
}

#[async_trait]
impl Prices for Catalogs {
    async fn catalog(&self, account: &AccountId) -> Result<Arc<Catalog>, Box<dyn Error + Send + Sync>> {
        Ok(self.get(account).await?.value)
    }
}

/// Shows the catalogs that were asked for.
#[async_trait]
impl HealthSource for Catalogs {
    fn name(&self) -> &str {
        "catalogs"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let mut parts = Vec::new();
        for (account, kept) in &self.kept {
            let status = kept.status();
            let fails = status.failures > 0 || status.second_level_failures > 0 || status.second_level_distrusted;
            if fails || status.age.is_some() {
                let health = if fails { HealthStatus::Degraded } else { HealthStatus::Ok };
                parts.push(PartHealth::new(format!("catalog:{account}"), health, Some(status.to_string())));
            }
        }
        parts
    }
}
