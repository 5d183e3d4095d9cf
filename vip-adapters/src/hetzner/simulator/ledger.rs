//! The ledger: every server that ever existed and every request, never forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::addresses::LedgerAddress;
use super::time::SimInstant;

/// The label by which [`Ledger::duplicates`] tells servers that were meant to be one.
pub const SERVER_LABEL: &str = "vip-server";

/// Everything that happened, as the provider saw it: the truth that a client's own books are compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ledger {
    /// When the ledger was read, in milliseconds since the start.
    pub now: SimInstant,
    /// Every server ever created, by rising id.
    pub servers: Vec<LedgerServer>,
    /// Every primary IP ever created, by rising id.
    #[serde(default)]
    pub addresses: Vec<LedgerAddress>,
    /// Every request, counted.
    pub requests: Vec<RequestCount>,
    /// Requests whose effect was held back by a fault and came later; their requests are counted above.
    pub late_effects: u64,
}

/// One server that exists or existed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerServer {
    /// The provider's id.
    pub id: u64,
    /// The project that pays for it.
    pub project: String,
    /// The name, as it is now or was last.
    pub name: String,
    /// The labels, as they are now or were last.
    pub labels: BTreeMap<String, String>,
    /// Every value that the label [`SERVER_LABEL`] ever had on this server.
    pub marks: Vec<String>,
    /// The name of the server type.
    pub server_type: String,
    /// The name of the location.
    pub location: String,
    /// When the request arrived that created it, in milliseconds since the start; a fault may have held back its effect.
    pub requested_at: SimInstant,
    /// When it was created, in milliseconds since the start.
    pub created_at: SimInstant,
    /// Who created it.
    pub created_by: Origin,
    /// When it was gone, in milliseconds since the start.
    pub deleted_at: Option<SimInstant>,
    /// Who removed it; set as soon as the removal was accepted.
    pub deleted_by: Option<Origin>,
}

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// A request to the API.
    Request {
        /// The `X-Correlation-Id` of the request.
        correlation_id: String,
    },
    /// The control interface, which stands for a person at the vendor's console.
    Console,
}

/// How often a route was asked and answered in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RequestCount {
    /// The method.
    pub method: String,
    /// The template of the path, such as `/servers/{id}`; `unknown` if there is none.
    pub route: String,
    /// The status of the answer; absent if the connection was cut instead.
    pub status: Option<u16>,
    /// How often.
    pub count: u64,
}

/// Servers that carried the same mark at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Duplicate {
    /// The value of the label [`SERVER_LABEL`].
    pub mark: String,
    /// The servers that carried it, by rising id.
    pub servers: Vec<u64>,
    /// Whether two of them existed at the same time.
    pub overlapping: bool,
    /// Whether each was asked for before the one before it was gone.
    pub in_flight: bool,
}

impl Duplicate {
    /// Tells whether a request that was still on its way created the second one, once the first had freed the name.
    ///
    /// No client can prevent that: it can only look long enough and remove what landed.
    #[must_use]
    pub const fn is_late_landing(&self) -> bool {
        self.in_flight && !self.overlapping
    }
}

impl LedgerServer {
    /// Tells whether the server still exists.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Returns how many hours would have been billed until `now`: every started one, from creation to removal.
    #[must_use]
    pub fn billed_hours(&self, now: SimInstant) -> u64 {
        billed_hours(self.created_at, self.deleted_at.unwrap_or(now))
    }

    fn asked_before_end_of(&self, other: &Self) -> bool {
        other.deleted_at.is_none_or(|end| self.requested_at < end)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end = |a: &Self, b: &Self| b.deleted_at.is_none_or(|end| a.created_at < end);
        starts_before_end(self, other) && starts_before_end(other, self)
    }
}

impl Ledger {
    /// Returns the servers of a project that exist.
    pub fn live<'a>(&'a self, project: &'a str) -> impl Iterator<Item = &'a LedgerServer> {
        self.servers.iter().filter(move |it| it.project == project && it.is_live())
    }

    /// Returns the server with this id, if it ever existed.
    #[must_use]
    pub fn server(&self, id: u64) -> Option<&LedgerServer> {
        self.servers.iter().find(|it| it.id == id)
    }

    /// Returns every server that ever carried this value of [`SERVER_LABEL`].
    pub fn marked<'a>(&'a self, mark: &'a str) -> impl Iterator<Item = &'a LedgerServer> {
        self.servers.iter().filter(move |it| it.marks.iter().any(|it| it == mark))
    }

    /// Returns every mark that more than one server ever carried.
    #[must_use]
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut by_mark: BTreeMap<&str, Vec<&LedgerServer>> = BTreeMap::new();
        for server in &self.servers {
            for mark in &server.marks {
                by_mark.entry(mark).or_default().push(server);
            }
        }
        by_mark
            .into_iter()
            .filter(|(_, servers)| servers.len() > 1)
            .map(|(mark, servers)| Duplicate {
                mark: mark.to_owned(),
                overlapping: servers
                    .iter()
                    .enumerate()
                    .any(|(index, server)| servers.iter().skip(index + 1).any(|other| server.overlaps(other))),
                in_flight: servers
                    .windows(2)
                    .all(|pair| matches!(pair, [first, second] if second.asked_before_end_of(first))),
                servers: servers.iter().map(|server| server.id).collect(),
            })
            .collect()
    }

    /// Returns how many requests arrived.
    #[must_use]
    pub fn request_total(&self) -> u64 {
        self.requests.iter().map(|it| it.count).sum()
    }

    /// Returns how many requests arrived by this method at this route template.
    #[must_use]
    pub fn requests_of(&self, method: &str, route: &str) -> u64 {
        let of_route = |it: &&RequestCount| it.method == method && it.route == route;
        self.requests.iter().filter(of_route).map(|it| it.count).sum()
    }

    /// Returns how many requests were answered with this status; `None` counts cut connections.
    #[must_use]
    pub fn answered_with(&self, status: Option<u16>) -> u64 {
        self.requests.iter().filter(|it| it.status == status).map(|it| it.count).sum()
    }
}

/// Counts every started hour of a life.
pub(super) fn billed_hours(created_at: SimInstant, until: SimInstant) -> u64 {
    let hour = Duration::from_secs(3600).as_nanos();
    u64::try_from(until.since(created_at).as_nanos().div_ceil(hour)).unwrap_or(u64::MAX).max(1)
}

/// The books behind the ledger; only ever added to.
#[derive(Debug, Default)]
pub(super) struct Books {
    servers: BTreeMap<u64, LedgerServer>,
    addresses: BTreeMap<u64, LedgerAddress>,
    requests: BTreeMap<(String, &'static str, Option<u16>), u64>,
    late_effects: u64,
}

impl Books {
    pub(super) fn created(&mut self, mut server: LedgerServer) {
        server.marks.extend(server.labels.get(SERVER_LABEL).cloned());
        self.servers.insert(server.id, server);
    }

    pub(super) fn updated(&mut self, id: u64, name: &str, labels: &BTreeMap<String, String>) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        name.clone_into(&mut server.name);
        server.labels.clone_from(labels);
        if let Some(mark) = labels.get(SERVER_LABEL).filter(|mark| !server.marks.contains(mark)) {
            server.marks.push(mark.clone());
        }
    }

    pub(super) fn removal_accepted(&mut self, id: u64, by: Origin) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.deleted_by = Some(by);
        }
    }

    /// Takes back an accepted removal whose action ended in error.
    pub(super) fn removal_failed(&mut self, id: u64) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.deleted_by = None;
        }
    }

    pub(super) fn removed(&mut self, id: u64, at: SimInstant) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.deleted_at = Some(at);
        }
    }

    pub(super) fn address_created(&mut self, address: LedgerAddress) {
        self.addresses.insert(address.id, address);
    }

    pub(super) fn address_assigned(&mut self, id: u64, server: u64) {
        if let Some(address) = self.addresses.get_mut(&id) {
            (address.server, address.is_assigned) = (Some(server), true);
        }
    }

    pub(super) fn address_freed(&mut self, id: u64) {
        if let Some(address) = self.addresses.get_mut(&id) {
            address.is_assigned = false;
        }
    }

    pub(super) fn address_changed(&mut self, id: u64, auto_delete: bool) {
        if let Some(address) = self.addresses.get_mut(&id) {
            address.auto_delete = auto_delete;
        }
    }

    pub(super) fn address_removed(&mut self, id: u64, at: SimInstant) {
        if let Some(address) = self.addresses.get_mut(&id) {
            address.deleted_at = Some(at);
        }
    }

    pub(super) fn late_effect(&mut self) {
        self.late_effects += 1;
    }

    pub(super) fn request(&mut self, method: &http::Method, route: &'static str, status: Option<u16>) {
        *self.requests.entry((method.to_string(), route, status)).or_default() += 1;
    }

    pub(super) fn read(&self, now: SimInstant) -> Ledger {
        let requests = self.requests.iter().map(|((method, route, status), count)| RequestCount {
            method: method.clone(),
            route: (*route).to_owned(),
            status: *status,
            count: *count,
        });
        Ledger {
            now,
            servers: self.servers.values().cloned().collect(),
            addresses: self.addresses.values().cloned().collect(),
            requests: requests.collect(),
            late_effects: self.late_effects,
        }
    }
}
