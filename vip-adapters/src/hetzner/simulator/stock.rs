//! What is in stock where: orders meet it at once, the flag in the list of server types learns of it late.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::catalog::{self, Location, ServerType};
use super::foreign::ControlError;
use super::time::{SimInstant, millis};
use super::world::World;

/// What an order of a type in a location meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stock {
    /// A server.
    Available,
    /// 412 `resource_unavailable`.
    Exhausted,
    /// 422 `placement_error`.
    Unplaceable,
    /// 422 `invalid_input`, as the API answers in the wild for a type that a location does not have.
    Unsupported,
}

/// Says what is in stock from now on, until another change says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StockChange {
    /// The type's name; every type without it.
    #[serde(default)]
    pub server_type: Option<String>,
    /// The location's name; every location without it.
    #[serde(default)]
    pub location: Option<String>,
    /// What orders meet.
    pub stock: Stock,
    /// How much later `available` in the list of server types follows.
    #[serde(rename = "flag_after_ms", with = "millis", default)]
    pub flag_after: Duration,
}

impl StockChange {
    /// Changes the stock of every type in every location; the flag follows at once.
    #[must_use]
    pub fn everywhere(stock: Stock) -> Self {
        Self { server_type: None, location: None, stock, flag_after: Duration::ZERO }
    }

    /// Changes the stock of one type in one location; the flag follows at once.
    #[must_use]
    pub fn of(server_type: impl Into<String>, location: impl Into<String>, stock: Stock) -> Self {
        Self { server_type: Some(server_type.into()), location: Some(location.into()), ..Self::everywhere(stock) }
    }

    /// Lets the flag follow later.
    #[must_use]
    pub fn flag_after(mut self, flag_after: Duration) -> Self {
        self.flag_after = flag_after;
        self
    }

    fn concerns(&self, kind: &ServerType, place: &Location) -> bool {
        self.server_type.as_deref().is_none_or(|name| name == kind.name)
            && self.location.as_deref().is_none_or(|name| name == place.name)
    }
}

/// Every change of the stock, in its order.
#[derive(Debug, Default)]
pub(super) struct StockBoard {
    changes: Vec<(SimInstant, StockChange)>,
}

impl StockBoard {
    /// Returns what an order meets now.
    fn meets(&self, kind: &ServerType, place: &Location) -> Stock {
        let mut changes = self.changes.iter().rev().map(|(_, change)| change);
        changes.find(|change| change.concerns(kind, place)).map_or(Stock::Available, |change| change.stock)
    }

    /// Tells what the flag says: it follows the last change that it has learnt of.
    fn shows(&self, now: SimInstant, kind: &ServerType, place: &Location) -> bool {
        let mut changes = self.changes.iter().rev();
        changes
            .find(|(at, change)| change.concerns(kind, place) && *at + change.flag_after <= now)
            .is_none_or(|(_, change)| change.stock == Stock::Available)
    }
}

impl World {
    pub(super) fn change_stock(&mut self, change: StockChange) -> Result<(), ControlError> {
        let unknown =
            |what: &str, name: &str| Err(ControlError::InvalidStock { reason: format!("there is no {what} '{name}'") });
        if let Some(name) = &change.server_type
            && catalog::server_type(name).is_none_or(|it| it.name != name)
        {
            return unknown("type", name);
        }
        if let Some(name) = &change.location
            && catalog::location(name).is_none_or(|it| it.name != name)
        {
            return unknown("location", name);
        }
        self.stock.changes.push((self.now, change));
        Ok(())
    }

    /// Refuses an order that the stock does not allow.
    pub(super) fn check_stock(&self, kind: &ServerType, place: &Location) -> Result<(), Refusal> {
        match self.stock.meets(kind, place) {
            Stock::Available => Ok(()),
            Stock::Exhausted => Err(Refusal::out_of_stock()),
            Stock::Unplaceable => Err(Refusal::placement_error()),
            Stock::Unsupported => Err(Refusal::invalid_field("server_type", "unsupported location for server type")),
        }
    }

    /// Tells what `available` says about a type in a location.
    pub(super) fn shows_stock(&self, kind: &ServerType, place: &Location) -> bool {
        self.faults.shows_stock(self.now, kind, place) && self.stock.shows(self.now, kind, place)
    }
}
