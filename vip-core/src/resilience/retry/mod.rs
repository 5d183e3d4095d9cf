//! Retry and deadline: no call outlives its deadline, and what is safe to repeat is repeated a little, within it.
//!
//! Reads are safe. An effect is sent once: only if it is certain that it never left is it tried again here; everything
//! else goes back to converge, which looks first.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::model::{Effect, InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest};
use crate::ports::{
    ActionView, Catalog, CreateRequest, Created, Deletion, InventoryPage, Outlook, ProviderClient, ProviderError,
    ProviderErrorKind, Randomness, RequestContext, ServerView, Service,
};
use crate::telemetry;

/// Most repeats that may be saved up.
const CREDIT_MOST: u32 = 50;
/// What a repeat costs; a call that goes well brings one: one repeat in ten calls, in the long run.
const REPEAT_COST: u32 = 10;

/// Says how often and how soon a call is repeated before it goes back to whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Repeats of one call. Default 2, at most 10; 0 repeats nothing.
    pub repeats: u32,
    /// Longest pause before the first repeat; doubles, each with full jitter. Default 200 ms; more than a minute counts as one.
    pub pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { repeats: 2, pause: Duration::from_millis(200) }
    }
}

/// Most repeats of one call that a policy may ask for.
const REPEATS_MOST: u32 = 10;

/// Longest first pause that a policy may ask for.
const PAUSE_MOST: Duration = Duration::from_secs(60);

/// Says what a call is, as far as repeating it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Effect,
    /// Nobody waits for it: the next refresh is its repeat.
    Refresh,
}

impl Kind {
    /// Says whether a call that failed like this may be sent again.
    fn may_repeat(self, error: &ProviderError) -> bool {
        // What was held back in this process comes back when it was told to, not at once.
        error.service == Service::Failing
            && match self {
                Self::Read => true,
                Self::Effect => error.kind == ProviderErrorKind::NotSent,
                Self::Refresh => false,
            }
    }
}

/// Is a client that holds calls to their deadlines and repeats what is safe.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn ProviderClient>,
    policy: RetryPolicy,
    credit: AtomicU32,
    randomness: Arc<dyn Randomness>,
}

impl Retrying {
    /// Wraps a client.
    #[must_use]
    pub fn new(inner: Arc<dyn ProviderClient>, policy: RetryPolicy, randomness: Arc<dyn Randomness>) -> Self {
        Self { inner, policy, credit: AtomicU32::new(CREDIT_MOST), randomness }
    }

    /// Makes a call, and again as far as policy, credit and deadline allow.
    async fn call<T, F, R>(&self, kind: Kind, context: &RequestContext, mut call: F) -> Result<T, ProviderError>
    where
        F: FnMut(RequestContext) -> R + Send,
        R: Future<Output = Result<T, ProviderError>> + Send,
        T: Send,
    {
        let end = Instant::now() + context.deadline;
        let mut pause = self.policy.pause.min(PAUSE_MOST);
        let mut repeats = self.policy.repeats.min(REPEATS_MOST);
        loop {
            let began = Instant::now();
            let left = end.saturating_duration_since(began);
            if left.is_zero() {
                let error = ProviderError::new(ProviderErrorKind::NotSent, "no_time_left");
                return Err(error.with_service(Service::Unasked));
            }
            // Whatever the client does: what was sent by then may have been applied.
            let late = |_| Err(ProviderError::new(ProviderErrorKind::Unknown, "deadline"));
            let answer = tokio::time::timeout(left, call(context.with_deadline(left))).await.unwrap_or_else(late);
            let error = match answer {
                Ok(value) => {
                    self.earn();
                    return Ok(value);
                }
                Err(error) => error,
            };
            let wait = pause.mul_f64(self.randomness.share());
            let took = began.elapsed();
            // A repeat that takes as long as this one did has to fit as well.
            let fits = Instant::now() + wait + took < end;
            if repeats == 0 || !kind.may_repeat(&error) || !fits || !self.spend() {
                return Err(error);
            }
            repeats -= 1;
            telemetry::tell(|| tracing::debug!(code = error.code.as_str(), "provider call is repeated"));
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    fn earn(&self) {
        // Calls that end together may go over the bound by as many as they are.
        if self.credit.load(Ordering::Relaxed) < CREDIT_MOST {
            self.credit.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn spend(&self) -> bool {
        let less = |credit: u32| credit.checked_sub(REPEAT_COST);
        self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ProviderClient for Retrying {
    fn token_digest(&self) -> TokenDigest {
        self.inner.token_digest()
    }

    fn outlook(&self) -> Outlook {
        self.inner.outlook()
    }

    async fn reserve(&self, effect: &Effect, context: RequestContext) -> Result<RequestContext, ProviderError> {
        self.inner.reserve(effect, context).await
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        self.call(Kind::Effect, context, |context| async move { self.inner.create(request, &context).await }).await
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.call(Kind::Read, context, |context| async move { self.inner.find(name, &context).await }).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        let call = |context| async move { self.inner.find_labelled(owner, server, &context).await };
        self.call(Kind::Read, context, call).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.call(Kind::Read, context, |context| async move { self.inner.get(id, &context).await }).await
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        self.call(Kind::Effect, context, |context| async move { self.inner.delete(id, &context).await }).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        self.call(Kind::Read, context, |context| async move { self.inner.actions(ids, &context).await }).await
    }

    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        let call = |context| async move { self.inner.inventory(owner, page, &context).await };
        self.call(Kind::Read, context, call).await
    }

    async fn catalog(&self, context: &RequestContext) -> Result<Catalog, ProviderError> {
        self.call(Kind::Refresh, context, |context| async move { self.inner.catalog(&context).await }).await
    }
}

#[cfg(test)]
mod tests;
