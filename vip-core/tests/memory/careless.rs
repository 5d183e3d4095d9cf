//! Clients that each break one duty of `ProviderClient`: the case of that duty has to see it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use vip_core::conformance::{self, Lapse, ProviderFixture};
use vip_core::memory::MemoryProvider;
use vip_core::model::{
    Addresses, InstallationId, OWNER_LABEL, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest,
};
use vip_core::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    ProviderErrorKind, RequestContext, ServerStatus, ServerView,
};

use super::{CloudInMemory, provider_client_contract};

/// Is what a client does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vice {
    ListsNoState,
    ListsNoAddresses,
    ListsOneLabel,
    /// Takes a page for the one after that which was asked for last.
    FollowsACursor,
    /// Begins anew beyond the end.
    StartsOver,
    /// Takes what is no answer to this look for "there is none"; so do the next four.
    NoneById,
    NoneByName,
    NoneByLabels,
    NoneListed,
    NoActions,
    /// Digests the token of its session.
    DigestsASession,
}

#[derive(Debug)]
struct Careless {
    cloud: CloudInMemory,
    vice: Vice,
    page: AtomicU32,
    session: AtomicU32,
}

impl Careless {
    fn new(vice: Vice) -> Self {
        Self {
            cloud: CloudInMemory(MemoryProvider::new(Duration::ZERO)),
            vice,
            page: AtomicU32::new(0),
            session: AtomicU32::new(0),
        }
    }

    fn listed(&self, mut view: ServerView) -> ServerView {
        match self.vice {
            Vice::ListsNoState => view.status = ServerStatus::Other,
            Vice::ListsNoAddresses => view.addresses = Addresses::default(),
            Vice::ListsOneLabel => view.labels.retain(|key, _| key == OWNER_LABEL),
            Vice::FollowsACursor
            | Vice::StartsOver
            | Vice::NoneById
            | Vice::NoneByName
            | Vice::NoneByLabels
            | Vice::NoneListed
            | Vice::NoActions
            | Vice::DigestsASession => {}
        }
        view
    }

    /// Returns nothing for what is no answer, if that is its vice.
    fn silenced<T>(&self, vice: Vice, answer: Result<T, ProviderError>, nothing: T) -> Result<T, ProviderError> {
        match answer {
            Err(_) if self.vice == vice => Ok(nothing),
            answer => answer,
        }
    }
}

#[async_trait]
impl ProviderClient for Careless {
    fn token_digest(&self) -> TokenDigest {
        let session = self.session.load(Ordering::Relaxed);
        let is_of_session = self.vice == Vice::DigestsASession;
        if is_of_session { TokenDigest::of(&format!("session {session}")) } else { self.cloud.0.token_digest() }
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        let mut created = self.cloud.0.create(request, context).await?;
        if self.vice == Vice::NoActions {
            let action = ProviderActionId::new(created.server.id.as_str()).unwrap();
            self.cloud.0.put_actions([action.clone()]);
            created.actions.push(action);
        }
        Ok(created)
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.silenced(Vice::NoneByName, self.cloud.0.find(name, context).await, None)
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let answer = self.cloud.0.find_labelled(owner, server, context).await;
        self.silenced(Vice::NoneByLabels, answer, Vec::new())
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.silenced(Vice::NoneById, self.cloud.0.get(id, context).await, None)
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        self.cloud.0.delete(id, context).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        self.silenced(Vice::NoActions, self.cloud.0.actions(ids, context).await, Vec::new())
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let is_in_turn = page == 1 || page == self.page.load(Ordering::Relaxed) + 1;
        self.page.store(page, Ordering::Relaxed);
        if self.vice == Vice::FollowsACursor && !is_in_turn {
            return Err(ProviderError::new(ProviderErrorKind::Bug, "no_such_cursor"));
        }
        let answer = self.cloud.0.inventory(owner, page, context).await;
        let mut part = self.silenced(Vice::NoneListed, answer, InventoryPage { servers: Vec::new(), next: None })?;
        if self.vice == Vice::StartsOver && part.servers.is_empty() {
            part.servers = self.cloud.0.inventory(owner, 1, context).await?.servers;
        }
        part.servers = part.servers.into_iter().map(|view| self.listed(view)).collect();
        Ok(part)
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.cloud.0.catalog(context).await
    }
}

#[async_trait]
impl ProviderFixture for Careless {
    fn client(&self) -> &dyn ProviderClient {
        self
    }

    fn order(&self) -> CreateRequest {
        self.cloud.order()
    }

    async fn next_create(&self, lapse: Lapse) {
        self.cloud.next_create(lapse).await;
    }

    async fn next_delete(&self, lapse: Lapse) {
        self.cloud.next_delete(lapse).await;
    }

    async fn next_look(&self, lapse: Lapse) {
        self.cloud.next_look(lapse).await;
    }

    async fn end_session(&self) {
        self.session.fetch_add(1, Ordering::Relaxed);
    }

    async fn names(&self) -> Vec<String> {
        self.cloud.names().await
    }

    async fn creates_seen(&self) -> u64 {
        self.cloud.creates_seen().await
    }
}

fn fails(vice: Vice, name: &str) -> bool {
    let (_, case) = provider_client_contract::CASES.iter().find(|(known, _)| *known == name).unwrap();
    let client = Careless::new(vice);
    catch_unwind(AssertUnwindSafe(|| conformance::run(case(&client)))).is_err()
}

#[test]
fn each_duty_that_a_client_breaks_is_seen_by_its_case() {
    for (vice, case) in [
        (Vice::ListsNoState, "a_list_shows_what_a_look_by_id_shows"),
        (Vice::ListsNoAddresses, "a_list_shows_what_a_look_by_id_shows"),
        (Vice::ListsOneLabel, "a_list_shows_what_a_look_by_id_shows"),
        (Vice::FollowsACursor, "any_page_may_be_asked_for_at_any_time"),
        (Vice::StartsOver, "any_page_may_be_asked_for_at_any_time"),
        (Vice::NoneById, "a_look_without_an_answer_is_an_error"),
        (Vice::NoneByName, "a_look_without_an_answer_is_an_error"),
        (Vice::NoneByLabels, "a_look_without_an_answer_is_an_error"),
        (Vice::NoneListed, "a_look_without_an_answer_is_an_error"),
        (Vice::NoActions, "a_look_without_an_answer_is_an_error"),
        (Vice::DigestsASession, "the_digest_stays"),
    ] {
        assert!(fails(vice, case), "{vice:?} passes {case}");
    }
}
