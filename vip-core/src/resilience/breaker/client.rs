//! The client behind a breaker: what is not let through is not sent, and says why and until when.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Admission, Breaker, Outcome, Permit, Refused, Scope};
use crate::model::{Effect, InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest};
use crate::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, Outlook, Priority, ProviderClient,
    ProviderError, ProviderErrorKind, RequestContext, ServerView, Service,
};

/// Times that a call asks for its admission: once, and again after its probe and after another's.
const TRIES: u32 = 3;

/// Is a client whose calls ask a breaker first and tell it how they ended.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn ProviderClient>,
    breaker: Arc<Breaker>,
    owner: InstallationId,
}

/// Is a call that was let through, with the time that is left for it.
struct Entered<'a> {
    permit: Permit<'a>,
    context: RequestContext,
    began: Instant,
}

impl Guarded {
    /// Puts a client behind a breaker; the installation is what its probe asks for.
    #[must_use]
    pub fn new(inner: Arc<dyn ProviderClient>, breaker: Arc<Breaker>, owner: InstallationId) -> Self {
        Self { inner, breaker, owner }
    }

    async fn enter(&self, scope: Scope, context: &RequestContext) -> Result<Entered<'_>, ProviderError> {
        self.enter_at(&self.breaker, scope, context).await
    }

    async fn enter_at<'a>(
        &self,
        breaker: &'a Breaker,
        scope: Scope,
        context: &RequestContext,
    ) -> Result<Entered<'a>, ProviderError> {
        let end = Instant::now() + context.deadline;
        for _ in 0..TRIES {
            match breaker.admit(scope) {
                Admission::Go(permit) => {
                    let began = Instant::now();
                    let context = context.with_deadline(end.saturating_duration_since(began));
                    return Ok(Entered { permit, context, began });
                }
                Admission::ProbeFirst(permit) => self.probe(permit, end, context).await,
                Admission::Refused(Refused { why, retry_after }) => {
                    return Err(ProviderError::held_back(why.code(), retry_after));
                }
            }
        }
        Err(ProviderError::held_back("breaker_busy", self.breaker.settings().open_first))
    }

    /// Asks for the servers of a record that does not exist: a read with an empty answer, on any account.
    async fn probe(&self, permit: Permit<'_>, end: Instant, context: &RequestContext) {
        let left = end.saturating_duration_since(Instant::now());
        let deadline = self.breaker.settings().probe_deadline.min(left);
        let request = context.with_deadline(deadline).with_priority(Priority::Settle);
        let nobody = ServerId::from_uuid(uuid::Uuid::nil());
        let answer = tokio::time::timeout(deadline, self.inner.find_labelled(self.owner, nobody, &request)).await;
        permit.record(match answer {
            Ok(Ok(_)) => Outcome::Answered,
            Ok(Err(error)) => match (error.kind, error.service) {
                // Whoever limits requests is there.
                (ProviderErrorKind::Throttled { .. }, _) | (_, Service::Answering) => Outcome::Answered,
                (_, Service::Failing) => Outcome::Failed,
                (_, Service::Unasked) => Outcome::Neutral,
            },
            // A caller in a hurry proves nothing. One with the usual deadline has always lost a little of it on the way.
            Err(_) if deadline < self.breaker.settings().probe_deadline / 2 => Outcome::Neutral,
            Err(_) => Outcome::Failed,
        });
    }

    fn leave<T>(&self, entered: Entered<'_>, result: Result<T, ProviderError>) -> Result<T, ProviderError> {
        let outcome = self.outcome(&entered, &result);
        entered.permit.record(outcome);
        result
    }

    fn outcome<T>(&self, entered: &Entered<'_>, result: &Result<T, ProviderError>) -> Outcome {
        match result {
            Ok(_) => Outcome::Answered,
            Err(error) => match error.service {
                Service::Answering => Outcome::Answered,
                Service::Unasked => Outcome::Neutral,
                Service::Failing => {
                    // The caller's own short deadline is no sign of an outage.
                    let cut = entered.began.elapsed() >= entered.context.deadline;
                    let hurried = entered.context.deadline < self.breaker.settings().slow_call / 2;
                    if cut && hurried { Outcome::Neutral } else { Outcome::Failed }
                }
            },
        }
    }

    /// Says what a create tells of its account and what of its location: a failure or slowness of one that was sent counts in the location
    /// alone, for the look that follows it tells of all others; one that was not sent says nothing of a location.
    fn outcomes(&self, entered: &Entered<'_>, result: &Result<Created, ProviderError>) -> (Outcome, Outcome) {
        let was_sent = !matches!(result, Err(error) if error.kind == ProviderErrorKind::NotSent);
        match self.outcome(entered, result) {
            Outcome::Failed if was_sent => (Outcome::Neutral, Outcome::Failed),
            Outcome::Failed => (Outcome::Failed, Outcome::Neutral),
            Outcome::Answered if entered.began.elapsed() >= self.breaker.settings().slow_call => {
                (Outcome::Neutral, Outcome::Answered)
            }
            both @ (Outcome::Answered | Outcome::Neutral) => (both, both),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for Guarded {
    fn token_digest(&self) -> TokenDigest {
        self.inner.token_digest()
    }

    fn outlook(&self) -> Outlook {
        let mut outlook = self.inner.outlook();
        self.breaker.add_to(&mut outlook);
        outlook
    }

    async fn reserve(&self, effect: &Effect, context: RequestContext) -> Result<RequestContext, ProviderError> {
        self.inner.reserve(effect, context).await
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        // First the account: while it is held back nobody asks for a location either.
        let entered = self.enter(Scope::Creates, context).await?;
        let Some(place) = self.breaker.at(&request.location) else {
            let result = self.inner.create(request, &entered.context).await;
            return self.leave(entered, result);
        };
        let there = self.enter_at(&place, Scope::Creates, &entered.context).await?;
        let result = self.inner.create(request, &there.context).await;
        let (of_account, of_place) = self.outcomes(&there, &result);
        there.permit.record(of_place);
        entered.permit.record(of_account);
        result
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.find(name, &entered.context).await;
        self.leave(entered, result)
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.find_labelled(owner, server, &entered.context).await;
        self.leave(entered, result)
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.get(id, &entered.context).await;
        self.leave(entered, result)
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.delete(id, &entered.context).await;
        self.leave(entered, result)
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.actions(ids, &entered.context).await;
        self.leave(entered, result)
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.inventory(owner, page, &entered.context).await;
        self.leave(entered, result)
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        let entered = self.enter(Scope::All, context).await?;
        let result = self.inner.catalog(&entered.context).await;
        self.leave(entered, result)
    }
}
