//! `ProviderClient` with calls that go wrong.

use async_trait::async_trait;
use vip_core::model::{InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest};
use vip_core::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    RequestContext, ServerView,
};

use super::Link;
use crate::cloud::{Cloud, View};
use crate::method::Method;

/// Lets calls of a cloud go wrong.
#[derive(Debug)]
pub struct FaultyProvider {
    link: Link,
    cloud: Cloud,
}

impl FaultyProvider {
    /// Decorates a cloud.
    #[must_use]
    pub const fn new(link: Link, cloud: Cloud) -> Self {
        Self { link, cloud }
    }
}

#[async_trait]
impl ProviderClient for FaultyProvider {
    fn token_digest(&self) -> TokenDigest {
        self.cloud.digest()
    }

    async fn create(&self, request: &CreateRequest, _context: &RequestContext) -> Result<Created, ProviderError> {
        self.cloud.announced(request);
        let later = || {
            let (cloud, request) = (self.cloud.clone(), request.clone());
            Box::pin(async move { drop(cloud.create(&request)) }) as super::Effect
        };
        let call = || async { self.cloud.create(request) };
        self.link.write(Method::Create, request, call, later).await
    }

    async fn find(&self, name: &ProviderName, _: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let call = || async { Ok(self.cloud.find(name.as_str(), View::Now)) };
        self.link.read(Method::Find, name, call, || Some(self.cloud.find(name.as_str(), View::Stale))).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        _context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let call = || async { Ok(self.cloud.find_labelled(owner, server, View::Now)) };
        let stale = || Some(self.cloud.find_labelled(owner, server, View::Stale));
        self.link.read(Method::FindLabelled, &server, call, stale).await
    }

    async fn get(&self, id: &ProviderServerId, _: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let call = || async { Ok(self.cloud.get(id, View::Now)) };
        self.link.read(Method::Get, id, call, || Some(self.cloud.get(id, View::Stale))).await
    }

    async fn delete(&self, id: &ProviderServerId, _context: &RequestContext) -> Result<Deletion, ProviderError> {
        let later = || {
            let (cloud, id) = (self.cloud.clone(), id.clone());
            Box::pin(async move { drop(cloud.delete(&id)) }) as super::Effect
        };
        let call = || async { self.cloud.delete(id) };
        self.link.write(Method::Delete, id, call, later).await
    }

    async fn actions(&self, ids: &[ProviderActionId], _: &RequestContext) -> Result<Vec<ActionView>, ProviderError> {
        self.link.read(Method::Actions, &ids, || async { Ok(self.cloud.actions(ids)) }, || None).await
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        _context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let call = || async { Ok(self.cloud.inventory(owner, page, View::Now)) };
        let stale = || Some(self.cloud.inventory(owner, page, View::Stale));
        self.link.read(Method::Inventory, &page, call, stale).await
    }

    async fn catalog(&self, _context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.link.read(Method::Catalog, &(), || async { Ok(Catalog::default()) }, || None).await
    }
}
