//! `ProviderClient` in memory: servers that exist only here, with answers that can be told to go wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::model::{
    Addresses, InstallationId, Labels, OWNER_LABEL, ProviderActionId, ProviderName, ProviderServerId, SERVER_LABEL,
    ServerId, TokenDigest,
};
use crate::ports::{
    ActionStatus, ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    ProviderErrorKind, RequestContext, ServerStatus, ServerView,
};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;

/// Servers on one page of the inventory.
const PAGE: usize = 50;

/// Says how the next call of a method goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFault {
    /// Nothing happens, and this is the answer.
    Refuse(ProviderErrorKind),
    /// It happens, and the answer is lost.
    LoseAnswer,
    /// The answer is lost, and it happens later.
    HappenLater(Duration),
    /// It happens, and no answer comes until the deadline of the request is over.
    Stall,
}

/// Names a method that a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProviderMethod {
    /// `create`
    Create,
    /// `delete`
    Delete,
    /// `find` and `find_labelled`
    Find,
    /// `get`
    Get,
    /// `actions`
    Actions,
    /// `inventory`
    Inventory,
    /// `catalog`
    Catalog,
    /// Any of those that change nothing, whichever comes next.
    Look,
}

/// Says whether a type is in stock in a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryStock {
    /// It is.
    Available,
    /// It is not: a create is refused.
    SoldOut,
}

/// Is a cloud in memory, on tokio's clock.
///
/// Clones share one cloud. Use the Hetzner simulator of `vip-adapters` for anything that has to be true of the real
/// API; this one is for unit tests and documentation.
#[derive(Debug, Clone)]
pub struct MemoryProvider {
    cloud: Arc<Mutex<Cloud>>,
    digest: TokenDigest,
}

#[derive(Debug)]
struct Cloud {
    servers: BTreeMap<u64, Machine>,
    next: u64,
    ever: Vec<ServerView>,
    later: Vec<(Instant, CreateRequest)>,
    faults: BTreeMap<ProviderMethod, VecDeque<ProviderFault>>,
    calls: BTreeMap<ProviderMethod, u64>,
    create_time: Duration,
    catalog: Catalog,
    sold_out: BTreeSet<(String, String)>,
    actions: Vec<ProviderActionId>,
}

#[derive(Debug)]
struct Machine {
    view: ServerView,
    ready: Instant,
}

impl Default for MemoryProvider {
    fn default() -> Self {
        Self::new(Duration::from_secs(10))
    }
}

impl MemoryProvider {
    /// Makes an empty cloud in which a create takes `create_time`.
    #[must_use]
    pub fn new(create_time: Duration) -> Self {
        Self::with_token(create_time, "memory")
    }

    /// Makes an empty cloud that is reached with another token.
    #[must_use]
    pub fn with_token(create_time: Duration, token: &str) -> Self {
        let cloud = Cloud {
            servers: BTreeMap::new(),
            next: 1,
            ever: Vec::new(),
            later: Vec::new(),
            faults: BTreeMap::new(),
            calls: BTreeMap::new(),
            create_time,
            catalog: Catalog::default(),
            sold_out: BTreeSet::new(),
            actions: Vec::new(),
        };
        Self { cloud: Arc::new(Mutex::new(cloud)), digest: TokenDigest::of(token) }
    }

    /// Makes the next call of a method go wrong; faults of one method queue up.
    pub fn fail_next(&self, method: ProviderMethod, fault: ProviderFault) {
        self.lock().faults.entry(method).or_default().push_back(fault);
    }

    /// Sets what the catalog shows; it is empty at first, and creates do not ask it.
    pub fn offer(&self, catalog: Catalog) {
        self.lock().catalog = catalog;
    }

    /// Sets whether creates of a type in a location are refused for want of stock.
    pub fn stock(&self, server_type: &str, location: &str, stock: MemoryStock) {
        let pair = (server_type.to_owned(), location.to_owned());
        let mut cloud = self.lock();
        match stock {
            MemoryStock::SoldOut => cloud.sold_out.insert(pair),
            MemoryStock::Available => cloud.sold_out.remove(&pair),
        };
    }

    /// Returns the servers that exist now.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerView> {
        self.lock().servers.values().map(|machine| machine.view.clone()).collect()
    }

    /// Returns every server that was ever created, in that order.
    #[must_use]
    pub fn ever_created(&self) -> Vec<ServerView> {
        self.lock().ever.clone()
    }

    /// Returns how often a method was called.
    #[must_use]
    pub fn calls(&self, method: ProviderMethod) -> u64 {
        self.lock().calls.get(&method).copied().unwrap_or(0)
    }

    /// Puts a server there that nobody ordered.
    pub fn put(&self, name: impl Into<String>, labels: Labels) -> Option<ProviderServerId> {
        self.put_as(name, labels, "memory", "memory")
    }

    /// Puts a server of a type in a location there that nobody ordered.
    pub fn put_as(
        &self,
        name: impl Into<String>,
        labels: Labels,
        server_type: &str,
        location: &str,
    ) -> Option<ProviderServerId> {
        self.lock().insert(name.into(), labels, (server_type, location)).map(|view| view.id)
    }

    /// Makes actions known that have succeeded; a create here makes none by itself.
    pub fn put_actions(&self, ids: impl IntoIterator<Item = ProviderActionId>) {
        self.lock().actions.extend(ids);
    }

    /// Removes a server as if somebody had done it in the provider's console; says whether it was there.
    #[must_use]
    pub fn vanish(&self, id: &ProviderServerId) -> bool {
        self.lock().remove(id)
    }

    /// Changes all labels of a server as if somebody had done it in the provider's console; says whether it was there.
    #[must_use]
    pub fn relabel(&self, id: &ProviderServerId, labels: Labels) -> bool {
        let mut cloud = self.lock();
        let found = cloud.servers.values_mut().find(|machine| &machine.view.id == id);
        found.map(|machine| machine.view.labels = labels).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Cloud> {
        let mut cloud = self.cloud.lock().unwrap_or_else(PoisonError::into_inner);
        cloud.settle();
        cloud
    }

    fn begin(&self, method: ProviderMethod) -> (MutexGuard<'_, Cloud>, Option<ProviderFault>) {
        let mut cloud = self.lock();
        *cloud.calls.entry(method).or_default() += 1;
        let fault = cloud.faults.get_mut(&method).and_then(VecDeque::pop_front);
        (cloud, fault)
    }

    fn read<T>(&self, method: ProviderMethod, answer: impl FnOnce(&Cloud) -> T) -> Result<T, ProviderError> {
        let (mut cloud, fault) = self.begin(method);
        *cloud.calls.entry(ProviderMethod::Look).or_default() += 1;
        let fault = fault.or_else(|| cloud.faults.get_mut(&ProviderMethod::Look).and_then(VecDeque::pop_front));
        match fault {
            None => Ok(answer(&cloud)),
            Some(ProviderFault::Refuse(kind)) => Err(ProviderError::new(kind, "told_to")),
            Some(ProviderFault::LoseAnswer | ProviderFault::HappenLater(_) | ProviderFault::Stall) => Err(lost()),
        }
    }
}

/// Answers a mutation whose answer is lost: at once, or when its time is over.
async fn lose(fault: ProviderFault, context: &RequestContext) -> ProviderError {
    match fault {
        ProviderFault::Stall => {
            tokio::time::sleep(context.deadline).await;
            ProviderError::new(ProviderErrorKind::Unknown, "deadline")
        }
        ProviderFault::LoseAnswer | ProviderFault::HappenLater(_) | ProviderFault::Refuse(_) => lost(),
    }
}

fn lost() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Unknown, "answer_lost")
}

impl Cloud {
    /// Lets creates whose time has come happen.
    fn settle(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        let due: Vec<(Instant, CreateRequest)> = due;
        for (_, request) in due {
            // A name that is taken by now: nothing happens, as with any create under it.
            let place = (request.server_type.as_str(), request.location.as_str());
            if self.insert(request.name.as_str().to_owned(), request.labels, place).is_none() {
                telemetry::tell(|| tracing::debug!("a late create found its name taken"));
            }
        }
        for machine in self.servers.values_mut() {
            if machine.ready <= now {
                machine.view.status = ServerStatus::Running;
            }
        }
    }

    fn insert(&mut self, name: String, labels: Labels, place: (&str, &str)) -> Option<ServerView> {
        if self.servers.values().any(|machine| machine.view.name == name) {
            return None;
        }
        let id = ProviderServerId::new(self.next.to_string()).ok()?;
        let view = ServerView {
            id,
            name,
            status: ServerStatus::Starting,
            labels,
            addresses: Addresses { ipv4: Some([192, 0, 2, 1].into()), ipv6: None },
            server_type: place.0.to_owned(),
            location: place.1.to_owned(),
            is_listed: false,
        };
        let ready = Instant::now() + self.create_time;
        self.servers.insert(self.next, Machine { view: view.clone(), ready });
        self.ever.push(view.clone());
        self.next += 1;
        Some(view)
    }

    fn remove(&mut self, id: &ProviderServerId) -> bool {
        id.as_str().parse().is_ok_and(|number: u64| self.servers.remove(&number).is_some())
    }
}

#[async_trait]
impl ProviderClient for MemoryProvider {
    fn token_digest(&self) -> TokenDigest {
        self.digest.clone()
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        let (created, fault) = {
            let (mut cloud, fault) = self.begin(ProviderMethod::Create);
            match fault {
                Some(ProviderFault::Refuse(kind)) => return Err(ProviderError::new(kind, "told_to")),
                Some(ProviderFault::HappenLater(delay)) => {
                    cloud.later.push((Instant::now() + delay, request.clone()));
                    return Err(lost());
                }
                Some(ProviderFault::LoseAnswer | ProviderFault::Stall) | None => {}
            }
            let place = (request.server_type.as_str(), request.location.as_str());
            if cloud.sold_out.contains(&(request.server_type.clone(), request.location.clone())) {
                return Err(ProviderError::new(ProviderErrorKind::Exhausted, "sold_out"));
            }
            (cloud.insert(request.name.as_str().to_owned(), request.labels.clone(), place), fault)
        };
        let Some(server) = created else {
            return Err(ProviderError::new(ProviderErrorKind::AlreadyExists, "uniqueness_error"));
        };
        match fault {
            Some(fault) => Err(lose(fault, context).await),
            None => Ok(Created { server, actions: Vec::new(), correlation_id: None }),
        }
    }

    async fn find(&self, name: &ProviderName, _: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.read(ProviderMethod::Find, |cloud| {
            cloud.servers.values().map(|machine| &machine.view).find(|view| view.name == name.as_str()).cloned()
        })
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        _context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        self.read(ProviderMethod::Find, |cloud| {
            let is_ours = |view: &&ServerView| view.is_ours(owner, server);
            cloud.servers.values().map(|machine| &machine.view).filter(is_ours).cloned().collect()
        })
    }

    async fn get(&self, id: &ProviderServerId, _: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.read(ProviderMethod::Get, |cloud| {
            cloud.servers.values().map(|machine| &machine.view).find(|view| &view.id == id).cloned()
        })
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        let (was_there, fault) = {
            let (mut cloud, fault) = self.begin(ProviderMethod::Delete);
            if let Some(ProviderFault::Refuse(kind)) = fault {
                return Err(ProviderError::new(kind, "told_to"));
            }
            (cloud.remove(id), fault)
        };
        match fault {
            Some(fault) => Err(lose(fault, context).await),
            None if was_there => Ok(Deletion::Accepted),
            None => Ok(Deletion::AlreadyGone),
        }
    }

    async fn actions(&self, ids: &[ProviderActionId], _: &RequestContext) -> Result<Vec<ActionView>, ProviderError> {
        self.read(ProviderMethod::Actions, |cloud| {
            let known = ids.iter().filter(|id| cloud.actions.contains(id));
            known.map(|id| ActionView { id: id.clone(), status: ActionStatus::Succeeded }).collect()
        })
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        _context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        self.read(ProviderMethod::Inventory, |cloud| {
            let owner = owner.to_string();
            let owned = |view: &&ServerView| {
                view.labels.get(OWNER_LABEL) == Some(&owner) || is_on(SeededBug::SweepWithoutOwner)
            };
            let all: Vec<&ServerView> = cloud.servers.values().map(|machine| &machine.view).filter(owned).collect();
            let skip = usize::try_from(page.saturating_sub(1)).unwrap_or(usize::MAX).saturating_mul(PAGE);
            let servers: Vec<ServerView> = all.iter().skip(skip).take(PAGE).map(|view| (*view).clone()).collect();
            let more = all.len() > skip.saturating_add(PAGE);
            InventoryPage { servers, next: more.then(|| page.saturating_add(1)) }
        })
    }

    async fn catalog(&self, _context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.read(ProviderMethod::Catalog, |cloud| cloud.catalog.clone())
    }
}

/// Says whether a server carries the marker of a record.
#[must_use]
pub fn belongs_to(view: &ServerView, server: ServerId) -> bool {
    view.labels.get(SERVER_LABEL) == Some(&server.to_string())
}
