//! Counts and times what is really sent to a provider: the innermost layer around a client.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::model::{
    AccountId, Effect, InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest,
};
use crate::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, Outlook, ProviderClient, ProviderError,
    RequestContext, ServerView,
};
use crate::telemetry;

/// Counts the calls of a client by their outcome, and times them.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn ProviderClient>,
    account: AccountId,
}

impl Metered {
    /// Counts the calls of a client of an account.
    #[must_use]
    pub fn new(account: AccountId, inner: Arc<dyn ProviderClient>) -> Self {
        Self { inner, account }
    }

    async fn observed<T: Send>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        let started = Instant::now();
        let result = work.await;
        let outcome = result.as_ref().err().map_or("ok", |error| error.kind.as_str());
        let account = self.account.as_str().to_owned();
        metrics::counter!(
            telemetry::METRIC_PROVIDER_REQUESTS, "account" => account.clone(), "call" => call, "outcome" => outcome
        )
        .increment(1);
        metrics::histogram!(telemetry::METRIC_PROVIDER_REQUEST_SECONDS, "account" => account, "call" => call)
            .record(started.elapsed().as_secs_f64());
        result
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for Metered {
    fn token_digest(&self) -> TokenDigest {
        self.inner.token_digest()
    }

    fn outlook(&self) -> Outlook {
        self.inner.outlook()
    }

    async fn reserve(&self, effect: &Effect, context: RequestContext) -> Result<RequestContext, ProviderError> {
        self.inner.reserve(effect, context).await
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        self.observed("create", self.inner.create(request, context)).await
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.observed("find", self.inner.find(name, context)).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        self.observed("find_labelled", self.inner.find_labelled(owner, server, context)).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.observed("get", self.inner.get(id, context)).await
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        self.observed("delete", self.inner.delete(id, context)).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        self.observed("actions", self.inner.actions(ids, context)).await
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        self.observed("inventory", self.inner.inventory(owner, page, context)).await
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.observed("catalog", self.inner.catalog(context)).await
    }
}
