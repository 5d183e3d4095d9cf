//! A server as the API shows it.

use serde::Deserialize;
use vip_core::model::Labels;

use super::{Id, Meta, Named, Object, Shown};

/// Is a server. Labels decide whether it is ours, so they must be there; the rest is only shown.
#[derive(Debug, Deserialize)]
pub(crate) struct Server {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) labels: Labels,
    #[serde(default)]
    pub(crate) public_net: Option<PublicNet>,
    #[serde(default)]
    pub(crate) server_type: Option<Named>,
    #[serde(default)]
    pub(crate) location: Option<Named>,
}

/// Holds the public addresses of a server.
#[derive(Debug, Deserialize)]
pub(crate) struct PublicNet {
    #[serde(default)]
    pub(crate) ipv4: Option<PublicAddress>,
    #[serde(default)]
    pub(crate) ipv6: Option<PublicAddress>,
}

/// Is an address, or a network as `address/length`.
#[derive(Debug, Deserialize)]
pub(crate) struct PublicAddress {
    #[serde(default)]
    pub(crate) ip: Option<String>,
}

/// Wraps one server.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerOnly {
    pub(crate) server: Shown<Server>,
}

/// Is a page of servers.
#[derive(Debug, Deserialize)]
pub(crate) struct Servers {
    pub(crate) servers: Vec<Shown<Server>>,
    pub(crate) meta: Object<Meta>,
}
