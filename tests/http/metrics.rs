//! What `/metrics` says about states: as they are when it is asked, also when there is nothing left to count, or nobody answers.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::ExposeSecret;
use tower::ServiceExt;
use vip_adapters::hetzner::HetznerClient;
use vip_core::Provisioner;
use vip_core::memory::memory_backend;
use vip_core::model::{AccountId, ProviderServerId, Sighting, SightingClass, SightingKey, Timestamp};
use vip_core::ports::{Backend, Connections, PoolFigures, Store};
use vip_http::axum::Router;
use vip_http::axum::body::{Body, to_bytes};
use vip_http::{Api, ApiKeys, NewApiKey, Scope, refresh_metrics};

use crate::app::{Key, request};
use crate::silent::silent;

/// Is a pool whose connections are all busy.
#[derive(Debug)]
struct Busy;

impl Connections for Busy {
    fn figures(&self) -> Vec<PoolFigures> {
        let mut figures = PoolFigures::default();
        (figures.purpose, figures.most, figures.open, figures.idle) = ("commits and reads", 8, 7, 1);
        (figures.waiting, figures.timed_out) = (3, 5);
        vec![figures]
    }
}

/// Runs a test with an exporter of its own.
pub(crate) fn exporting<F: Future<Output = ()>>(test: impl FnOnce(PrometheusHandle) -> F) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(test(recorder.handle())));
}

async fn read(router: &Router, key: &Key) -> String {
    let asked = request("GET", "/metrics", Some(key)).body(Body::empty()).unwrap();
    let body = router.clone().oneshot(asked).await.unwrap().into_body();
    String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap()
}

pub(crate) fn demand(shown: &str, lines: &[&str]) {
    for line in lines {
        assert!(shown.lines().any(|shown| shown == *line), "{line} is missing in {shown}");
    }
}

#[test]
fn states_are_shown_as_they_are_and_a_class_that_is_seen_no_more_goes_back_to_zero() {
    exporting(async |handle| {
        let backend = Backend::from(memory_backend()).with_connections(Arc::new(Busy));
        let store: Arc<dyn Store> = Arc::clone(&backend.store);
        let builder = Provisioner::builder(backend).provider(HetznerClient::simulated().unwrap());
        let provisioner = builder.client_only().await.unwrap();
        let root = NewApiKey::generate("root", None, [Scope::Operator]).unwrap();
        let key = Key(root.key.expose_secret().to_owned());
        let api = Api::new(&provisioner, ApiKeys::new([root.entry]).unwrap()).unwrap();
        let router = api.metrics(move || handle.render()).application();

        let account = AccountId::default_account();
        store.sight(&account, &[surplus(&account)]).await.unwrap();
        let shown = read(&router, &key).await;
        demand(
            &shown,
            &[
                r#"vip_pool_connections{purpose="commits and reads",state="open"} 7"#,
                r#"vip_pool_connections{purpose="commits and reads",state="idle"} 1"#,
                r#"vip_pool_connections{purpose="commits and reads",state="most"} 8"#,
                r#"vip_pool_waiting{purpose="commits and reads"} 3"#,
                r#"vip_pool_timed_out{purpose="commits and reads"} 5"#,
                r#"vip_sightings{class="surplus"} 1"#,
                r#"vip_sightings{class="missing"} 0"#,
                "vip_oldest_removal_seconds 0",
            ],
        );
        store.sight(&account, &[]).await.unwrap();
        demand(&read(&router, &key).await, &[r#"vip_sightings{class="surplus"} 0"#]);
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    });
}

#[test]
fn counts_that_nobody_answers_keep_neither_health_nor_the_rest_from_being_shown() {
    exporting(async |handle| {
        let provisioner = Provisioner::builder(silent(memory_backend())).client_only().await.unwrap();
        tokio::time::pause();
        let refreshed = tokio::time::timeout(Duration::from_secs(3), refresh_metrics(&provisioner)).await;
        assert!(refreshed.is_ok(), "whoever scrapes has gone");
        let shown = handle.render();
        demand(&shown, &["vip_health 2"]);
        assert!(shown.contains("vip_process_tasks ") && !shown.contains("vip_jobs"), "{shown}");
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    });
}

fn surplus(account: &AccountId) -> Sighting {
    let key = SightingKey { account: account.clone(), id: ProviderServerId::new("7").unwrap() };
    let seen = Timestamp::from_micros(1);
    let class = SightingClass::Surplus;
    Sighting { key, server: None, class, first_seen: seen, last_seen: seen, count: 1, ripe: false }
}
