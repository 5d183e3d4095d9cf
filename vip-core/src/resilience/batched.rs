//! Lets looks of many servers share one request: actions by their ids, servers by pages of the inventory.
//!
//! Looks that come within 50 ms are gathered; looks that come a moment later find what was seen then. What ends a wait, an
//! action that has ended or a new server that runs, is kept for whoever waits for it. A request for actions is filled up
//! with actions of other creates of this process, whose looks come next. What creates usually take is learned on the way,
//! so that a first look is worth its request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::gather::Gather;
use super::pages::{Listed, Most, Pages};
use super::recent::{Counts, Recent};
use super::usual::Usual;
use crate::model::{
    Effect, InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, Timing, TokenDigest,
};
use crate::ports::{
    ActionStatus, ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, Outlook, ProviderClient,
    ProviderError, ProviderErrorKind, RequestContext, ServerStatus, ServerView, Service,
};

/// How long a look waits for others: far below the time between two looks at one server.
const WINDOW: Duration = Duration::from_millis(50);
/// Most calls that share one request.
const MOST: usize = 500;
/// Servers that the inventory does not show and that are asked for at the same time.
const AT_ONCE: usize = 8;
/// Actions that one request asks for: as many as providers show on one page.
const ACTIONS_AT_ONCE: usize = 25;

/// Is an error that several callers get; its cause is told to the first alone.
#[derive(Debug, Clone)]
struct SharedError {
    kind: ProviderErrorKind,
    code: String,
    correlation_id: Option<String>,
    service: Service,
    retry_after: Option<Duration>,
}

type Shared<T> = Result<T, SharedError>;
/// Is what was seen of actions; none is one that the provider does not know.
type Seen = BTreeMap<ProviderActionId, Option<ActionView>>;

/// Is a client whose looks share requests; everything else goes through as it is.
///
/// A server that a page of the inventory does not show is asked for by its id: lists may hide what is there. One that
/// it does show is marked as listed: its id was not asked for, so T1 does not hold of it yet. A look that has to be by id
/// alone is asked for by itself.
#[derive(Debug)]
pub struct Batched {
    inner: Arc<dyn ProviderClient>,
    owner: InstallationId,
    pages: Pages,
    memory: Mutex<Memory>,
    actions: Gather<Vec<ProviderActionId>, Shared<Vec<ActionView>>>,
    servers: Gather<ProviderServerId, Shared<Option<ServerView>>>,
}

/// Is what was seen; held for moments, never across an `await`.
#[derive(Debug)]
struct Memory {
    actions: Recent<ProviderActionId, Option<ActionView>>,
    servers: Recent<ProviderServerId, ServerView>,
    usual: Usual,
}

impl Batched {
    /// Wraps a client of this installation; what was seen counts for two thirds of the time between two looks.
    #[must_use]
    pub fn new(inner: Arc<dyn ProviderClient>, owner: InstallationId, timing: &Timing) -> Self {
        let fresh = timing.look_again / 3 * 2;
        let usual = Usual::new(timing.look_first, timing.look_again);
        let memory = Memory { actions: Recent::new(fresh), servers: Recent::new(fresh), usual };
        Self {
            inner,
            owner,
            pages: Pages::new(),
            memory: Mutex::new(memory),
            actions: Gather::new(WINDOW, MOST),
            servers: Gather::new(WINDOW, MOST),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn all_actions(
        &self,
        wanted: Vec<Vec<ProviderActionId>>,
        context: &RequestContext,
    ) -> Vec<Shared<Vec<ActionView>>> {
        let began = Instant::now();
        let (mut seen, failed) = self.ask_actions(self.actions_to_ask(&wanted), context).await;
        let mut memory = self.memory();
        for id in wanted.iter().flatten() {
            // What was not asked for had been seen before.
            if let Some(known) = memory.actions.give(id, began) {
                seen.entry(id.clone()).or_insert(known);
            }
        }
        let answer = |ids: &Vec<ProviderActionId>| match &failed {
            Some(error) if ids.iter().any(|id| !seen.contains_key(id)) => Err(error.clone()),
            _ => Ok(ids.iter().filter_map(|id| seen.get(id)?.clone()).collect()),
        };
        drop(memory);
        wanted.iter().map(answer).collect()
    }

    /// Returns the wanted actions that were not seen a moment ago, filled up to whole requests with other open ones.
    fn actions_to_ask(&self, wanted: &[Vec<ProviderActionId>]) -> Vec<ProviderActionId> {
        let (mut memory, now) = (self.memory(), Instant::now());
        let unseen = |memory: &Memory, id: &ProviderActionId| !memory.actions.has(id, now);
        let mut asked = BTreeSet::new();
        let mut ids: Vec<ProviderActionId> = wanted.iter().flatten().cloned().collect();
        ids.retain(|id| unseen(&memory, id) && asked.insert(id.clone()));
        let room = ids.len().next_multiple_of(ACTIONS_AT_ONCE) - ids.len();
        if room > 0 {
            let open = memory.usual.open_actions(MOST + ids.len());
            ids.extend(open.into_iter().filter(|id| unseen(&memory, id) && asked.insert(id.clone())).take(room));
        }
        ids
    }

    /// Asks for actions, one request after another up to the first failure; one that is not known is none.
    async fn ask_actions(&self, ids: Vec<ProviderActionId>, context: &RequestContext) -> (Seen, Option<SharedError>) {
        let end = Instant::now() + context.deadline;
        let mut all = Seen::new();
        for some in ids.chunks(ACTIONS_AT_ONCE) {
            let asked = Instant::now();
            let left = context.with_deadline(end.saturating_duration_since(asked));
            let answer = match self.inner.actions(some, &left).await {
                Ok(answer) => answer,
                Err(error) => return (all, Some(shared(&error))),
            };
            let mut answer: BTreeMap<ProviderActionId, ActionView> =
                answer.into_iter().map(|view| (view.id.clone(), view)).collect();
            let (mut memory, now) = (self.memory(), Instant::now());
            for id in some {
                let view = answer.remove(id);
                let counts = match view.as_ref().map(|view| &view.status) {
                    Some(ActionStatus::Succeeded) => {
                        memory.usual.action_ended(id, now);
                        Counts::Final
                    }
                    Some(ActionStatus::Running) => {
                        memory.usual.action_is_open(id, asked);
                        Counts::Now
                    }
                    Some(ActionStatus::Failed { .. }) => {
                        memory.usual.action_says_nothing(id);
                        Counts::Final
                    }
                    None => {
                        memory.usual.action_says_nothing(id);
                        Counts::Now
                    }
                };
                memory.actions.put(id.clone(), view.clone(), asked, counts);
                all.insert(id.clone(), view);
            }
        }
        (all, None)
    }

    async fn all_servers(
        &self,
        wanted: Vec<ProviderServerId>,
        context: &RequestContext,
    ) -> Vec<Shared<Option<ServerView>>> {
        // The pages and the single looks after them have to fit into the time of the one who asks for all.
        let context = &context.with_deadline(context.deadline / 3);
        let asked = Instant::now();
        // Looks at other new servers come next, and find what these pages show.
        let pages = {
            let usual = &mut self.memory().usual;
            let known = wanted.iter().filter_map(|id| usual.page(id)).collect();
            Most { wanted: &wanted, looks: wanted.len().max(usual.watched(asked)), known }
        };
        let listed = match self.pages.newest(self.inner.as_ref(), self.owner, &pages, context).await {
            Ok(listed) => listed,
            Err(error) => return vec![Err(shared(&error)); wanted.len()],
        };
        self.remember(listed.values(), asked, &wanted);
        let mut answers = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            let asked = some.iter().map(|id| async {
                match listed.get(id) {
                    Some(seen) => Ok(Some(seen.view.clone())),
                    None => self.ask(id, context).await.map_err(|error| shared(&error)),
                }
            });
            answers.extend(join_all(asked).await);
        }
        answers
    }

    async fn ask(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let asked = Instant::now();
        let seen = self.inner.get(id, context).await?;
        if let Some(view) = &seen {
            let usual = &mut self.memory().usual;
            if view.status == ServerStatus::Running {
                usual.is_running(id, Instant::now());
            } else {
                usual.is_open(id, asked);
            }
        }
        Ok(seen)
    }

    fn forget(&self, id: &ProviderServerId) {
        let mut memory = self.memory();
        memory.servers.forget(id);
        memory.usual.removed(id);
    }

    fn remember<'a>(&self, listed: impl Iterator<Item = &'a Listed>, asked: Instant, wanted: &[ProviderServerId]) {
        let (mut memory, now) = (self.memory(), Instant::now());
        // Of new servers alone: what is being removed is looked at anew each time.
        let watched: Vec<&Listed> = listed.filter(|it| memory.usual.watches(&it.view.id)).collect();
        for Listed { view, page } in watched {
            memory.usual.stands_on(&view.id, *page);
            let runs = view.status == ServerStatus::Running;
            if runs {
                memory.usual.is_running(&view.id, now);
            } else {
                memory.usual.is_open(&view.id, asked);
            }
            // Whoever wants it now is given it now.
            let counts = if runs && !wanted.contains(&view.id) { Counts::Once } else { Counts::Now };
            memory.servers.put(view.id.clone(), view.clone(), asked, counts);
        }
    }
}

fn shared(error: &ProviderError) -> SharedError {
    SharedError {
        kind: error.kind,
        code: error.code.clone(),
        correlation_id: error.correlation_id.clone(),
        service: error.service,
        retry_after: error.retry_after,
    }
}

impl From<SharedError> for ProviderError {
    fn from(error: SharedError) -> Self {
        let mut own = Self::new(error.kind, error.code).with_correlation_id(error.correlation_id);
        own.service = error.service;
        own.retry_after = error.retry_after;
        own
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for Batched {
    fn token_digest(&self) -> TokenDigest {
        self.inner.token_digest()
    }

    fn outlook(&self) -> Outlook {
        Outlook { usual_creates: self.memory().usual.published(), ..self.inner.outlook() }
    }

    async fn reserve(&self, effect: &Effect, context: RequestContext) -> Result<RequestContext, ProviderError> {
        self.inner.reserve(effect, context).await
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        let created = self.inner.create(request, context).await?;
        let usual = &mut self.memory().usual;
        usual.began(&created.server.id, &request.server_type, &created.actions, Instant::now());
        Ok(created)
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.inner.find(name, context).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        self.inner.find_labelled(owner, server, context).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        if context.by_id_alone {
            return self.ask(id, context).await;
        }
        if let Some(seen) = self.memory().servers.give(id, Instant::now()) {
            return Ok(Some(seen));
        }
        match self.servers.join(id.clone(), |wanted| self.all_servers(wanted, context)).await {
            Some(answer) => Ok(answer?),
            None => self.ask(id, context).await,
        }
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        self.forget(id);
        let deleted = self.inner.delete(id, context).await;
        // Whoever looked meanwhile may have seen it still.
        self.forget(id);
        deleted
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        let known: Option<Vec<Option<ActionView>>> = {
            let (mut memory, now) = (self.memory(), Instant::now());
            let all = ids.iter().all(|id| memory.actions.has(id, now));
            if all { ids.iter().map(|id| memory.actions.give(id, now)).collect() } else { None }
        };
        if let Some(known) = known {
            return Ok(known.into_iter().flatten().collect());
        }
        match self.actions.join(ids.to_vec(), |wanted| self.all_actions(wanted, context)).await {
            Some(answer) => Ok(answer?),
            None => self.inner.actions(ids, context).await,
        }
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let part = self.inner.inventory(owner, page, context).await?;
        if owner == self.owner {
            self.pages.saw(page, &part);
        }
        Ok(part)
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.inner.catalog(context).await
    }
}

#[cfg(test)]
#[path = "batched_tests.rs"]
mod tests;
