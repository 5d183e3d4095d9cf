//! A cloud with an append-only ledger: unique names, full locations, foreign servers, reads that lag behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vip_core::model::{
    Addresses, InstallationId, Labels, OWNER_LABEL, ProviderActionId, ProviderServerId, SPEC_LABEL, ServerId,
    TokenDigest,
};
use vip_core::ports::{
    ActionStatus, ActionView, CreateRequest, Created, Deletion, InventoryPage, ProviderError, ProviderErrorKind,
    ServerStatus, ServerView,
};

use crate::method::Method;
use crate::refusals::{Refusals, Stock, Tamper, lists_all};

/// How far a stale read lags behind. What lands last is still shown within the landing allowance, as is assumed.
pub const LAG: Duration = Duration::from_millis(1_000);
/// How long a server takes to run.
const START: Duration = Duration::from_millis(500);
/// How long a server takes to go.
const REMOVAL: Duration = Duration::from_millis(300);

/// Says which state of the cloud a read shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The present one.
    Now,
    /// The one of a moment ago, except that a server that was once shown by its id stays.
    Stale,
}

/// Is an account at a provider; clones share it.
#[derive(Debug, Clone)]
pub struct Cloud {
    rows: Arc<Mutex<Rows>>,
    digest: TokenDigest,
}

#[derive(Debug, Default)]
struct Rows {
    ledger: Vec<Entry>,
    full: BTreeSet<String>,
    last_one: BTreeSet<String>,
    refusals: Refusals,
    delayed: Option<(String, Duration)>,
    failing: Option<String>,
    tampers: BTreeMap<String, Tamper>,
    plants_foreign: bool,
    announced: u32,
    inventories: u32,
    hidden: Option<String>,
    foreign_deletes: u32,
}

/// Is one server that was ever made here.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As it was made.
    pub view: ServerView,
    /// When it was made.
    pub made_at: Instant,
    /// When its removal was accepted.
    pub deleted_at: Option<Instant>,
    /// Whether it was shown by its id.
    pub was_shown: bool,
    /// Whether we made it.
    pub is_foreign: bool,
    /// Whether its create ends in error: it never runs, whether or not anybody looks at the action.
    pub fails: bool,
}

impl Entry {
    fn is_there(&self, at: Instant) -> bool {
        self.made_at <= at && self.deleted_at.is_none_or(|deleted| deleted + REMOVAL > at)
    }

    fn suffer(&mut self, how: Tamper) {
        match how {
            // Renamed and hidden by lists at once is for the sweep.
            Tamper::Rename => (self.view.name, self.was_shown) = ("renamed".to_owned(), true),
            Tamper::Relabel => drop(self.view.labels.insert(SPEC_LABEL.to_owned(), "another".to_owned())),
            Tamper::Remove => self.deleted_at = self.made_at.checked_sub(REMOVAL),
        }
    }

    fn shown(&self) -> ServerView {
        let mut view = self.view.clone();
        if self.deleted_at.is_some() {
            view.status = ServerStatus::Deleting;
        } else if self.made_at + START <= Instant::now() && !self.fails {
            view.status = ServerStatus::Running;
        }
        view
    }
}

impl Cloud {
    /// Makes an empty account.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self { rows: Arc::default(), digest: TokenDigest::of(token) }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes another token of the same account.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { rows: self.rows.clone(), digest: TokenDigest::of(token) }
    }

    /// Returns what identifies its token.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        self.digest.clone()
    }

    /// Takes a location out of stock.
    pub fn fill(&self, location: &str) {
        self.lock().full.insert(location.to_owned());
    }

    /// Leaves stock for one more create in a location.
    pub fn leave_one(&self, location: &str) {
        self.lock().last_one.insert(location.to_owned());
    }

    /// Lets the next create of a server whose name begins so have no answer, and happen only after a while.
    pub fn delay_next_create(&self, name: &str, by: Duration) {
        self.lock().delayed = Some((name.to_owned(), by));
    }

    /// Returns how long the create that begins now is delayed.
    #[must_use]
    pub fn delay(&self, name: &str) -> Option<Duration> {
        self.lock().delayed.take_if(|(begin, _)| name.starts_with(begin.as_str())).map(|(_, by)| by)
    }

    /// Lets all calls go wrong in this way, or none.
    pub fn outage(&self, kind: Option<ProviderErrorKind>) {
        self.lock().refusals.all(kind);
    }

    /// Refuses the next call of a method that is about a server whose name begins so.
    pub fn refuse(&self, method: Method, name: &str, kind: ProviderErrorKind) {
        self.lock().refusals.next(method, name, kind);
    }

    /// Refuses every call of a method that is about a server whose name begins so.
    pub fn refuse_always(&self, method: Method, name: &str, kind: ProviderErrorKind) {
        self.lock().refusals.always(method, name, kind);
    }

    /// Lets the creates of servers whose name begins so end in error.
    pub fn fail_actions_of(&self, name: &str) {
        self.lock().failing = Some(name.to_owned());
    }

    /// Lets somebody else do something to new servers whose name begins so.
    pub fn tamper(&self, name: &str, how: Tamper) {
        self.lock().tampers.insert(name.to_owned(), how);
    }

    /// Removes a server whose name begins so behind everybody's back.
    pub fn lose(&self, name: &str) {
        let gone = Instant::now().checked_sub(REMOVAL);
        self.lock().ledger.iter_mut().filter(|it| it.view.name.starts_with(name)).for_each(|it| it.deleted_at = gone);
    }

    /// Says whether a call about a server with this name is answered at all.
    ///
    /// # Errors
    ///
    /// What was asked for.
    pub fn admits(&self, method: Method, name: &str) -> Result<(), ProviderError> {
        self.lock().refusals.take(method, name)
    }

    /// Says whether a call about the server with this id is answered at all.
    ///
    /// # Errors
    ///
    /// What was asked for.
    pub fn admits_id(&self, method: Method, id: &str) -> Result<(), ProviderError> {
        let mut rows = self.lock();
        let name = rows.ledger.iter().find(|it| it.view.id.as_str() == id).map(|it| it.view.name.clone());
        rows.refusals.take(method, &name.unwrap_or_default())
    }

    /// Says whether the server with this id was ever made here and is there.
    #[must_use]
    pub fn has(&self, id: &ProviderServerId) -> bool {
        let now = Instant::now();
        self.lock().ledger.iter().any(|it| &it.view.id == id && it.is_there(now) && it.deleted_at.is_none())
    }

    /// Puts a foreign server under the name of the first create, just before it.
    pub fn plant_foreign(&self) {
        self.lock().plants_foreign = true;
    }

    /// Returns how many creates were begun, whatever became of them.
    #[must_use]
    pub fn creates_begun(&self) -> u32 {
        self.lock().announced
    }

    /// Hides servers whose name begins so from lists, or none.
    pub fn hide(&self, name: Option<&str>) {
        self.lock().hidden = name.map(str::to_owned);
    }

    /// Returns how often the list was read.
    #[must_use]
    pub fn inventories(&self) -> u32 {
        self.lock().inventories
    }

    /// Returns everything that was ever made here.
    #[must_use]
    pub fn ledger(&self) -> Vec<Entry> {
        self.lock().ledger.clone()
    }

    /// Returns what is there now.
    #[must_use]
    pub fn live(&self) -> Vec<Entry> {
        let now = Instant::now();
        self.lock().ledger.iter().filter(|entry| entry.is_there(now)).cloned().collect()
    }

    /// Returns how often somebody asked to delete a server that is not ours.
    #[must_use]
    pub fn foreign_deletes(&self) -> u32 {
        self.lock().foreign_deletes
    }

    /// Puts a server there that this installation did not order.
    pub fn put(&self, name: &str, labels: Labels) {
        self.lock().insert(name.to_owned(), labels, "elsewhere", true);
    }

    /// Notes that a create is about to be called, and whether there is stock for it.
    #[must_use]
    pub fn announced(&self, request: &CreateRequest) -> Stock {
        let mut rows = self.lock();
        rows.announced += 1;
        let stock = if rows.full.contains(&request.location) { Stock::None } else { Stock::Left };
        if rows.last_one.remove(&request.location) {
            rows.full.insert(request.location.clone());
        }
        if std::mem::take(&mut rows.plants_foreign) {
            rows.insert(request.name.as_str().to_owned(), Labels::new(), "elsewhere", true);
        }
        stock
    }

    /// Creates a server.
    ///
    /// # Errors
    ///
    /// The name is taken, or the location is full.
    pub fn create(&self, request: &CreateRequest, stock: Stock) -> Result<Created, ProviderError> {
        let mut rows = self.lock();
        if stock == Stock::None {
            return Err(ProviderError::new(ProviderErrorKind::Exhausted, "resource_unavailable"));
        }
        let now = Instant::now();
        if rows.ledger.iter().any(|entry| entry.is_there(now) && entry.view.name == request.name.as_str()) {
            return Err(ProviderError::new(ProviderErrorKind::AlreadyExists, "uniqueness_error"));
        }
        let name = request.name.as_str().to_owned();
        let tampered = rows.tampers.iter().find(|(prefix, _)| name.starts_with(prefix.as_str())).map(|(_, how)| *how);
        let server = rows.insert(name, request.labels.clone(), &request.location, false);
        if let (Some(how), Some(entry)) = (tampered, rows.ledger.last_mut()) {
            entry.suffer(how);
        }
        let action = ProviderActionId::new(format!("a{}", server.id.as_str())).unwrap();
        Ok(Created { server, actions: vec![action], correlation_id: None })
    }

    /// Removes a server.
    ///
    /// # Errors
    ///
    /// None today; the ports' result.
    pub fn delete(&self, id: &ProviderServerId) -> Result<Deletion, ProviderError> {
        let now = Instant::now();
        let mut rows = self.lock();
        let found = rows.ledger.iter_mut().find(|entry| &entry.view.id == id && entry.is_there(now));
        let Some(entry) = found else {
            return Ok(Deletion::AlreadyGone);
        };
        entry.deleted_at.get_or_insert(now);
        let is_foreign = entry.is_foreign;
        rows.foreign_deletes += u32::from(is_foreign);
        Ok(Deletion::Accepted)
    }

    fn seen(&self, view: View, wanted: impl Fn(&ServerView) -> bool) -> Vec<ServerView> {
        let now = Instant::now();
        let at = if view == View::Stale { now.checked_sub(LAG).unwrap_or(now) } else { now };
        let rows = self.lock();
        let is_seen = |entry: &&Entry| {
            let is_there = entry.is_there(at) || (entry.was_shown && entry.is_there(now));
            is_there && wanted(&entry.view)
        };
        rows.ledger.iter().filter(is_seen).map(Entry::shown).collect()
    }

    /// Finds a server by its name.
    #[must_use]
    pub fn find(&self, name: &str, view: View) -> Option<ServerView> {
        self.seen(view, |server| server.name == name).pop()
    }

    /// Finds servers by their labels.
    #[must_use]
    pub fn find_labelled(&self, owner: InstallationId, server: ServerId, view: View) -> Vec<ServerView> {
        self.seen(view, |seen| seen.is_ours(owner, server))
    }

    /// Shows a server by its id.
    #[must_use]
    pub fn get(&self, id: &ProviderServerId, view: View) -> Option<ServerView> {
        let seen = self.seen(view, |server| &server.id == id).pop();
        if seen.is_some() {
            self.lock().ledger.iter_mut().filter(|entry| &entry.view.id == id).for_each(|entry| entry.was_shown = true);
        }
        seen
    }

    /// Shows actions.
    #[must_use]
    pub fn actions(&self, ids: &[ProviderActionId]) -> Vec<ActionView> {
        let now = Instant::now();
        let rows = self.lock();
        let view = |id: &ProviderActionId| {
            let of = |entry: &&Entry| id.as_str().strip_prefix('a') == Some(entry.view.id.as_str());
            let entry = rows.ledger.iter().find(of)?;
            let is_done = entry.made_at + START <= now;
            let status = match (is_done, entry.fails) {
                (false, _) => ActionStatus::Running,
                (true, false) => ActionStatus::Succeeded,
                (true, true) => ActionStatus::Failed { code: "no_luck".to_owned() },
            };
            Some(ActionView { id: id.clone(), status })
        };
        ids.iter().filter_map(view).collect()
    }

    /// Lists an owner's servers.
    #[must_use]
    pub fn inventory(&self, owner: InstallationId, _page: u32, view: View) -> InventoryPage {
        let hidden = {
            let mut rows = self.lock();
            rows.inventories += 1;
            rows.hidden.clone()
        };
        let is_hidden = |name: &str| hidden.as_ref().is_some_and(|hidden| name.starts_with(hidden.as_str()));
        let owner = owner.to_string();
        let is_listed = |server: &ServerView| {
            let is_listed = server.labels.get(OWNER_LABEL) == Some(&owner) || lists_all();
            is_listed && server.server_label().is_some() && !is_hidden(&server.name)
        };
        let mut servers = self.seen(view, is_listed);
        if view == View::Stale {
            // Lists hide a server now and then that a look by id shows.
            servers.drain(..servers.len().min(1));
        }
        InventoryPage { servers, next: None }
    }
}

impl Rows {
    fn insert(&mut self, name: String, labels: Labels, location: &str, is_foreign: bool) -> ServerView {
        let id = ProviderServerId::new((self.ledger.len() + 1).to_string()).unwrap();
        let view = ServerView {
            is_listed: false,
            id,
            name,
            status: ServerStatus::Starting,
            labels,
            addresses: Addresses { ipv4: Some([192, 0, 2, 1].into()), ipv6: None },
            server_type: "small".to_owned(),
            location: location.to_owned(),
        };
        let made_at = Instant::now();
        let fails = self.failing.as_ref().is_some_and(|failing| view.name.starts_with(failing.as_str()));
        self.ledger.push(Entry { view: view.clone(), made_at, deleted_at: None, was_shown: false, is_foreign, fails });
        view
    }
}
