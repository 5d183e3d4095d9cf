//! A provider that answers late or never: the delay is told as the provider's, and a long sweep comes to its end.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::Level;
use vip_core::Provisioner;
use vip_core::memory::{MemoryProvider, memory_backend};
use vip_core::model::{
    AccountId, Gate, InstallationId, ProviderActionId, ProviderName, ProviderServerId, ServerId, TokenDigest,
};
use vip_core::ports::{
    ActionView, Backend, Catalog, CreateRequest, Created, Deletion, InventoryPage, ProviderClient, ProviderError,
    RequestContext, ServerView,
};
use vip_http::limits;
use vip_tests::lines::Lines;
use vip_tests::site::pause;

use crate::app::{Answer, StillApp, json_request};

/// Is a cloud whose inventory has so many pages, each of which takes its time, and whose catalog never comes.
#[derive(Debug)]
struct Slow {
    cloud: MemoryProvider,
    pages: u32,
    page_time: Duration,
}

#[async_trait]
impl ProviderClient for Slow {
    fn token_digest(&self) -> TokenDigest {
        self.cloud.token_digest()
    }

    async fn create(&self, request: &CreateRequest, context: &RequestContext) -> Result<Created, ProviderError> {
        self.cloud.create(request, context).await
    }

    async fn find(&self, name: &ProviderName, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.cloud.find(name, context).await
    }

    async fn find_labelled(
        &self,
        owner: InstallationId,
        server: ServerId,
        context: &RequestContext,
    ) -> Result<Vec<ServerView>, ProviderError> {
        self.cloud.find_labelled(owner, server, context).await
    }

    async fn get(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Option<ServerView>, ProviderError> {
        self.cloud.get(id, context).await
    }

    async fn delete(&self, id: &ProviderServerId, context: &RequestContext) -> Result<Deletion, ProviderError> {
        self.cloud.delete(id, context).await
    }

    async fn actions(
        &self,
        ids: &[ProviderActionId],
        context: &RequestContext,
    ) -> Result<Vec<ActionView>, ProviderError> {
        self.cloud.actions(ids, context).await
    }

    async fn inventory(
        &self,
        _owner: InstallationId,
        page: u32,
        _context: &RequestContext,
    ) -> Result<InventoryPage, ProviderError> {
        pause(self.page_time).await;
        Ok(InventoryPage { servers: Vec::new(), next: (page < self.pages).then(|| page + 1) })
    }

    async fn catalog(&self, _context: &RequestContext) -> Result<Catalog, ProviderError> {
        std::future::pending().await
    }
}

/// Makes an API whose account is open and answers so slowly, and whose handlers may take so long.
async fn slow(pages: u32, page_time: Duration, limit: Duration) -> StillApp {
    let backend = Backend::from(memory_backend());
    let client = Slow { cloud: MemoryProvider::default(), pages, page_time };
    let account = backend.store.account(&AccountId::default_account()).await.unwrap();
    backend.store.save_account(&account.with_gate(&client.token_digest(), Gate::Open, 0)).await.unwrap();
    StillApp::with_limit(Provisioner::builder(backend).provider(client), limit).await
}

/// Sweeps, and says how long that took.
async fn swept(app: &StillApp, body: &Value) -> (Answer, Duration) {
    let began = Instant::now();
    let request = json_request("POST", "/v1/operator/accounts/default/sweep", Some(&app.operator), body);
    let answer = app.send(request).await;
    (answer, began.elapsed())
}

fn is_about(took: Duration, limit: Duration) -> bool {
    // Tokio's timer counts whole milliseconds.
    (limit..limit + Duration::from_millis(2)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_many_servers_takes_longer_than_a_handler_may_and_is_answered() {
    let app = slow(60, Duration::from_secs(1), limits::HANDLER).await;
    let (answer, took) = swept(&app, &json!({})).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert!(took >= Duration::from_secs(60) && took < limits::SWEEP, "{took:?}");
    app.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_an_end_is_waited_for_a_while_and_is_the_providers_delay() {
    let app = slow(u32::MAX, Duration::from_secs(1), limits::HANDLER).await;
    let (answer, took) = swept(&app, &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "provider_unavailable"));
    assert!(is_about(took, limits::SWEEP), "{took:?}");
    app.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_sweep_is_told_with_its_mode_also_if_it_is_cut_off() {
    let (lines, _on_this_thread) = Lines::listen_from(Level::INFO);
    let app = slow(u32::MAX, Duration::from_secs(1), limits::HANDLER).await;
    for (body, mode) in [(json!({ "mode": "repair" }), "sweep.mode=Repair"), (json!({}), "sweep.mode=Report")] {
        let (answer, _) = swept(&app, &body).await;
        assert_eq!(answer.code(), "provider_unavailable", "{answer:?}");
        let text = lines.text();
        let line = text.lines().rfind(|line| line.contains("sweep asked for")).unwrap_or_default();
        let parts = ["account.id=default", r#"subject="root""#, mode];
        assert!(parts.iter().all(|part| line.contains(part)), "{mode} is not told: {text}");
    }
    app.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_does_not_come_is_waited_for_a_while_and_is_the_providers_delay() {
    // A handler may take less than the provider: what it waits for there is not counted.
    let app = slow(1, Duration::ZERO, limits::CATALOG / 10).await;
    let began = Instant::now();
    let answer = app.get(&app.acme, "/v1/catalog").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "provider_unavailable"));
    let took = began.elapsed();
    assert!(is_about(took, limits::CATALOG), "{took:?}");
    app.end().await;
}
