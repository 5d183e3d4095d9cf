//! Primary IPs: those that come and go with a server, and those that stay and cost money after it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::catalog::Location;
use super::labels::Labels;
use super::ledger::billed_hours;
use super::records::ProjectName;
use super::time::{SimInstant, WallClock};
use super::world::World;

/// The kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressKind {
    /// One IPv4 address.
    Ipv4,
    /// A network of IPv6 addresses, `/64`.
    Ipv6,
}

impl AddressKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// A primary IP that exists or existed, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LedgerAddress {
    /// The provider's id.
    pub id: u64,
    /// The project that pays for it.
    pub project: String,
    /// Its kind; only `ipv4` is billed.
    pub kind: AddressKind,
    /// The server that has it, or had it last.
    pub server: Option<u64>,
    /// Whether a server has it now.
    pub is_assigned: bool,
    /// Whether it goes with its server.
    pub auto_delete: bool,
    /// When it was created, in milliseconds since the start.
    pub created_at: SimInstant,
    /// When it was gone, in milliseconds since the start.
    pub deleted_at: Option<SimInstant>,
}

impl LedgerAddress {
    /// Tells whether the address still exists although its server is gone: it costs money and serves nobody.
    #[must_use]
    pub const fn is_orphan(&self) -> bool {
        self.deleted_at.is_none() && !self.is_assigned && self.server.is_some()
    }

    /// Returns how many hours would have been billed until `now`; an IPv6 network costs nothing.
    #[must_use]
    pub fn billed_hours(&self, now: SimInstant) -> u64 {
        match self.kind {
            AddressKind::Ipv4 => billed_hours(self.created_at, self.deleted_at.unwrap_or(now)),
            AddressKind::Ipv6 => 0,
        }
    }
}

/// A primary IP that exists.
#[derive(Debug)]
pub(super) struct PrimaryIp {
    pub(super) id: u64,
    pub(super) project: ProjectName,
    pub(super) name: String,
    pub(super) kind: AddressKind,
    pub(super) location: &'static Location,
    pub(super) assignee: Option<u64>,
    pub(super) auto_delete: bool,
    pub(super) labels: Labels,
    pub(super) created: SimInstant,
}

impl PrimaryIp {
    pub(super) fn to_json(&self, clock: WallClock) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "labels": self.labels,
            "created": clock.rfc3339(self.created),
            "blocked": false,
            "location": self.location.to_json(),
            "ip": self.ip(),
            "dns_ptr": [],
            "protection": {"delete": false},
            "type": self.kind.as_str(),
            "auto_delete": self.auto_delete,
            "assignee_type": if self.assignee.is_some() { "server" } else { "unassigned" },
            "assignee_id": self.assignee,
        })
    }

    pub(super) fn ip(&self) -> String {
        match self.kind {
            AddressKind::Ipv4 => ipv4(self.id),
            AddressKind::Ipv6 => ipv6(self.id),
        }
    }
}

/// Returns the address of an id. Addresses come from 198.18.0.0/15, which is set apart for tests of networks.
pub(super) fn ipv4(id: u64) -> String {
    let (second, third, fourth) = (18 + (id >> 16 & 1), id >> 8 & 0xff, id & 0xff);
    format!("198.{second}.{third}.{fourth}")
}

/// Returns the network of an id.
pub(super) fn ipv6(id: u64) -> String {
    format!("2001:db8:{:x}:{:x}::/64", id >> 16 & 0xffff, id & 0xffff)
}

/// What a server gets as its address of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressWish {
    Nothing,
    /// One of its own, which goes with it.
    New,
    /// One that exists and is free.
    Existing(u64),
}

impl World {
    /// Gives a server its address; returns its id.
    pub(super) fn give_address(
        &mut self,
        server: (u64, &ProjectName),
        location: &'static Location,
        kind: AddressKind,
        wish: AddressWish,
    ) -> Option<u64> {
        let id = match wish {
            AddressWish::Nothing => return None,
            AddressWish::New => {
                let id = self.next_id();
                let name = format!("primary_ip-{id}");
                let project = Arc::clone(server.1);
                let labels = Labels::new();
                let (assignee, auto_delete, created) = (None, true, self.now);
                self.add_address(PrimaryIp {
                    id,
                    project,
                    name,
                    kind,
                    location,
                    assignee,
                    auto_delete,
                    labels,
                    created,
                });
                id
            }
            AddressWish::Existing(id) => id,
        };
        if let Some(address) = self.addresses.get_mut(&id) {
            address.assignee = Some(server.0);
            self.books.address_assigned(id, server.0);
        }
        Some(id)
    }

    pub(super) fn add_address(&mut self, address: PrimaryIp) {
        self.books.address_created(LedgerAddress {
            id: address.id,
            project: address.project.to_string(),
            kind: address.kind,
            server: None,
            is_assigned: false,
            auto_delete: address.auto_delete,
            created_at: self.now,
            deleted_at: None,
        });
        self.addresses.insert(address.id, address);
    }

    /// Takes the addresses of a server that is gone: they go with it, or stay and belong to nobody.
    pub(super) fn free_addresses(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.books.address_freed(id);
            if let Some(address) = self.addresses.get_mut(&id) {
                address.assignee = None;
                if address.auto_delete {
                    self.remove_address(id);
                }
            }
        }
    }

    pub(super) fn remove_address(&mut self, id: u64) {
        self.addresses.remove(&id);
        self.books.address_removed(id, self.now);
    }
}
