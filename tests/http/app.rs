//! An application with callers of every kind, and requests to it without a socket.

use std::time::Duration;

use serde_json::{Value, json};
use tower::ServiceExt;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, Simulator};
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig};
use vip_core::Provisioner;
use vip_core::model::TenantId;
use vip_core::ports::Backend;
use vip_http::axum::Router;
use vip_http::axum::body::{Body, to_bytes};
use vip_http::axum::http::{HeaderMap, Request, StatusCode};
use vip_http::{Api, ApiKeys, NewApiKey, Scope, limits};
use vip_tests::site::patient;

/// Largest answer of a test.
const ANSWER_BYTES: usize = 1 << 24;

/// Longest commit: a disk may be slow, and no test is about that.
const COMMIT: Duration = Duration::from_secs(8);

/// Is one caller's key.
#[derive(Debug, Clone)]
pub(crate) struct Key(pub(crate) String);

/// Is a product with its API.
pub(crate) struct App {
    pub(crate) provisioner: Provisioner,
    pub(crate) backend: Backend,
    pub(crate) api: Api,
    pub(crate) router: Router,
    /// Reads and writes for `acme`.
    pub(crate) acme: Key,
    /// Reads for `acme`.
    pub(crate) acme_reader: Key,
    /// Writes for `acme`.
    pub(crate) acme_writer: Key,
    /// Reads and writes for another tenant.
    pub(crate) other: Key,
    /// Belongs to no tenant.
    pub(crate) operator: Key,
    _folder: tempfile::TempDir,
}

/// Is an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {self:?}")).to_str().unwrap()
    }

    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}: {self:?}"))
    }

    /// Says which problem it is; checks that it is one, in form.
    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.text("/request_id"), self.header("x-request-id"));
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.headers.contains_key("retry-after"), self.status == 503 || self.status == 429, "{self:?}");
        self.text("/code")
    }
}

pub(crate) fn order(name: &str) -> Value {
    json!({ "name": name, "server_types": ["cpx22"], "image": "ubuntu-24.04", "locations": ["fsn1"], "ssh_keys": ["ops"] })
}

fn key(id: &str, tenant: Option<&str>, scopes: &[Scope]) -> NewApiKey {
    NewApiKey::generate(id, tenant.map(|name| TenantId::new(name).unwrap()), scopes.iter().copied()).unwrap()
}

impl App {
    /// Starts with workers.
    pub(crate) async fn working() -> Self {
        Self::start(|builder| async { builder.start().await.unwrap() }).await
    }

    /// Accepts and never works: no order moves.
    pub(crate) async fn accepting() -> Self {
        Self::start(|builder| async { builder.client_only().await.unwrap() }).await
    }

    pub(crate) async fn start<F: Future<Output = Provisioner>>(
        start: impl FnOnce(vip_core::provisioner::Builder) -> F,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vip.db");
        let config = SqliteConfig::default().poll_interval(Duration::from_millis(20));
        let backend = SqliteBackend::open(file.to_str().unwrap(), config).await.unwrap().backend();
        let simulator = Simulator::builder()
            .create_time(Duration::from_millis(50))
            .delete_time(Duration::from_millis(20))
            .rate_limit_per_hour(1_000_000)
            .build();
        let client = HetznerClient::in_process(&simulator, DEFAULT_TOKEN).unwrap();
        let mut timing = patient();
        timing.commit_deadline = COMMIT;
        let builder = Provisioner::builder(backend.clone()).provider(client).timing(timing).quota(20);
        let provisioner = start(builder).await;
        let keys = [
            key("acme", Some("acme"), &[Scope::TenantRead, Scope::TenantWrite]),
            key("reader", Some("acme"), &[Scope::TenantRead]),
            key("writer", Some("acme"), &[Scope::TenantWrite]),
            key("other", Some("other"), &[Scope::TenantRead, Scope::TenantWrite]),
            key("root", None, &[Scope::Operator]),
        ];
        let [acme, acme_reader, acme_writer, other, operator] = keys.each_ref().map(exposed);
        let api = Api::new(&provisioner, ApiKeys::new(keys.map(|key| key.entry)).unwrap()).unwrap();
        let router = api.application();
        Self { provisioner, backend, api, router, acme, acme_reader, acme_writer, other, operator, _folder: folder }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answered(&self.router, request).await
    }

    pub(crate) async fn get(&self, key: &Key, path: &str) -> Answer {
        self.send(request("GET", path, Some(key)).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, key: &Key, path: &str) -> Answer {
        self.send(request("DELETE", path, Some(key)).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, key: &Key, path: &str, body: &Value) -> Answer {
        self.send(json_request("POST", path, Some(key), body)).await
    }

    /// Orders a server.
    pub(crate) async fn order(&self, key: &Key, idempotency_key: &str, body: &Value) -> Answer {
        let mut request = json_request("POST", "/v1/servers", Some(key), body);
        request.headers_mut().insert("idempotency-key", idempotency_key.parse().unwrap());
        self.send(request).await
    }

    /// Makes the store refuse everything from now on, as one does that is gone.
    pub(crate) async fn lose_store(&self) {
        self.backend.store.close().await.unwrap();
    }

    pub(crate) async fn end(self) {
        assert_eq!(self.provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    }
}

/// Is an API on a backend in memory and without workers, for the paused clock: no thread answers beside it.
pub(crate) struct StillApp {
    pub(crate) provisioner: Provisioner,
    pub(crate) api: Api,
    pub(crate) router: Router,
    pub(crate) acme: Key,
    pub(crate) other: Key,
    pub(crate) operator: Key,
}

impl StillApp {
    pub(crate) async fn of(builder: vip_core::provisioner::Builder) -> Self {
        Self::with_limit(builder, limits::HANDLER).await
    }

    /// Makes one whose handlers may take so long.
    pub(crate) async fn with_limit(builder: vip_core::provisioner::Builder, limit: Duration) -> Self {
        let provisioner = builder.client_only().await.unwrap();
        let keys = [
            key("acme", Some("acme"), &[Scope::TenantRead, Scope::TenantWrite]),
            key("other", Some("other"), &[Scope::TenantRead, Scope::TenantWrite]),
            key("root", None, &[Scope::Operator]),
        ];
        let [acme, other, operator] = keys.each_ref().map(exposed);
        let api = Api::new(&provisioner, ApiKeys::new(keys.map(|key| key.entry)).unwrap()).unwrap();
        let api = api.handler_limit(limit);
        Self { router: api.application(), provisioner, api, acme, other, operator }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        answered(&self.router, request).await
    }

    pub(crate) async fn get(&self, key: &Key, path: &str) -> Answer {
        self.send(request("GET", path, Some(key)).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn end(self) {
        assert_eq!(self.provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    }
}

/// Sends a request to a router and reads the whole answer.
async fn answered(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, ANSWER_BYTES).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    Answer { status: parts.status, headers: parts.headers, body }
}

fn exposed(new: &NewApiKey) -> Key {
    Key(secrecy::ExposeSecret::expose_secret(&new.key).to_owned())
}

pub(crate) fn request(method: &str, path: &str, key: Option<&Key>) -> vip_http::axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    match key {
        Some(Key(key)) => request.header("authorization", format!("Bearer {key}")),
        None => request,
    }
}

pub(crate) fn json_request(method: &str, path: &str, key: Option<&Key>, body: &Value) -> Request<Body> {
    let request = request(method, path, key).header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}
