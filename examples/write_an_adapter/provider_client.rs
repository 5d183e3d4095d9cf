//! A `ProviderClient` for the rack: what may have happened is the one thing that it must never get wrong.
#![expect(clippy::wildcard_enum_match_arm, reason = "an answer to another question is nonsense, whichever it is")]

use std::sync::Arc;

use vip_adapters::vip_core::model::{
    Addresses, InstallationId, OWNER_LABEL, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest,
};
use vip_adapters::vip_core::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    ProviderErrorKind, RequestContext, ServerStatus, ServerView,
};

use crate::rack::{Machine, Rack, Request, Response};

/// Reaches one rack.
#[derive(Debug)]
pub(crate) struct RackClient {
    rack: Arc<Rack>,
    digest: TokenDigest,
}

impl RackClient {
    /// The digest is of the key that was given: the same in every process, and another one for another key.
    pub(crate) fn new(rack: Arc<Rack>, key: &str) -> Self {
        Self { rack, digest: TokenDigest::of(key) }
    }

    /// Sends one request, once. Whoever hears nothing, in time or at all, does not know what happened.
    async fn call(&self, request: Request, context: &RequestContext) -> Result<Response, ProviderError> {
        match tokio::time::timeout(context.deadline, self.rack.call(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(broke)) => Err(ProviderError::new(ProviderErrorKind::Unknown, "line_broke").with_source(broke)),
            Err(_elapsed) => Err(ProviderError::new(ProviderErrorKind::Unknown, "deadline")),
        }
    }

    async fn list(
        &self,
        context: &RequestContext,
        is_wanted: impl Fn(&ServerView) -> bool + Send,
    ) -> Result<Vec<ServerView>, ProviderError> {
        match self.call(Request::List, context).await? {
            // All or none: a server that is left out of a list would be taken for missing.
            Response::Machines(machines) => {
                let views = machines.into_iter().map(|(id, machine)| view(id, machine));
                Ok(views.collect::<Result<Vec<_>, _>>()?.into_iter().filter(is_wanted).collect())
            }
            other => Err(nonsense(&other)),
        }
    }
}

fn view(id: u64, machine: Machine) -> Result<ServerView, ProviderError> {
    let id = ProviderServerId::new(id.to_string())
        .map_err(|error| ProviderError::new(ProviderErrorKind::Unknown, "bad_id").with_source(error))?;
    Ok(ServerView {
        id,
        name: machine.name,
        status: ServerStatus::Running,
        labels: machine.labels,
        addresses: Addresses::default(),
        server_type: "1u".to_owned(),
        location: "cellar".to_owned(),
        is_listed: false,
    })
}

/// An answer that does not fit the question: it may have been applied. The code is a name, which audit records keep; what was
/// answered may be of other tenants, and is not in it.
fn nonsense(_response: &Response) -> ProviderError {
    ProviderError::new(ProviderErrorKind::Unknown, "unexpected_answer")
}

#[async_trait::async_trait]
impl ProviderClient for RackClient {
    fn token_digest(&self) -> TokenDigest {
        self.digest.clone()
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        let machine = Machine { name: request.name.to_string(), labels: request.labels.clone() };
        match self.call(Request::Switch { on: machine.clone() }, context).await? {
            Response::Done { id } => {
                Ok(Created { server: view(id, machine)?, actions: Vec::new(), correlation_id: None })
            }
            // "Not applied" is said only where the provider itself says so.
            Response::NameTaken => Err(ProviderError::new(ProviderErrorKind::AlreadyExists, "name_taken")),
            Response::NoPower => Err(ProviderError::new(ProviderErrorKind::Exhausted, "no_power")),
            other @ (Response::NotThere | Response::Machines(_)) => Err(nonsense(&other)),
        }
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        // An id that is no number is none of theirs.
        let Ok(id) = id.as_str().parse() else { return Ok(Deletion::AlreadyGone) };
        match self.call(Request::Remove { id }, context).await? {
            Response::Done { .. } => Ok(Deletion::Accepted),
            Response::NotThere => Ok(Deletion::AlreadyGone),
            Response::NoPower => Err(ProviderError::new(ProviderErrorKind::Busy, "no_power")),
            other @ (Response::NameTaken | Response::Machines(_)) => Err(nonsense(&other)),
        }
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        Ok(self.list(context, |view| view.name == name.as_str()).await?.pop())
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        self.list(context, |view| view.is_ours(owner, server)).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        Ok(self.list(context, |view| &view.id == id).await?.pop())
    }

    /// The rack works at once: it knows no actions.
    async fn actions(&self, _: &[ProviderActionId], _: &RequestContext) -> Result<Vec<ActionView>, ProviderError> {
        Ok(Vec::new())
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let owner = owner.to_string();
        // All of them are on one page, and none beyond it.
        let is_wanted = |view: &ServerView| page == 1 && view.labels.get(OWNER_LABEL) == Some(&owner);
        Ok(InventoryPage { servers: self.list(context, is_wanted).await?, next: None })
    }

    async fn catalog(&self, _: &RequestContext) -> Result<Catalog, ProviderError> {
        Ok(Catalog::default())
    }
}
