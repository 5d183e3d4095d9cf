//! What can be ordered, and what it costs.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;
use vip_core::model::{Money, Price};
use vip_core::ports::Catalog;
use vip_core::resilience::cached::Cached;

/// Lists what can be ordered in an account. No order depends on it: the provider checks when it creates.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogBody {
    /// How old it is.
    age_seconds: u64,
    /// Whether it could not be renewed in time.
    stale: bool,
    /// Server types.
    server_types: Vec<ServerTypeBody>,
    /// Locations.
    locations: Vec<LocationBody>,
    /// System images.
    images: Vec<ImageBody>,
    /// What servers cost; a pair without an entry has no known price.
    prices: Vec<PriceBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerTypeBody {
    /// Its name.
    name: String,
    /// Architecture, such as `x86` or `arm`.
    architecture: String,
    /// Locations that say that it is in stock; they can be wrong.
    available_in: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LocationBody {
    /// Its name.
    name: String,
    /// Its network zone.
    network_zone: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageBody {
    /// Its name.
    name: String,
    /// Architecture, such as `x86` or `arm`.
    architecture: String,
}

/// Is what a server of a type costs in a location, its addresses not counted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PriceBody {
    server_type: String,
    location: String,
    /// For each started hour.
    hourly: AmountBody,
    /// For a whole month, at the most.
    monthly: AmountBody,
}

/// Is a price, in millionths of the currency's unit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AmountBody {
    net_micros: u64,
    gross_micros: u64,
    /// Three capital letters (ISO 4217).
    currency: String,
}

impl From<&Price> for AmountBody {
    fn from(price: &Price) -> Self {
        let micros = |money: &Money| money.micros;
        Self {
            net_micros: micros(&price.net),
            gross_micros: micros(&price.gross),
            currency: price.gross.currency.as_str().to_owned(),
        }
    }
}

impl From<Cached<Catalog>> for CatalogBody {
    fn from(cached: Cached<Catalog>) -> Self {
        let catalog = cached.value.as_ref();
        let seconds = |age: Duration| age.as_secs();
        Self {
            age_seconds: seconds(cached.age),
            stale: cached.is_stale(),
            server_types: catalog
                .server_types
                .iter()
                .cloned()
                .map(|it| ServerTypeBody {
                    name: it.name,
                    architecture: it.architecture,
                    available_in: it.available_in,
                })
                .collect(),
            locations: catalog
                .locations
                .iter()
                .cloned()
                .map(|it| LocationBody { name: it.name, network_zone: it.network_zone })
                .collect(),
            images: catalog
                .images
                .iter()
                .cloned()
                .map(|it| ImageBody { name: it.name, architecture: it.architecture })
                .collect(),
            prices: catalog
                .prices
                .iter()
                .map(|it| PriceBody {
                    server_type: it.server_type.clone(),
                    location: it.location.clone(),
                    hourly: (&it.hourly).into(),
                    monthly: (&it.monthly).into(),
                })
                .collect(),
        }
    }
}
