//! `ProviderClient` on the Hetzner Cloud API.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use serde::de::DeserializeOwned;
use vip_core::model::{InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest};
use vip_core::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, Outlook, ProviderClient, ProviderError,
    RequestContext, ServerView,
};
use vip_core::telemetry;

use super::answer::{correlation_id, read, read_if_there};
use super::call::Call;
use super::error::{BodyError, CallError};
use super::mapping::{self, FollowUp, Part};
use super::{HetznerClient, lists, wire};

/// Most actions that one request asks for; the API answers as many on a page.
pub(crate) const ACTIONS_PER_REQUEST: usize = 25;
/// Most pages of a list that is read as a whole: 1000 entries.
pub(crate) const PAGES: u32 = 20;

#[async_trait]
impl ProviderClient for HetznerClient {
    fn token_digest(&self) -> TokenDigest {
        self.token_digest.clone()
    }

    fn outlook(&self) -> Outlook {
        let mut outlook = Outlook::default();
        outlook.rate = self.rate.last();
        outlook
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        let work = async {
            let response = self.send(self.requests.create(request)?, context).await?;
            let created = read(Call::Create, &response, |body| {
                let created = mapping::created(body)?;
                Ok(Created { server: mapping::with_name(created.server, &request.name)?, ..created })
            })?;
            Ok(Created { correlation_id: correlation_id(response.headers()), ..created })
        };
        self.within(Call::Create, context, work).await
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let work = async {
            let response = self.send(self.requests.find(name)?, context).await?;
            read(Call::Find, &response, |body| lists::named(body, name))
        };
        self.within(Call::Find, context, work).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let work = async {
            let request = |page| self.requests.find_labelled(owner, server, page);
            let convert = |body, page| lists::labelled(body, page, owner, server);
            self.list(Call::FindLabelled, context, request, convert).await
        };
        self.within(Call::FindLabelled, context, work).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let work = async {
            let number = wire::Id::parse(id.as_str()).ok_or(CallError::ForeignId)?;
            let response = self.send(self.requests.show(number)?, context).await?;
            read_if_there(Call::Get, &response, |body| mapping::with_id(mapping::only_server(body)?, id))
        };
        self.within(Call::Get, context, work).await
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        let work = async {
            let number = wire::Id::parse(id.as_str()).ok_or(CallError::ForeignId)?;
            let response = self.send(self.requests.delete(number)?, context).await?;
            let deleted = read_if_there(Call::Delete, &response, |_: wire::Deleted| Ok(Deletion::Accepted))?;
            Ok(deleted.unwrap_or(Deletion::AlreadyGone))
        };
        self.within(Call::Delete, context, work).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        // An id that is no number is none that this provider knows: it is left out like one that it has forgotten.
        let wanted: BTreeSet<wire::Id> = ids.iter().filter_map(|id| wire::Id::parse(id.as_str())).collect();
        let wanted: Vec<wire::Id> = wanted.into_iter().collect();
        let work = async {
            let mut views = Vec::with_capacity(wanted.len());
            for chunk in wanted.chunks(ACTIONS_PER_REQUEST) {
                let response = self.send(self.requests.actions(chunk)?, context).await?;
                // Not there means: not known, so that the caller reads the server instead.
                let found = read_if_there(Call::Actions, &response, mapping::actions)?.unwrap_or_default();
                self.warn_of_odd_actions(chunk, &found);
                let is_wanted =
                    |id: &ProviderActionId| wire::Id::parse(id.as_str()).is_some_and(|id| chunk.contains(&id));
                for FollowUp { id, command, code } in found.failed_follow_ups.iter().filter(|it| is_wanted(&it.id)) {
                    telemetry::tell(|| {
                        tracing::warn!(
                            provider_id = %id,
                            command = command.as_str(),
                            code = code.as_str(),
                            "what followed a create has failed: the server is there, and is looked at"
                        );
                    });
                }
                views.extend(found.views.into_iter().filter(|it| is_wanted(&it.id)));
            }
            Ok(views)
        };
        self.within(Call::Actions, context, work).await
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let work = async {
            let response = self.send(self.requests.inventory(owner, page)?, context).await?;
            let inventory = read(Call::Inventory, &response, |body| lists::inventory(body, page, owner))?;
            let whole = inventory.page.servers.iter().filter_map(|view| wire::Id::parse(view.id.as_str()));
            for id in self.apart.saw(whole, inventory.apart.iter().copied()) {
                telemetry::tell(|| {
                    tracing::warn!(
                        provider_id = %id,
                        "a listed server cannot be read: it is left out of the list, and its order waits until it can be"
                    );
                });
            }
            Ok(inventory.page)
        };
        self.within(Call::Inventory, context, work).await
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        let requests = &self.requests;
        let work = async {
            Ok(Catalog {
                server_types: self
                    .list(Call::ServerTypes, context, |page| requests.server_types(page), mapping::server_types)
                    .await?,
                locations: self
                    .list(Call::Locations, context, |page| requests.locations(page), mapping::locations)
                    .await?,
                images: self.list(Call::Images, context, |page| requests.images(page), mapping::images).await?,
                prices: read(Call::Pricing, &self.send(requests.pricing()?, context).await?, mapping::pricing)?,
            })
        };
        self.within(Call::ServerTypes, context, work).await
    }
}

impl HetznerClient {
    /// Tells, once, of actions that were asked for and are not among those that can be read.
    fn warn_of_odd_actions(&self, asked: &[wire::Id], found: &mapping::Actions) {
        let follow_ups = found.failed_follow_ups.iter().map(|it| &it.id);
        let shown = found.views.iter().map(|view| &view.id).chain(follow_ups);
        let whole: BTreeSet<wire::Id> = shown.filter_map(|id| wire::Id::parse(id.as_str())).collect();
        let odd = asked.iter().copied().filter(|id| found.odd > 0 && !whole.contains(id));
        for id in self.apart_actions.saw(whole.iter().copied(), odd) {
            telemetry::tell(|| {
                tracing::warn!(
                    provider_id = %id,
                    "an action cannot be read, or is not shown beside one that cannot: its server is looked at instead"
                );
            });
        }
    }

    /// Reads a list to its end; the whole is thrown away if a page is missing.
    async fn list<W: DeserializeOwned, T>(
        &self,
        call: Call,
        context: &RequestContext,
        request: impl Fn(u32) -> Result<Request<Bytes>, CallError>,
        convert: impl Fn(W, u32) -> Result<Part<T>, BodyError>,
    ) -> Result<Vec<T>, CallError> {
        let mut items = Vec::new();
        let mut page = 1;
        for _ in 0..PAGES {
            let response = self.send(request(page)?, context).await?;
            let part = read(call, &response, |body| convert(body, page))?;
            items.extend(part.items);
            match part.next {
                Some(next) => page = next,
                None => return Ok(items),
            }
        }
        Err(CallError::TooManyPages { most: PAGES })
    }
}
