//! What the cloud keeps: servers, actions and SSH keys, and how the API shows them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::addresses::{ipv4, ipv6};
use super::catalog::{INCLUDED_TRAFFIC_BYTES, Image, Location, ServerType};
use super::labels::Labels;
use super::time::{SimInstant, WallClock};

/// The name of a project; every resource belongs to exactly one.
pub(super) type ProjectName = Arc<str>;

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerStatus {
    Initializing,
    Starting,
    Running,
    Off,
    Deleting,
}

impl ServerStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Off => "off",
            Self::Deleting => "deleting",
        }
    }
}

/// Every status that a client may ask for.
pub(super) const SERVER_STATUSES: [&str; 9] =
    ["initializing", "starting", "running", "stopping", "off", "deleting", "rebuilding", "migrating", "unknown"];

/// A server that exists.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: u64,
    pub(super) project: ProjectName,
    pub(super) name: String,
    pub(super) labels: Labels,
    /// What it would be doing if it were not being deleted.
    pub(super) state: ServerStatus,
    pub(super) is_deleting: bool,
    /// Whether it is started once it is created.
    pub(super) starts: bool,
    pub(super) created: SimInstant,
    pub(super) server_type: &'static ServerType,
    pub(super) location: &'static Location,
    pub(super) image: &'static Image,
    pub(super) ipv4: Option<u64>,
    pub(super) ipv6: Option<u64>,
    pub(super) hidden: Option<Hidden>,
    /// Until when a request by id does not find it, although lists show it.
    pub(super) not_found_until: Option<SimInstant>,
    /// Until when work of somebody else locks it.
    pub(super) locked_until: SimInstant,
    pub(super) is_protected: bool,
    /// The field that is shown as `null`.
    pub(super) garbled: Option<String>,
}

/// Until when a server is left out of lists, although its name is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hidden {
    pub(super) until: SimInstant,
    pub(super) by_id_too: bool,
}

impl Server {
    /// Returns what the server is doing.
    pub(super) fn status(&self) -> ServerStatus {
        if self.is_deleting { ServerStatus::Deleting } else { self.state }
    }

    /// Tells whether lists show the server.
    pub(super) fn is_listed(&self, now: SimInstant) -> bool {
        self.hidden.is_none_or(|hidden| now >= hidden.until)
    }

    /// Tells whether a request by id finds the server.
    pub(super) fn is_found(&self, now: SimInstant) -> bool {
        self.hidden.is_none_or(|hidden| !hidden.by_id_too || now >= hidden.until)
            && self.not_found_until.is_none_or(|until| now >= until)
    }

    pub(super) fn to_json(&self, clock: WallClock, server_type: &Value, locked: bool) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "status": self.status().as_str(),
            "created": clock.rfc3339(self.created),
            "public_net": {
                "ipv4": self.ipv4.map(ipv4_json),
                "ipv6": self.ipv6.map(ipv6_json),
                "floating_ips": [],
                "firewalls": [],
            },
            "private_net": [],
            "server_type": server_type,
            "location": self.location.to_json(),
            "image": self.image.to_json(),
            "iso": null,
            "rescue_enabled": false,
            "locked": locked,
            "backup_window": null,
            "outgoing_traffic": null,
            "ingoing_traffic": null,
            "included_traffic": INCLUDED_TRAFFIC_BYTES,
            "protection": {"delete": self.is_protected, "rebuild": self.is_protected},
            "labels": self.labels,
            "volumes": [],
            "load_balancers": [],
            "primary_disk_size": self.server_type.disk_gb,
            "placement_group": null,
        })
    }
}

fn ipv4_json(id: u64) -> Value {
    let ip = ipv4(id);
    let reversed: Vec<&str> = ip.rsplit('.').collect();
    let name = format!("static.{}.clients.example.net", reversed.join("."));
    json!({"id": id, "ip": ip, "blocked": false, "dns_ptr": name})
}

fn ipv6_json(id: u64) -> Value {
    json!({"id": id, "ip": ipv6(id), "blocked": false, "dns_ptr": []})
}

/// Asynchronous work on a server.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) project: ProjectName,
    pub(super) server: u64,
    pub(super) command: &'static str,
    pub(super) started: SimInstant,
    pub(super) due: SimInstant,
    pub(super) end: Option<ActionEnd>,
    /// What the action will end with instead of success.
    pub(super) fate: Option<ActionFailure>,
}

/// How an action ended.
#[derive(Debug)]
pub(super) struct ActionEnd {
    pub(super) at: SimInstant,
    pub(super) failure: Option<ActionFailure>,
}

/// Why an action ended in error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActionFailure {
    pub(super) code: String,
    pub(super) message: String,
}

/// Every status of an action that a client may ask for.
pub(super) const ACTION_STATUSES: [&str; 3] = ["running", "success", "error"];

impl Action {
    pub(super) fn status(&self) -> &'static str {
        match &self.end {
            None => "running",
            Some(ActionEnd { failure: None, .. }) => "success",
            Some(ActionEnd { failure: Some(_), .. }) => "error",
        }
    }

    pub(super) fn to_json(&self, clock: WallClock, now: SimInstant) -> Value {
        let failure = self.end.as_ref().and_then(|end| end.failure.as_ref());
        json!({
            "id": self.id,
            "command": self.command,
            "status": self.status(),
            "progress": self.progress(now),
            "started": clock.rfc3339(self.started),
            "finished": self.end.as_ref().map(|end| clock.rfc3339(end.at)),
            "resources": [{"id": self.server, "type": "server"}],
            "error": failure.map(|it| json!({"code": it.code, "message": it.message})),
        })
    }

    /// Progress in percent; 100 only when the action has ended.
    fn progress(&self, now: SimInstant) -> u128 {
        if self.end.is_some() {
            return 100;
        }
        let whole = self.due.since(self.started).max(Duration::from_nanos(1));
        (now.since(self.started).as_nanos() * 100 / whole.as_nanos()).min(99)
    }
}

/// A public key that is put on servers.
#[derive(Debug)]
pub(super) struct SshKey {
    pub(super) id: u64,
    pub(super) project: ProjectName,
    pub(super) name: String,
    pub(super) public_key: String,
    pub(super) fingerprint: String,
    pub(super) labels: Labels,
    pub(super) created: SimInstant,
}

impl SshKey {
    pub(super) fn to_json(&self, clock: WallClock) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "public_key": self.public_key,
            "labels": self.labels,
            "created": clock.rfc3339(self.created),
        })
    }
}
