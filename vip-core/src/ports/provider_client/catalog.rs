//! What can be ordered at a provider.

use serde::{Deserialize, Serialize};

use crate::model::Price;

/// Lists what can be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// Server types.
    pub server_types: Vec<CatalogServerType>,
    /// Locations.
    pub locations: Vec<CatalogLocation>,
    /// System images.
    pub images: Vec<CatalogImage>,
    /// What servers cost, one entry for each type and location; a pair without one has no known price.
    #[serde(default)]
    pub prices: Vec<CatalogPrice>,
}

impl Catalog {
    /// Returns what a server of a type costs in a location; none if the provider does not say.
    #[must_use]
    pub fn price(&self, server_type: &str, location: &str) -> Option<&CatalogPrice> {
        self.prices.iter().find(|price| price.server_type == server_type && price.location == location)
    }
}

/// Is a server type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogServerType {
    /// Its name.
    pub name: String,
    /// Architecture, such as `x86` or `arm`.
    pub architecture: String,
    /// Locations that say that it is in stock; they can be wrong.
    pub available_in: Vec<String>,
}

/// Is a location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogLocation {
    /// Its name.
    pub name: String,
    /// Its network zone.
    pub network_zone: String,
}

/// Is a system image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogImage {
    /// Its name.
    pub name: String,
    /// Architecture, such as `x86` or `arm`.
    pub architecture: String,
}

/// Is what a server of a type costs in a location, its addresses not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPrice {
    /// Name of the server type.
    pub server_type: String,
    /// Name of the location.
    pub location: String,
    /// For each started hour.
    pub hourly: Price,
    /// For a whole month, at the most.
    pub monthly: Price,
}
