//! The state of the simulated cloud, and how it moves when time passes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use serde_json::Value;

use super::addresses::PrimaryIp;
use super::bucket::Bucket;
use super::fault_board::FaultBoard;
use super::ledger::{Books, Origin};
use super::records::{Action, ActionEnd, ActionFailure, ProjectName, Server, ServerStatus, SshKey};
use super::stock::StockBoard;
use super::time::{SimInstant, WallClock};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

/// Whether a server with a running action refuses further changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locking {
    /// Only while it is being deleted.
    WhileDeleting,
    /// While any action runs.
    WhileBusy,
}

/// What stays the same for the whole life of a world.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) clock: WallClock,
    pub(super) create_time: Duration,
    pub(super) delete_time: Duration,
    pub(super) answer_time: Duration,
    pub(super) rate_limit_per_hour: u32,
    pub(super) locking: Locking,
    pub(super) tokens: HashMap<String, (ProjectName, Access)>,
    pub(super) ssh_keys: Vec<String>,
    pub(super) root_password: Option<String>,
}

/// Something that happens later.
pub(super) enum Event {
    /// An action ends.
    ActionEnds(u64),
    /// A started server answers: a moment after its start action has ended.
    ServerRuns(u64),
    /// A request of which the answer was given already has its effect.
    LateEffect { request: Box<Request<Bytes>>, arrived_at: SimInstant },
}

/// The whole cloud. It does no I/O and reads no clock: time passes when it is told so.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) now: SimInstant,
    pub(super) rng: Rng,
    pub(super) servers: BTreeMap<u64, Server>,
    /// Names that are taken, also by servers that are being deleted or are hidden.
    pub(super) names: HashMap<(ProjectName, String), u64>,
    pub(super) actions: BTreeMap<u64, Action>,
    pub(super) ssh_keys: BTreeMap<u64, SshKey>,
    pub(super) addresses: BTreeMap<u64, PrimaryIp>,
    pub(super) stock: StockBoard,
    /// One bucket for each project, and one for requests without a valid token.
    pub(super) buckets: HashMap<Option<ProjectName>, Bucket>,
    pub(super) faults: FaultBoard,
    pub(super) books: Books,
    events: BTreeMap<(SimInstant, u64), Event>,
    next_id: u64,
    next_event: u64,
    requests: u64,
}

/// Ids of servers, actions and keys come from one counter that starts here, above those of the catalog.
const FIRST_ID: u64 = 1_000_000_000;
/// A part of `create_time` that is added at random, so that servers do not finish in the order of their requests.
const CREATE_JITTER: f64 = 0.2;

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(settings.seed),
            now: SimInstant::START,
            servers: BTreeMap::new(),
            names: HashMap::new(),
            actions: BTreeMap::new(),
            ssh_keys: BTreeMap::new(),
            addresses: BTreeMap::new(),
            stock: StockBoard::default(),
            buckets: HashMap::new(),
            faults: FaultBoard::default(),
            books: Books::default(),
            events: BTreeMap::new(),
            next_id: FIRST_ID,
            next_event: 0,
            requests: 0,
            settings,
        };
        let projects: std::collections::BTreeSet<_> =
            world.settings.tokens.values().map(|(project, _)| Arc::clone(project)).collect();
        for project in projects {
            for name in world.settings.ssh_keys.clone() {
                let public_key = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{name} {name}");
                world.add_ssh_key(&project, name, public_key, BTreeMap::new());
            }
        }
        world
    }

    /// Lets time pass until `now`: what is due happens in its order and at its own time. Time never runs backwards.
    pub(super) fn advance(&mut self, now: SimInstant) {
        while let Some(entry) = self.events.first_entry() {
            let (due, _) = *entry.key();
            if due > now {
                break;
            }
            let event = entry.remove();
            self.now = self.now.max(due);
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    pub(super) fn schedule(&mut self, at: SimInstant, event: Event) {
        self.next_event += 1;
        self.events.insert((at, self.next_event), event);
    }

    /// Returns the next id; ids rise over the whole world and are never given twice.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Returns a new `X-Correlation-Id`.
    pub(super) fn next_correlation_id(&mut self) -> String {
        self.requests += 1;
        format!("{:08x}{:08x}", self.rng.u32(..), self.requests)
    }

    pub(super) fn create_time(&mut self) -> Duration {
        self.settings.create_time.mul_f64(1.0 + CREATE_JITTER * self.rng.f64())
    }

    /// Starts an action that ends after `duration`.
    pub(super) fn start_action(
        &mut self,
        server: (u64, &ProjectName),
        command: &'static str,
        duration: Duration,
        fate: Option<ActionFailure>,
    ) -> u64 {
        let id = self.next_id();
        let (started, due) = (self.now, self.now + duration);
        let (server, project) = (server.0, Arc::clone(server.1));
        let action = Action { id, project, server, command, started, due, end: None, fate };
        self.actions.insert(id, action);
        self.schedule(due, Event::ActionEnds(id));
        id
    }

    /// Tells whether an action runs on a server.
    pub(super) fn is_busy(&self, server: u64) -> bool {
        self.actions.values().any(|action| action.server == server && action.end.is_none())
    }

    /// Tells whether a server refuses changes now.
    pub(super) fn is_locked(&self, server: &Server) -> bool {
        let by_rule = match self.settings.locking {
            Locking::WhileDeleting => server.is_deleting,
            Locking::WhileBusy => self.is_busy(server.id),
        };
        by_rule || self.now < server.locked_until
    }

    pub(super) fn server_json(&self, server: &Server) -> Value {
        let kind = server.server_type;
        let kind = kind.to_json(|place| self.shows_stock(kind, place));
        let mut shown = server.to_json(self.settings.clock, &kind, self.is_locked(server));
        if let Some(field) = &server.garbled
            && let Some(value) = shown.get_mut(field)
        {
            *value = Value::Null;
        }
        shown
    }

    pub(super) fn action_json(&self, action: &Action) -> Value {
        action.to_json(self.settings.clock, self.now)
    }

    /// Removes a server at once and frees its name; of several under one name, the newest holds it.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(server) = self.servers.remove(&id) {
            let name = (server.project, server.name);
            if self.names.get(&name) == Some(&id) {
                self.names.remove(&name);
            }
            self.books.removed(id, self.now);
            self.free_addresses(server.ipv4.into_iter().chain(server.ipv6));
        }
    }

    /// Starts somebody else's work on a server, which locks it.
    pub(super) fn lock_by_console(&mut self, id: u64, duration: Duration) -> bool {
        let Some(server) = self.servers.get_mut(&id) else { return false };
        server.locked_until = self.now + duration;
        let project = Arc::clone(&server.project);
        self.start_action((id, &project), SNAPSHOT, duration, None);
        true
    }

    /// Removes a server as a person at the console does; whatever runs on it ends in error.
    pub(super) fn remove_by_console(&mut self, id: u64) -> bool {
        let is_there = self.servers.contains_key(&id);
        if is_there {
            self.books.removal_accepted(id, Origin::Console);
            self.remove(id);
        }
        is_there
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ActionEnds(id) => self.end_action(id),
            Event::ServerRuns(id) => {
                if let Some(server) = self.servers.get_mut(&id) {
                    server.state = ServerStatus::Running;
                }
            }
            Event::LateEffect { request, arrived_at } => {
                self.books.late_effect();
                self.apply_late(&request, arrived_at);
            }
        }
    }

    fn end_action(&mut self, id: u64) {
        let now = self.now;
        let Some(action) = self.actions.get_mut(&id) else {
            return;
        };
        let server = action.server;
        let mut failure = action.fate.take();
        if failure.is_none() && !self.servers.contains_key(&server) {
            failure =
                Some(ActionFailure { code: "action_failed".to_owned(), message: "server was removed".to_owned() });
        }
        let failed = failure.is_some();
        action.end = Some(ActionEnd { at: now, failure });
        match (action.command, failed) {
            (CREATE, false) => self.server_is_created(server),
            (START, false) => self.schedule(now + self.start_lag(), Event::ServerRuns(server)),
            (START, true) => self.start_failed(server),
            (DELETE, false) => self.remove(server),
            (DELETE, true) => self.delete_failed(server),
            (_, _) => {}
        }
    }

    fn delete_failed(&mut self, id: u64) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.is_deleting = false;
            self.books.removal_failed(id);
        }
    }

    /// What was not even created stays as it is.
    fn start_failed(&mut self, id: u64) {
        if let Some(server) = self.servers.get_mut(&id).filter(|server| server.state == ServerStatus::Starting) {
            server.state = ServerStatus::Off;
        }
    }

    fn server_is_created(&mut self, server: u64) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.state = if server.starts { ServerStatus::Starting } else { ServerStatus::Off };
        }
    }

    /// How long a start takes after the create, and how long the server then still reads as `starting`.
    pub(super) fn start_lag(&self) -> Duration {
        self.settings.create_time / 20
    }
}

/// The command of the action that creates a server.
pub(super) const CREATE: &str = "create_server";
/// The command of the action that starts a server.
pub(super) const START: &str = "start_server";
/// The command of the action that makes an image of a server.
const SNAPSHOT: &str = "create_image";
/// The command of the action that deletes a server.
pub(super) const DELETE: &str = "delete_server";
