//! What can be ordered, as the API shows it.

use serde::Deserialize;

use super::{Meta, Object};

/// Is a page of server types.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerTypes {
    pub(crate) server_types: Vec<ServerType>,
    pub(crate) meta: Object<Meta>,
}

/// Is a server type.
#[derive(Debug, Deserialize)]
pub(crate) struct ServerType {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) locations: Vec<Stock>,
}

/// Says whether a server type is in stock in a location.
#[derive(Debug, Deserialize)]
pub(crate) struct Stock {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) available: bool,
}

/// Is a page of locations.
#[derive(Debug, Deserialize)]
pub(crate) struct Locations {
    pub(crate) locations: Vec<Location>,
    pub(crate) meta: Object<Meta>,
}

/// Is a location.
#[derive(Debug, Deserialize)]
pub(crate) struct Location {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) network_zone: String,
}

/// Is a page of images.
#[derive(Debug, Deserialize)]
pub(crate) struct Images {
    pub(crate) images: Vec<Image>,
    pub(crate) meta: Object<Meta>,
}

/// Is an image; a snapshot has no name.
#[derive(Debug, Deserialize)]
pub(crate) struct Image {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) architecture: String,
}

/// Is the answer with all prices.
#[derive(Debug, Deserialize)]
pub(crate) struct Pricing {
    pub(crate) pricing: Object<PriceList>,
}

/// Is the list of prices of a project.
#[derive(Debug, Deserialize)]
pub(crate) struct PriceList {
    pub(crate) currency: String,
    pub(crate) server_types: Vec<PricedServerType>,
}

/// Is what a server type costs, by location.
#[derive(Debug, Deserialize)]
pub(crate) struct PricedServerType {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) prices: Vec<LocalPrice>,
}

/// Is what a server type costs in a location.
#[derive(Debug, Deserialize)]
pub(crate) struct LocalPrice {
    pub(crate) location: String,
    pub(crate) price_hourly: Amount,
    pub(crate) price_monthly: Amount,
}

/// Is a price, as decimal texts.
#[derive(Debug, Deserialize)]
pub(crate) struct Amount {
    pub(crate) net: String,
    pub(crate) gross: String,
}
