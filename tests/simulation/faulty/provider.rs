//! `ProviderClient` with calls that go wrong.

use async_trait::async_trait;
use vip_core::model::{
    Addresses, InstallationId, Labels, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest,
};
use vip_core::ports::{
    ActionStatus, ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    RequestContext, ServerStatus, ServerView,
};

use super::Link;
use crate::cloud::{Cloud, View};
use crate::method::{Kind, Method};

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

    fn other(&self, kind: Kind, stale: impl FnOnce() -> Option<ServerView>) -> Option<ServerView> {
        if kind == Kind::Nonsense { Some(somebody_elses()) } else { stale() }
    }
}

/// A server that nobody asked for.
fn somebody_elses() -> ServerView {
    ServerView {
        id: ProviderServerId::new("4711").unwrap(),
        name: "somebody-elses".to_owned(),
        status: ServerStatus::Running,
        labels: Labels::new(),
        addresses: Addresses::default(),
        server_type: String::new(),
        location: String::new(),
        is_listed: false,
    }
}

#[async_trait]
impl ProviderClient for FaultyProvider {
    fn token_digest(&self) -> TokenDigest {
        self.cloud.digest()
    }

    async fn create(&self, request: &CreateRequest, _context: &RequestContext) -> Result<Created, ProviderError> {
        let stock = self.cloud.announced(request);
        let later = || {
            let (cloud, request) = (self.cloud.clone(), request.clone());
            Box::pin(async move {
                // A request that arrives late is refused as one that arrives at once.
                if cloud.admits(Method::Create, request.name.as_str()).is_ok() {
                    drop(cloud.create(&request, stock));
                }
            }) as super::Effect
        };
        if let Some(delay) = self.cloud.delay(request.name.as_str()) {
            self.link.world.later(delay, later());
            return Err(super::Fails::unknown());
        }
        let call = || async {
            self.cloud.admits(Method::Create, request.name.as_str())?;
            self.cloud.create(request, stock)
        };
        self.link.write(Method::Create, request, call, later).await
    }

    async fn find(&self, name: &ProviderName, _: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let call = || async {
            self.cloud.admits(Method::Find, name.as_str())?;
            Ok(self.cloud.find(name.as_str(), View::Now))
        };
        let other = |kind| Some(self.other(kind, || self.cloud.find(name.as_str(), View::Stale)));
        self.link.read(Method::Find, name, call, other).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        _context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let call = || async {
            self.cloud.admits(Method::FindLabelled, "")?;
            Ok(self.cloud.find_labelled(owner, server, View::Now))
        };
        let stale = || Some(self.cloud.find_labelled(owner, server, View::Stale));
        let other = |kind| if kind == Kind::Nonsense { Some(vec![somebody_elses()]) } else { stale() };
        self.link.read(Method::FindLabelled, &server, call, other).await
    }

    async fn get(&self, id: &ProviderServerId, _: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let call = || async {
            self.cloud.admits_id(Method::Get, id.as_str())?;
            Ok(self.cloud.get(id, View::Now))
        };
        let other = |kind| Some(self.other(kind, || self.cloud.get(id, View::Stale)));
        self.link.read(Method::Get, id, call, other).await
    }

    async fn delete(&self, id: &ProviderServerId, _context: &RequestContext) -> Result<Deletion, ProviderError> {
        let later = || {
            let (cloud, id) = (self.cloud.clone(), id.clone());
            Box::pin(async move {
                if cloud.admits_id(Method::Delete, id.as_str()).is_ok() {
                    drop(cloud.delete(&id));
                }
            }) as super::Effect
        };
        let call = || async {
            self.cloud.admits_id(Method::Delete, id.as_str())?;
            self.cloud.delete(id)
        };
        self.link.write(Method::Delete, id, call, later).await
    }

    async fn actions(&self, ids: &[ProviderActionId], _: &RequestContext) -> Result<Vec<ActionView>, ProviderError> {
        let call = || async {
            let id = ids.first().and_then(|id| id.as_str().strip_prefix('a')).unwrap_or_default();
            self.cloud.admits_id(Method::Actions, id)?;
            Ok(self.cloud.actions(ids))
        };
        let other = |_| {
            let id = ProviderActionId::new("somebody-elses").unwrap();
            Some(vec![ActionView { id, status: ActionStatus::Failed { code: "failed".to_owned() } }])
        };
        self.link.read(Method::Actions, &ids, call, other).await
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        _context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let call = || async {
            self.cloud.admits(Method::Inventory, "")?;
            Ok(self.cloud.inventory(owner, page, View::Now))
        };
        let stale = |_| Some(self.cloud.inventory(owner, page, View::Stale));
        self.link.read(Method::Inventory, &page, call, stale).await
    }

    async fn catalog(&self, _context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.link.read(Method::Catalog, &(), || async { Ok(Catalog::default()) }, |_| None).await
    }
}
