//! Lets looks of many servers share one request: actions by their ids, servers by a page of the inventory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::gather::Gather;
use crate::model::{InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest};
use crate::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    ProviderErrorKind, RequestContext, ServerView,
};

/// How long a look waits for others: far below the time between two looks at one server.
const WINDOW: Duration = Duration::from_millis(50);
/// Most calls that share one request.
const MOST: usize = 500;
/// Servers that the inventory does not show and that are asked for at the same time.
const AT_ONCE: usize = 8;

/// Is an error that several callers get; its cause is told to the first alone.
#[derive(Debug, Clone)]
struct SharedError {
    kind: ProviderErrorKind,
    code: String,
    correlation_id: Option<String>,
}

type Shared<T> = Result<T, SharedError>;

/// Is a client whose looks share requests; everything else goes through as it is.
///
/// A server that a page of the inventory does not show is asked for by its id: lists may hide what is there. One that
/// it does show is marked as listed: its id was not asked for, so T1 does not hold of it yet.
#[derive(Debug)]
pub struct Batched {
    inner: Arc<dyn ProviderClient>,
    owner: InstallationId,
    /// Whether the inventory was seen not to fit on one page.
    many_pages: AtomicBool,
    actions: Gather<Vec<ProviderActionId>, Shared<Vec<ActionView>>>,
    servers: Gather<ProviderServerId, Shared<Option<ServerView>>>,
}

impl Batched {
    /// Wraps a client of this installation.
    #[must_use]
    pub fn new(inner: Arc<dyn ProviderClient>, owner: InstallationId) -> Self {
        Self {
            inner,
            owner,
            many_pages: AtomicBool::new(false),
            actions: Gather::new(WINDOW, MOST),
            servers: Gather::new(WINDOW, MOST),
        }
    }

    async fn all_actions(
        &self,
        wanted: Vec<Vec<ProviderActionId>>,
        context: &RequestContext,
    ) -> Vec<Shared<Vec<ActionView>>> {
        let ids: Vec<ProviderActionId> = wanted.iter().flatten().cloned().collect();
        match self.inner.actions(&ids, context).await {
            Ok(seen) => {
                wanted.iter().map(|ids| Ok(seen.iter().filter(|a| ids.contains(&a.id)).cloned().collect())).collect()
            }
            Err(error) => vec![Err(shared(&error)); wanted.len()],
        }
    }

    async fn all_servers(
        &self,
        wanted: Vec<ProviderServerId>,
        context: &RequestContext,
    ) -> Vec<Shared<Option<ServerView>>> {
        // The page and the single looks after it have to fit into the time of the one who asks for all.
        let context = &RequestContext { deadline: context.deadline / 3, ..context.clone() };
        let listed = match self.listed(wanted.len(), context).await {
            Ok(listed) => listed,
            Err(error) => return vec![Err(shared(&error)); wanted.len()],
        };
        let mut answers = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            let asked = some.iter().map(|id| async {
                match listed.get(id) {
                    Some(seen) => Ok(Some(ServerView { is_listed: true, ..seen.clone() })),
                    None => self.inner.get(id, context).await.map_err(|error| shared(&error)),
                }
            });
            answers.extend(join_all(asked).await);
        }
        answers
    }

    /// Reads the inventory if several looks can share it and it fits on one page: new servers stand on the last one.
    async fn listed(
        &self,
        looks: usize,
        context: &RequestContext,
    ) -> Result<BTreeMap<ProviderServerId, ServerView>, ProviderError> {
        if looks < 2 || self.many_pages.load(Ordering::Relaxed) {
            return Ok(BTreeMap::new());
        }
        let part = self.inner.inventory(self.owner, 1, context).await?;
        self.many_pages.store(part.next.is_some(), Ordering::Relaxed);
        Ok(part.servers.into_iter().map(|seen| (seen.id.clone(), seen)).collect())
    }
}

fn shared(error: &ProviderError) -> SharedError {
    SharedError { kind: error.kind, code: error.code.clone(), correlation_id: error.correlation_id.clone() }
}

impl From<SharedError> for ProviderError {
    fn from(error: SharedError) -> Self {
        Self::new(error.kind, error.code).with_correlation_id(error.correlation_id)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for Batched {
    fn token_digest(&self) -> TokenDigest {
        self.inner.token_digest()
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        self.inner.create(request, context).await
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
        match self.servers.join(id.clone(), |wanted| self.all_servers(wanted, context)).await {
            Some(answer) => Ok(answer?),
            None => self.inner.get(id, context).await,
        }
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        self.inner.delete(id, context).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
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
        self.inner.inventory(owner, page, context).await
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.inner.catalog(context).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryProvider, ProviderMethod};
    use crate::model::{Labels, OWNER_LABEL};

    fn owner() -> InstallationId {
        InstallationId::from_uuid(uuid::Uuid::from_u128(1))
    }

    fn context() -> RequestContext {
        RequestContext::new(Duration::from_secs(30))
    }

    /// Makes a cloud with so many servers of ours, one foreign one, and a batching client of it.
    fn cloud(count: u32) -> (MemoryProvider, Batched, Vec<ProviderServerId>) {
        let provider = MemoryProvider::default();
        let labels = Labels::from([(OWNER_LABEL.to_owned(), owner().to_string())]);
        let ids = (0..count).map(|n| provider.put(format!("s{n}"), labels.clone()).unwrap()).collect();
        let batched = Batched::new(Arc::new(provider.clone()), owner());
        (provider, batched, ids)
    }

    #[tokio::test(start_paused = true)]
    async fn looks_at_many_servers_share_one_page_and_a_hidden_one_is_asked_for_by_its_id() {
        let (provider, batched, mut ids) = cloud(30);
        let gone = ProviderServerId::new("999").unwrap();
        ids.push(gone.clone());
        let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context()).await.unwrap() })).await;
        for (id, answer) in ids.iter().zip(answers) {
            assert_eq!(answer.map(|seen| seen.id), Some(id.clone()).filter(|id| id != &gone));
        }
        assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_page_shows_is_marked_as_listed_and_what_was_asked_for_by_its_id_is_not() {
        let (_, batched, ids) = cloud(2);
        let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context()).await.unwrap() })).await;
        assert!(answers.into_iter().flatten().all(|seen| seen.is_listed));
        assert!(!batched.get(&ids[0], &context()).await.unwrap().unwrap().is_listed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_look_asks_for_itself() {
        let (provider, batched, ids) = cloud(3);
        let context = context();
        assert!(batched.get(&ids[0], &context).await.unwrap().is_some());
        assert_eq!((provider.calls(ProviderMethod::Inventory), provider.calls(ProviderMethod::Get)), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn actions_share_one_request_and_each_look_gets_its_own() {
        let (provider, batched, _) = cloud(0);
        let id = |n: u32| ProviderActionId::new(n.to_string()).unwrap();
        provider.put_actions((0..200).map(id));
        let looks = (0..10).map(|n| {
            let batched = &batched;
            async move { batched.actions(&[id(n), id(n + 100)], &context()).await.unwrap() }
        });
        for (n, seen) in join_all(looks).await.into_iter().enumerate() {
            let n = u32::try_from(n).unwrap();
            assert_eq!(seen.into_iter().map(|a| a.id).collect::<Vec<_>>(), [id(n), id(n + 100)]);
        }
        assert_eq!(provider.calls(ProviderMethod::Actions), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_request_is_told_to_all_and_shows_nothing_as_absent() {
        let (provider, batched, ids) = cloud(5);
        let fault = crate::memory::ProviderFault::Refuse(ProviderErrorKind::Unknown);
        provider.fail_next(ProviderMethod::Inventory, fault);
        let answers = join_all(ids.iter().map(|id| async { batched.get(id, &context()).await })).await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|e| e.kind == ProviderErrorKind::Unknown)));
    }
}
