//! Orders and servers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vip_core::model::{Desired, Power, Server, ServerSpec, UserData};

/// Says whether a new server is switched on.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PowerBody {
    /// The server runs once it is created.
    #[default]
    On,
    /// The server is created and stays off.
    Off,
}

/// Orders a server.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateServerBody {
    /// Display name: one lower-case host label; need not be unique.
    #[schema(min_length = 1, max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", example = "web-1")]
    name: String,
    /// Acceptable server types, the preferred one first. All types are tried in the first location before any in the second: list none
    /// that you would not pay for while the first may be in stock elsewhere.
    #[schema(min_items = 1, max_items = 8, example = json!(["cpx22"]))]
    server_types: Vec<String>,
    /// Image to install, by its name; an id is refused unless this service allows it.
    #[schema(min_length = 1, max_length = 100, example = "ubuntu-24.04")]
    image: String,
    /// Acceptable locations, the preferred one first; types times locations are at most 8.
    #[schema(min_items = 1, max_items = 8, example = json!(["fsn1"]))]
    locations: Vec<String>,
    /// Names of SSH keys known to the provider; with one it makes no root password.
    #[schema(min_items = 1, max_items = 50, example = json!(["ops"]))]
    ssh_keys: Vec<String>,
    /// Labels to put on the server.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Cloud-init user data; never shown again.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 32768, write_only)]
    user_data: Option<UserData>,
    // Whether the server is switched on.
    #[serde(default)]
    // No doc comment here: with one, utoipa describes the field as an object.
    #[schema(inline)]
    power: PowerBody,
}

impl From<CreateServerBody> for ServerSpec {
    fn from(body: CreateServerBody) -> Self {
        let mut spec = Self::new(body.name);
        spec.server_types = body.server_types;
        spec.image = body.image;
        spec.locations = body.locations;
        spec.ssh_keys = body.ssh_keys;
        spec.labels = body.labels;
        spec.user_data = body.user_data;
        spec.power = match body.power {
            PowerBody::On => Power::On,
            PowerBody::Off => Power::Off,
        };
        spec
    }
}

/// Is a server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerBody {
    /// Its id.
    #[schema(format = Uuid)]
    id: String,
    /// What the orderer calls it.
    name: String,
    /// Its unique name at the provider.
    provider_name: String,
    /// Its id at the provider, once known.
    provider_id: Option<String>,
    /// The account that pays for it, once a create was announced.
    account: Option<String>,
    /// Where it stands: `requested`, `creating`, `confirming`, `running`, `failing`, `failed`, `deleting`, `deleted`,
    /// `lost`, `parked`.
    state: &'static str,
    /// Whether it is still wanted: `present` or `absent`.
    desired: &'static str,
    /// Why it waits.
    wait_reason: Option<&'static str>,
    /// When it moves again.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    /// Why it fails or is parked.
    reason: Option<&'static str>,
    /// Public IPv4 address, once reported.
    ipv4: Option<String>,
    /// First address of its public IPv6 network, once reported.
    ipv6: Option<String>,
    /// The type that it has, once known: as the provider last showed it until it ran.
    server_type: Option<String>,
    /// The location that it is in, once known: as the provider last showed it until it ran.
    location: Option<String>,
    /// Acceptable server types, as ordered.
    server_types: Vec<String>,
    /// Image, as ordered.
    image: String,
    /// Acceptable locations, as ordered.
    locations: Vec<String>,
    /// SSH keys, as ordered.
    ssh_keys: Vec<String>,
    /// Labels, as ordered.
    labels: BTreeMap<String, String>,
    /// Operation of its create.
    #[schema(format = Uuid)]
    create_operation_id: String,
    /// Operation of its deletion, once one was accepted.
    #[schema(format = Uuid)]
    delete_operation_id: Option<String>,
    /// When it was accepted.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it became `failed` or `deleted`.
    #[schema(format = DateTime)]
    gone_at: Option<String>,
}

impl From<Server> for ServerBody {
    fn from(server: Server) -> Self {
        let parked = server.park_reason.map(|reason| reason.as_str());
        Self {
            id: server.id.to_string(),
            name: server.spec.display_name.into(),
            provider_name: server.provider_name.into(),
            provider_id: server.provider_ref.map(|reference| reference.id.into()),
            account: server.account.map(Into::into),
            state: server.state.as_str(),
            desired: match server.desired {
                Desired::Present => "present",
                Desired::Absent => "absent",
            },
            wait_reason: server.wait_reason.map(|reason| reason.as_str()),
            next_at: server.wake_at.map(|at| at.to_string()),
            reason: parked.or(server.fail_reason.map(|reason| reason.as_str())),
            ipv4: server.addresses.ipv4.map(|address| address.to_string()),
            ipv6: server.addresses.ipv6.map(|address| address.to_string()),
            server_type: server.server_type,
            location: server.location,
            server_types: server.spec.server_types,
            image: server.spec.image,
            locations: server.spec.locations,
            ssh_keys: server.spec.ssh_keys,
            labels: server.spec.labels,
            create_operation_id: server.create_operation.to_string(),
            delete_operation_id: server.delete_operation.map(|id| id.to_string()),
            created_at: server.created_at.to_string(),
            gone_at: server.gone_at.map(|at| at.to_string()),
        }
    }
}
