//! The client behind a budget: each call waits for its turn, or is told when to come back.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::state::{Sent, Want};
use super::{Budget, SetAside, Turned};
use crate::model::{Effect, InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest};
use crate::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, Outlook, Priority, ProviderClient,
    ProviderError, ProviderErrorKind, RequestContext, Reserved, ServerView, Service,
};

/// Requests that a refresh of the catalog takes at the least: types, locations, images, prices.
const CATALOG_COST: u32 = 4;

/// Is a client whose calls have to fit into the account's budget.
#[derive(Debug)]
pub struct Budgeted {
    inner: Arc<dyn ProviderClient>,
    budget: Arc<Budget>,
}

impl Budgeted {
    /// Puts a client behind a budget.
    #[must_use]
    pub fn new(inner: Arc<dyn ProviderClient>, budget: Arc<Budget>) -> Self {
        Self { inner, budget }
    }

    /// Refuses what would be held back behind us.
    fn check_open(&self, want: Want) -> Result<(), ProviderError> {
        let outlook = self.inner.outlook();
        let shut = outlook.shut.or(if want.is_create { outlook.creates_shut } else { None });
        shut.map_or(Ok(()), |shut| Err(ProviderError::held_back(shut.code, shut.retry_after)))
    }

    /// Waits for the turn of a call; returns the context with the time that is left.
    async fn turn(&self, want: Want, context: &RequestContext) -> Result<(Turned, RequestContext), ProviderError> {
        self.check_open(want)?;
        let began = Instant::now();
        let turned = self.budget.turn(want, context.deadline, || self.inner.outlook().pace).await?;
        Ok((turned, context.with_deadline(context.deadline.saturating_sub(began.elapsed()))))
    }

    /// Returns the turn that was set aside for an effect, or waits for one.
    async fn turn_of_effect(
        &self,
        want: Want,
        context: &RequestContext,
    ) -> Result<(Turned, RequestContext), ProviderError> {
        let ours = |aside: &SetAside| aside.is_for(&self.budget, want);
        match context.reserved.as_ref().and_then(|reserved| reserved.take(ours)).and_then(SetAside::into_turned) {
            Some(turned) => Ok((turned, context.clone())),
            None => self.turn(want, context).await,
        }
    }

    fn end<T>(&self, turned: Turned, result: Result<T, ProviderError>) -> Result<T, ProviderError> {
        let sent = match &result {
            Ok(_) => Sent::Done,
            Err(error) => match (error.kind, error.service) {
                (ProviderErrorKind::Throttled { retry_after }, _) => Sent::Throttled(retry_after),
                (_, Service::Unasked) => Sent::No,
                (_, Service::Answering) => Sent::Answered,
                (_, Service::Failing) => Sent::Unanswered,
            },
        };
        turned.ended(sent, self.inner.outlook().rate);
        result
    }
}

/// Returns what a read wants: its caller knows its priority, else its method does.
fn read(context: &RequestContext, usual: Priority) -> Want {
    Want { priority: context.priority.unwrap_or(usual), cost: 1, is_create: false }
}

/// Returns what an effect wants.
fn change(context: &RequestContext, is_create: bool) -> Want {
    Want { is_create, ..read(context, Priority::Change) }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for Budgeted {
    fn token_digest(&self) -> TokenDigest {
        self.inner.token_digest()
    }

    fn outlook(&self) -> Outlook {
        self.inner.outlook()
    }

    /// Takes the turn; what stands behind the budget is not asked.
    async fn reserve(&self, effect: &Effect, mut context: RequestContext) -> Result<RequestContext, ProviderError> {
        let is_create = matches!(effect, Effect::Create { .. });
        let want = change(&context, is_create);
        let aside = SetAside::new(self.turn(want, &context).await?.0);
        // Whoever waited while the provider went away would announce what is not sent.
        self.check_open(want)?;
        context.reserved = Some(Reserved::new(aside));
        Ok(context)
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        let (turned, context) = self.turn_of_effect(change(context, true), context).await?;
        self.end(turned, self.inner.create(request, &context).await)
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let (turned, context) = self.turn(read(context, Priority::Settle), context).await?;
        self.end(turned, self.inner.find(name, &context).await)
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let (turned, context) = self.turn(read(context, Priority::Settle), context).await?;
        self.end(turned, self.inner.find_labelled(owner, server, &context).await)
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        let (turned, context) = self.turn(read(context, Priority::Poll), context).await?;
        self.end(turned, self.inner.get(id, &context).await)
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        let (turned, context) = self.turn_of_effect(change(context, false), context).await?;
        self.end(turned, self.inner.delete(id, &context).await)
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        let (turned, context) = self.turn(read(context, Priority::Poll), context).await?;
        self.end(turned, self.inner.actions(ids, &context).await)
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let (turned, context) = self.turn(read(context, Priority::Sweep), context).await?;
        self.end(turned, self.inner.inventory(owner, page, &context).await)
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        let want = Want { cost: CATALOG_COST, ..read(context, Priority::Catalog) };
        let (turned, context) = self.turn(want, context).await?;
        self.end(turned, self.inner.catalog(&context).await)
    }
}
