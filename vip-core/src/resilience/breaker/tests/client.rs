//! The client behind a breaker: what is sent, what is not, and what it says.

use super::*;
use crate::memory::{MemoryProvider, ProviderFault, ProviderMethod};
use crate::model::{InstallationId, ProviderServerId, ServerId};
use crate::ports::{ProviderClient, ProviderError, ProviderErrorKind, RequestContext, Service};
use crate::resilience::Guarded;
use crate::resilience::breaker::{BreakerMode, BreakerState};
use crate::telemetry::unwritable::unwritable;

pub(super) struct Cloud {
    pub(super) provider: MemoryProvider,
    pub(super) breaker: Arc<Breaker>,
    pub(super) client: Guarded,
}

pub(super) fn cloud() -> Cloud {
    let provider = MemoryProvider::default();
    let breaker = Arc::new(breaker());
    let owner = InstallationId::from_uuid(uuid::Uuid::from_u128(1));
    let client = Guarded::new(Arc::new(provider.clone()), breaker.clone(), owner);
    Cloud { provider, breaker, client }
}

impl Cloud {
    fn fails(&self, times: usize, kind: ProviderErrorKind) {
        (0..times).for_each(|_| self.provider.fail_next(ProviderMethod::Get, ProviderFault::Refuse(kind)));
    }

    pub(super) async fn get(&self) -> Result<bool, ProviderError> {
        let id = ProviderServerId::new("1").unwrap();
        let context = RequestContext::new(seconds(30));
        self.client.get(&id, &context).await.map(|seen| seen.is_some())
    }

    async fn open(&self) {
        self.fails(5, ProviderErrorKind::Unknown);
        for _ in 0..5 {
            assert_eq!(self.get().await.unwrap_err().kind, ProviderErrorKind::Unknown);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_is_open_nothing_is_sent_and_every_refusal_says_why_and_until_when() {
    let cloud = cloud();
    cloud.open().await;
    let error = cloud.get().await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ProviderErrorKind::NotSent, "breaker_open"));
    assert_eq!(error.service, Service::Unasked);
    let retry_after = error.retry_after.unwrap();
    assert!(retry_after >= seconds(30) && retry_after <= seconds(33), "{retry_after:?}");
    let shut = cloud.client.outlook().shut.unwrap();
    assert_eq!((shut.code, shut.retry_after), ("breaker_open", retry_after));
    assert_eq!(cloud.provider.calls(ProviderMethod::Get), 5);
}

#[tokio::test(start_paused = true)]
async fn after_the_open_time_one_cheap_read_goes_first_and_then_the_call() {
    let cloud = cloud();
    cloud.open().await;
    tokio::time::advance(seconds(34)).await;
    assert!(!cloud.get().await.unwrap());
    assert_eq!((cloud.provider.calls(ProviderMethod::Find), cloud.provider.calls(ProviderMethod::Get)), (1, 6));
    assert!(matches!(cloud.breaker.view().state, BreakerState::Easing { creates: Some(1) }));
    let pace = cloud.client.outlook().pace.unwrap();
    assert_eq!((pace.percent, pace.full_after), (15, seconds(90)));
    tokio::time::advance(seconds(60)).await;
    assert_eq!(cloud.client.outlook().pace.unwrap().percent, 50);
    tokio::time::advance(seconds(30)).await;
    assert_eq!(cloud.client.outlook().pace, None);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_takes_no_call_its_answer() {
    let _log = unwritable();
    let cloud = cloud();
    cloud.open().await;
    assert_eq!(cloud.get().await.unwrap_err().code, "breaker_open");
    tokio::time::advance(seconds(34)).await;
    assert!(!cloud.get().await.unwrap());
    cloud.breaker.set_mode(BreakerMode::ForcedOpen);
    assert!(cloud.get().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_sends_nothing_else() {
    let cloud = cloud();
    cloud.open().await;
    tokio::time::advance(seconds(34)).await;
    cloud.provider.fail_next(ProviderMethod::Find, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    assert_eq!(cloud.get().await.unwrap_err().code, "breaker_open");
    assert_eq!((cloud.provider.calls(ProviderMethod::Find), cloud.provider.calls(ProviderMethod::Get)), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_during_its_probe_leaves_the_probe_to_the_next() {
    let breaker = breaker();
    for _ in 0..5 {
        permit(&breaker, Scope::All).record(Outcome::Failed);
    }
    tokio::time::advance(seconds(34)).await;
    let Admission::ProbeFirst(probe) = breaker.admit(Scope::All) else { panic!("no probe") };
    assert!(matches!(breaker.admit(Scope::All), Admission::Refused(_)));
    drop(probe);
    assert!(matches!(breaker.admit(Scope::All), Admission::ProbeFirst(_)));
}

#[tokio::test(start_paused = true)]
async fn mistakes_of_the_caller_throttling_and_stock_never_open_it() {
    let throttled = ProviderErrorKind::Throttled { retry_after: seconds(1) };
    for kind in [
        throttled,
        ProviderErrorKind::Busy,
        ProviderErrorKind::Exhausted,
        ProviderErrorKind::AlreadyExists,
        ProviderErrorKind::InvalidInput,
        ProviderErrorKind::Placement,
        ProviderErrorKind::Protected,
        ProviderErrorKind::AccountLimit,
        ProviderErrorKind::Unauthorized,
        ProviderErrorKind::ReadOnly,
        ProviderErrorKind::Bug,
    ] {
        let cloud = cloud();
        cloud.fails(100, kind);
        for _ in 0..100 {
            assert_eq!(cloud.get().await.unwrap_err().kind, kind);
        }
    }
}

#[derive(Debug)]
struct Silent(MemoryProvider);

#[async_trait::async_trait]
impl ProviderClient for Silent {
    fn token_digest(&self) -> crate::model::TokenDigest {
        self.0.token_digest()
    }
    async fn create(
        &self,
        request: &crate::ports::CreateRequest,
        context: &RequestContext,
    ) -> Result<crate::ports::Created, ProviderError> {
        self.0.create(request, context).await
    }
    async fn find(
        &self,
        name: &crate::model::ProviderName,
        context: &RequestContext,
    ) -> Result<Option<crate::ports::ServerView>, ProviderError> {
        self.0.find(name, context).await
    }
    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<crate::ports::ServerView>, ProviderError> {
        self.0.find_labelled(owner, server, context).await
    }
    async fn get(
        &self,
        _id: &ProviderServerId,
        context: &RequestContext,
    ) -> Result<Option<crate::ports::ServerView>, ProviderError> {
        let waits = tokio::time::timeout(context.deadline, std::future::pending::<()>());
        waits.await.map_err(|late| ProviderError::new(ProviderErrorKind::Unknown, "deadline").with_source(late))?;
        Ok(None)
    }
    async fn delete(
        &self,
        id: &ProviderServerId,
        context: &RequestContext,
    ) -> Result<crate::ports::Deletion, ProviderError> {
        self.0.delete(id, context).await
    }
    async fn actions(
        &self,
        ids: &[crate::model::ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<crate::ports::ActionView>, ProviderError> {
        self.0.actions(ids, context).await
    }
    async fn inventory(
        &self,
        owner: InstallationId,
        page: u32,
        context: &RequestContext,
    ) -> Result<crate::ports::InventoryPage, ProviderError> {
        self.0.inventory(owner, page, context).await
    }
    async fn catalog(&self, context: &RequestContext) -> Result<crate::ports::Catalog, ProviderError> {
        self.0.catalog(context).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_hurry_does_not_open_it_and_a_patient_one_that_waits_in_vain_does() {
    for (deadline, opens) in [(seconds(4), false), (seconds(5), true)] {
        let breaker = Arc::new(breaker());
        let owner = InstallationId::from_uuid(uuid::Uuid::from_u128(1));
        let client = Guarded::new(Arc::new(Silent(MemoryProvider::default())), breaker.clone(), owner);
        let id = ProviderServerId::new("1").unwrap();
        for _ in 0..5 {
            assert!(client.get(&id, &RequestContext::new(deadline)).await.is_err());
        }
        assert_eq!(matches!(breaker.view().state, BreakerState::Open { .. }), opens, "{deadline:?}");
    }
}
