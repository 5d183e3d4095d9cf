//! Turns our terms into the API's and back.

use std::net::{Ipv4Addr, Ipv6Addr};

use vip_core::model::{Addresses, Currency, Money, Power, Price, ProviderActionId, ProviderName, ProviderServerId};
use vip_core::ports::{
    ActionStatus, ActionView, CatalogImage, CatalogLocation, CatalogPrice, CatalogServerType, CreateRequest, Created,
    ServerStatus, ServerView,
};

use super::error::{BodyError, safe_code};
use super::wire;

/// The command of the action without which there is no server.
const CREATE_SERVER: &str = "create_server";

/// Is one page of a list, and the number of the next.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<u32>,
}

pub(crate) fn create_body(request: &CreateRequest) -> wire::CreateServer<'_> {
    wire::CreateServer {
        name: request.name.as_str(),
        server_type: &request.server_type,
        location: &request.location,
        image: &request.image,
        ssh_keys: &request.ssh_keys,
        labels: &request.labels,
        start_after_create: request.power == Power::On,
        user_data: request.user_data.as_ref().map(|data| data.expose()),
    }
}

pub(crate) fn created(body: wire::Created) -> Result<Created, BodyError> {
    let actions = std::iter::once(&body.action).chain(&body.next_actions).map(action_id).collect::<Result<_, _>>()?;
    Ok(Created { server: server_view(body.server)?, actions, correlation_id: None })
}

pub(crate) fn server_view(server: wire::Server) -> Result<ServerView, BodyError> {
    let (ipv4, ipv6) = server.public_net.map_or((None, None), |net| (net.ipv4, net.ipv6));
    let addresses = Addresses {
        ipv4: ipv4.and_then(|address| address.ip).and_then(|ip| ip.parse::<Ipv4Addr>().ok()),
        ipv6: ipv6.and_then(|address| address.ip).and_then(|ip| first_host(&ip)),
    };
    Ok(ServerView {
        id: ProviderServerId::new(server.id.to_string())?,
        name: server.name,
        status: server_status(&server.status),
        labels: server.labels,
        addresses,
        server_type: server.server_type.map(|it| it.name).unwrap_or_default(),
        location: server.location.map(|it| it.name).unwrap_or_default(),
        is_listed: false,
    })
}

/// Returns the address that a host of this network uses: its first one, `::1`. A single address stays what it is, and
/// what is neither counts as not reported.
fn first_host(text: &str) -> Option<Ipv6Addr> {
    let Some((network, length)) = text.split_once('/') else { return text.parse().ok() };
    let network: Ipv6Addr = network.parse().ok()?;
    match length.parse::<u8>().ok()? {
        128 => Some(network),
        0..=127 => Some(Ipv6Addr::from_bits(network.to_bits() | 1)),
        129.. => None,
    }
}

fn server_status(text: &str) -> ServerStatus {
    match text {
        "initializing" | "starting" => ServerStatus::Starting,
        "running" => ServerStatus::Running,
        "off" => ServerStatus::Off,
        "deleting" => ServerStatus::Deleting,
        // stopping, rebuilding, migrating, unknown, and what is invented later.
        _ => ServerStatus::Other,
    }
}

/// Checks that the answer is about the server that was asked for by id.
pub(crate) fn with_id(view: ServerView, id: &ProviderServerId) -> Result<ServerView, BodyError> {
    if &view.id == id { Ok(view) } else { Err(BodyError::Other { what: "server" }) }
}

/// Checks that the answer is about the server that was asked for by name.
pub(crate) fn with_name(view: ServerView, name: &ProviderName) -> Result<ServerView, BodyError> {
    if view.name == name.as_str() { Ok(view) } else { Err(BodyError::Other { what: "name" }) }
}

/// Turns the answer to a look by id.
pub(crate) fn only_server(body: wire::ServerOnly) -> Result<ServerView, BodyError> {
    server_view(body.server.whole()?)
}

/// A next page that is not a later one would be read for ever.
pub(crate) fn next_page(meta: &wire::Object<wire::Meta>, page: u32) -> Result<Option<u32>, BodyError> {
    match meta.0.pagination.0.next_page {
        Some(next) if next <= page => Err(BodyError::Other { what: "page" }),
        next => Ok(next),
    }
}

fn action_id(action: &wire::Action) -> Result<ProviderActionId, BodyError> {
    Ok(ProviderActionId::new(action.id.to_string())?)
}

/// Is what an answer says of actions.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(crate) views: Vec<ActionView>,
    /// What followed a create and has failed.
    pub(crate) failed_follow_ups: Vec<FollowUp>,
    /// How many cannot be read.
    pub(crate) odd: usize,
}

/// Is an action that is not the create itself; in the provider's words as far as they can be shown.
#[derive(Debug)]
pub(crate) struct FollowUp {
    pub(crate) id: ProviderActionId,
    pub(crate) command: String,
    pub(crate) code: String,
}

/// Turns actions into views. One that only followed a create and has failed is none of them: whoever asks takes it for ended, and
/// looks at the server. That is there, and somebody may start it; told as failed it would count as a create that came to nothing, and
/// be removed.
///
/// One that cannot be read is left out like one that the API has forgotten: who asked for it looks at the server.
pub(crate) fn actions(body: wire::Actions) -> Result<Actions, BodyError> {
    let mut actions = Actions::default();
    for shown in body.actions {
        let wire::Shown::Whole(mut action) = shown else {
            actions.odd += 1;
            continue;
        };
        let command = action.command.take().unwrap_or_default();
        let ActionView { id, status } = action_view(action)?;
        match status {
            ActionStatus::Failed { code } if command != CREATE_SERVER => {
                let command = safe_code(&command).to_owned();
                actions.failed_follow_ups.push(FollowUp { id, command, code });
            }
            ActionStatus::Running | ActionStatus::Succeeded | ActionStatus::Failed { .. } => {
                actions.views.push(ActionView { id, status });
            }
        }
    }
    Ok(actions)
}

fn action_view(action: wire::Action) -> Result<ActionView, BodyError> {
    let id = action_id(&action)?;
    let status = match action.status.as_str() {
        "success" => ActionStatus::Succeeded,
        "error" => {
            let code = action.error.and_then(|error| error.code).unwrap_or_default();
            ActionStatus::Failed { code: safe_code(&code).to_owned() }
        }
        // Only those two are final; a word that is invented later is not.
        _ => ActionStatus::Running,
    };
    Ok(ActionView { id, status })
}

pub(crate) fn server_types(body: wire::ServerTypes, page: u32) -> Result<Part<CatalogServerType>, BodyError> {
    let next = next_page(&body.meta, page)?;
    let items = body.server_types.into_iter().map(|it| CatalogServerType {
        name: it.name,
        architecture: it.architecture,
        available_in: it.locations.into_iter().filter(|stock| stock.available).map(|stock| stock.name).collect(),
    });
    Ok(Part { items: items.collect(), next })
}

pub(crate) fn locations(body: wire::Locations, page: u32) -> Result<Part<CatalogLocation>, BodyError> {
    let next = next_page(&body.meta, page)?;
    let items = body.locations.into_iter().map(|it| CatalogLocation { name: it.name, network_zone: it.network_zone });
    Ok(Part { items: items.collect(), next })
}

pub(crate) fn images(body: wire::Images, page: u32) -> Result<Part<CatalogImage>, BodyError> {
    let next = next_page(&body.meta, page)?;
    let named = body.images.into_iter().filter_map(|it| it.name.map(|name| (name, it.architecture)));
    Ok(Part { items: named.map(|(name, architecture)| CatalogImage { name, architecture }).collect(), next })
}

/// Reads all prices or none: a list that is wrong in one place is not trusted in the others.
pub(crate) fn pricing(body: wire::Pricing) -> Result<Vec<CatalogPrice>, BodyError> {
    let list = body.pricing.0;
    let currency = Currency::new(list.currency)?;
    let mut prices = Vec::new();
    for server_type in list.server_types {
        for local in server_type.prices {
            prices.push(CatalogPrice {
                server_type: server_type.name.clone(),
                location: local.location,
                hourly: price(&local.price_hourly, &currency)?,
                monthly: price(&local.price_monthly, &currency)?,
            });
        }
    }
    Ok(prices)
}

fn price(amount: &wire::Amount, currency: &Currency) -> Result<Price, BodyError> {
    let read = |text: &str| Money::from_decimal(text, currency.clone());
    Ok(Price { net: read(&amount.net)?, gross: read(&amount.gross)? })
}
