//! `ProviderClient` in memory: servers that exist only here, with answers that can be told to go wrong.

use std::collections::{BTreeMap, VecDeque};
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
        };
        Self { cloud: Arc::new(Mutex::new(cloud)), digest: TokenDigest::of(token) }
    }

    /// Makes the next call of a method go wrong; faults of one method queue up.
    pub fn fail_next(&self, method: ProviderMethod, fault: ProviderFault) {
        self.lock().faults.entry(method).or_default().push_back(fault);
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
        self.lock().insert(name.into(), labels).map(|view| view.id)
    }

    /// Removes a server as if somebody had done it in the provider's console; says whether it was there.
    #[must_use]
    pub fn vanish(&self, id: &ProviderServerId) -> bool {
        self.lock().remove(id)
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
        let (cloud, fault) = self.begin(method);
        match fault {
            None => Ok(answer(&cloud)),
            Some(ProviderFault::Refuse(kind)) => Err(ProviderError::new(kind, "told_to")),
            Some(ProviderFault::LoseAnswer | ProviderFault::HappenLater(_)) => Err(lost()),
        }
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
            if self.insert(request.name.as_str().to_owned(), request.labels).is_none() {
                tracing::debug!("a late create found its name taken");
            }
        }
        for machine in self.servers.values_mut() {
            if machine.ready <= now {
                machine.view.status = ServerStatus::Running;
            }
        }
    }

    fn insert(&mut self, name: String, labels: Labels) -> Option<ServerView> {
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
            server_type: "memory".to_owned(),
            location: "memory".to_owned(),
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

    async fn create(&self, request: &CreateRequest, _context: &RequestContext) -> Result<Created, ProviderError> {
        let (mut cloud, fault) = self.begin(ProviderMethod::Create);
        match fault {
            Some(ProviderFault::Refuse(kind)) => return Err(ProviderError::new(kind, "told_to")),
            Some(ProviderFault::HappenLater(delay)) => {
                cloud.later.push((Instant::now() + delay, request.clone()));
                return Err(lost());
            }
            Some(ProviderFault::LoseAnswer) | None => {}
        }
        let Some(server) = cloud.insert(request.name.as_str().to_owned(), request.labels.clone()) else {
            return Err(ProviderError::new(ProviderErrorKind::AlreadyExists, "uniqueness_error"));
        };
        if fault.is_some() {
            return Err(lost());
        }
        Ok(Created { server, actions: Vec::new(), correlation_id: None })
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

    async fn delete(&self, id: &ProviderServerId, _context: &RequestContext) -> Result<Deletion, ProviderError> {
        let (mut cloud, fault) = self.begin(ProviderMethod::Delete);
        if let Some(ProviderFault::Refuse(kind)) = fault {
            return Err(ProviderError::new(kind, "told_to"));
        }
        let was_there = cloud.remove(id);
        match fault {
            Some(_) => Err(lost()),
            None if was_there => Ok(Deletion::Accepted),
            None => Ok(Deletion::AlreadyGone),
        }
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        _context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        self.read(ProviderMethod::Actions, |_| {
            ids.iter().map(|id| ActionView { id: id.clone(), status: ActionStatus::Succeeded }).collect()
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
        Ok(Catalog::default())
    }
}

/// Says whether a server carries the marker of a record.
#[must_use]
pub fn belongs_to(view: &ServerView, server: ServerId) -> bool {
    view.labels.get(SERVER_LABEL) == Some(&server.to_string())
}
