//! What can be ordered at a provider.

use serde::{Deserialize, Serialize};

/// Lists what can be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// Server types.
    pub server_types: Vec<CatalogServerType>,
    /// Locations.
    pub locations: Vec<CatalogLocation>,
    /// System images.
    pub images: Vec<CatalogImage>,
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
