//! A simulator of the Hetzner Cloud API: a state machine without I/O, an HTTP server, and a ledger that never forgets.
//!
//! The state machine takes a request and the time and gives back a [`Reply`]; it reads no clock, so hours pass
//! in an instant. Two skins carry it: [`Simulator::serve`] over HTTP, and the transport behind the adapter's own seam
//! in the same process.
//!
//! It is stricter than the real API in one respect: unknown query parameters and unknown fields of a body are
//! refused, so that a misspelt one is noticed.
//!
//! Over HTTP the control interface takes the same as the methods here: `GET /_sim/ledger`, `GET /_sim/connections`,
//! `POST` and `DELETE /_sim/faults`, `POST /_sim/servers`, `DELETE /_sim/servers/{id}`,
//! `POST /_sim/servers/{id}/lock` with `{"for_ms": 1000}`, `POST` and `DELETE /_sim/servers/{id}/protection`,
//! `POST /_sim/servers/{id}/start`, `POST /_sim/servers/{id}/twin`,
//! `POST /_sim/servers/{id}/garble` with `{"field": "status"}` and `DELETE` of it, and
//! `POST /_sim/stock` with `{"server_type": "cx23", "location": "fsn1", "stock": "exhausted", "flag_after_ms": 30000}`.
//! A fault rule, or a list of them, looks like this:
//!
//! ```
//! # use vip_adapters::hetzner::simulator::FaultRule;
//! # let text = r#"
//! {
//!     "route": {"method": "POST", "route": "/servers"},
//!     "when": {"next": {"requests": 2}},
//!     "fault": {"kind": "late", "failure": "timeout", "effect_after_ms": 3000}
//! }
//! # "#;
//! # serde_json::from_str::<FaultRule>(text)?;
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;

mod addresses;
mod answer;
mod bucket;
mod builder;
mod catalog;
mod connections;
mod control;
mod fault_board;
mod fault_plan;
mod faults;
mod foreign;
mod handle;
mod in_process;
mod labels;
mod ledger;
mod query;
mod records;
mod routes;
mod server;
mod stock;
mod time;
mod world;

#[cfg(test)]
mod tests;

pub use addresses::{AddressKind, LedgerAddress};
pub use builder::{DEFAULT_PROJECT, DEFAULT_TOKEN, SimulatorBuilder};
pub use fault_plan::FaultPlan;
pub use faults::{ById, Effect, Failure, Fault, FaultRule, RouteMatcher, When};
pub use foreign::{ControlError, ForeignServer, Protection};
pub use handle::{Outcome, Reply};
pub use ledger::{Duplicate, Ledger, LedgerServer, Origin, RequestCount, SERVER_LABEL};
pub use server::SimulatorServer;
pub use stock::{Stock, StockChange};
pub use time::SimInstant;

use connections::Connections;
use world::World;

/// A simulated Hetzner Cloud. Clones are handles to the same cloud.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World>,
    /// When simulated time began on tokio's clock; set by the first skin that is used.
    origin: OnceLock<tokio::time::Instant>,
    connections: Connections,
}

impl Simulator {
    /// Starts to describe a simulator.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::default()
    }

    /// Takes one request at the time `now`, after everything that was due until then has happened.
    ///
    /// The effect of the request has happened when this returns, whatever becomes of the reply.
    /// A `now` that lies before an earlier one counts as that one.
    #[must_use]
    pub fn handle(&self, now: SimInstant, request: Request<Bytes>) -> Reply {
        self.world().handle(now, request)
    }

    /// Lets time pass until `now` without a request, for who drives [`Simulator::handle`] with an own clock.
    pub fn advance(&self, now: SimInstant) {
        self.world().advance(now);
    }

    /// Reads the ledger as of now: the time of the skins, or of the last [`Simulator::handle`] if that is later.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let world = self.world_now();
        world.books.read(world.now)
    }

    /// Adds a fault rule; its times count from now.
    ///
    /// # Errors
    ///
    /// [`ControlError::InvalidRule`] if the rule could never fire or a number is out of range.
    pub fn add_fault(&self, rule: FaultRule) -> Result<(), ControlError> {
        rule.check()?;
        let mut world = self.world_now();
        let now = world.now;
        world.faults.add(rule, now);
        Ok(())
    }

    /// Adds every rule of a plan, or none.
    ///
    /// # Errors
    ///
    /// [`ControlError::InvalidRule`] as [`Simulator::add_fault`].
    pub fn add_plan(&self, plan: FaultPlan) -> Result<(), ControlError> {
        plan.rules.iter().try_for_each(FaultRule::check)?;
        let mut world = self.world_now();
        let now = world.now;
        plan.rules.into_iter().for_each(|rule| world.faults.add(rule, now));
        Ok(())
    }

    /// Ends all faults; late effects that are on their way still come.
    pub fn clear_faults(&self) {
        self.world_now().faults.clear();
    }

    /// Puts a server into a project as somebody else would; it runs at once. Returns its id.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if the project, the type or the location is unknown, or if the name is invalid or taken.
    pub fn put_server(&self, server: ForeignServer) -> Result<u64, ControlError> {
        self.world_now().put_foreign(server)
    }

    /// Puts a second server beside one, under its name and with its labels, against what the API promises; it runs at once. Returns
    /// its id.
    ///
    /// # Errors
    ///
    /// [`ControlError::UnknownServer`] if there is none with this id.
    pub fn put_twin(&self, id: u64) -> Result<u64, ControlError> {
        self.world_now().put_twin(id)
    }

    /// Removes a server at once, as somebody would at the vendor's console.
    ///
    /// # Errors
    ///
    /// [`ControlError::UnknownServer`] if there is none with this id.
    pub fn remove_server(&self, id: u64) -> Result<(), ControlError> {
        if self.world_now().remove_by_console(id) { Ok(()) } else { Err(ControlError::UnknownServer { id }) }
    }

    /// Locks a server for a while with work of somebody else: changes are refused with 423 `locked`.
    ///
    /// # Errors
    ///
    /// [`ControlError::UnknownServer`] if there is none with this id.
    pub fn lock_server(&self, id: u64, duration: Duration) -> Result<(), ControlError> {
        let is_there = self.world_now().lock_by_console(id, duration);
        if is_there { Ok(()) } else { Err(ControlError::UnknownServer { id }) }
    }

    /// Sets a server's protection: its deletion is refused with 423 `protected`.
    ///
    /// # Errors
    ///
    /// [`ControlError::UnknownServer`] if there is none with this id.
    pub fn protect_server(&self, id: u64, protection: Protection) -> Result<(), ControlError> {
        let mut world = self.world_now();
        let server = world.servers.get_mut(&id).ok_or(ControlError::UnknownServer { id })?;
        server.is_protected = protection == Protection::On;
        Ok(())
    }

    /// Switches a server on at once, as somebody would at the vendor's console.
    ///
    /// # Errors
    ///
    /// [`ControlError::UnknownServer`] if there is none with this id.
    pub fn start_server(&self, id: u64) -> Result<(), ControlError> {
        let mut world = self.world_now();
        let server = world.servers.get_mut(&id).ok_or(ControlError::UnknownServer { id })?;
        server.state = records::ServerStatus::Running;
        Ok(())
    }

    /// Shows a field of a server as `null` from now on, wherever it is shown; without a field all is shown again.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if there is no such server, or if it has no such field.
    pub fn garble_server(&self, id: u64, field: Option<&str>) -> Result<(), ControlError> {
        self.world_now().garble(id, field)
    }

    /// Changes what is in stock, from now on.
    ///
    /// # Errors
    ///
    /// [`ControlError::InvalidStock`] if there is no such type or location.
    pub fn change_stock(&self, change: StockChange) -> Result<(), ControlError> {
        self.world_now().change_stock(change)
    }

    /// Returns how many connections are open, over all servers of this simulator; those that only ever asked
    /// the control interface are not counted.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.connections.open()
    }

    fn new(world: World) -> Self {
        let shared = Shared { world: Mutex::new(world), origin: OnceLock::new(), connections: Connections::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Starts simulated time on tokio's clock, unless it runs already.
    fn start_clock(&self) {
        self.shared.origin.get_or_init(tokio::time::Instant::now);
    }

    /// Returns the simulated time by tokio's clock; the start, if no skin has started the clock.
    fn clock_now(&self) -> SimInstant {
        let elapsed = self.shared.origin.get().map(tokio::time::Instant::elapsed);
        SimInstant::at(elapsed.unwrap_or_default())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic in a request leaves the world as consistent as a crashed cloud is: keep answering.
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the world after everything that is due by now has happened.
    fn world_now(&self) -> MutexGuard<'_, World> {
        let now = self.clock_now();
        let mut world = self.world();
        world.advance(now);
        world
    }
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let world = self.world();
        f.debug_struct("Simulator")
            .field("now", &world.now)
            .field("servers", &world.servers.len())
            .finish_non_exhaustive()
    }
}
