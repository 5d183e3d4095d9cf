//! Tests of the adapter without a network: a transport that answers from a script and remembers what it was asked.

mod calls;
mod classification;
mod odd;
mod reading;
mod requests;
mod secrets;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use vip_core::model::{InstallationId, Labels, OWNER_LABEL, Power, ProviderName, SERVER_LABEL, ServerId, TokenDigest};
use vip_core::ports::{CreateRequest, ProviderClient, RequestContext};

use super::transport::{Transport, TransportError};
use super::{DEFAULT_BASE_URL, HetznerClient};

const TOKEN: &str = "canary0token0that0must0never0be0shown0000000000000000000000000000";

/// What happens to one request.
#[derive(Debug)]
enum Step {
    Answer(u16, String),
    NotSent,
    Lost,
    Never,
}

#[derive(Debug, Default)]
struct Script {
    steps: Mutex<VecDeque<Step>>,
    seen: Mutex<Vec<Request<Bytes>>>,
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.seen.lock().unwrap().push(request);
        let step = self.steps.lock().unwrap().pop_front().expect("one more request than the script has answers");
        match step {
            Step::Answer(status, body) => Ok(response(status, &body)),
            Step::NotSent => Err(TransportError::NotSent("refused".into())),
            Step::Lost => Err(TransportError::Lost("cut".into())),
            Step::Never => std::future::pending().await,
        }
    }
}

impl Script {
    fn client(steps: impl IntoIterator<Item = Step>) -> (HetznerClient, Arc<Self>) {
        let script = Arc::new(Self { steps: Mutex::new(steps.into_iter().collect()), seen: Mutex::default() });
        (HetznerClient::over(script.clone(), TOKEN).unwrap(), script)
    }

    fn paths(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let line = |it: &Request<Bytes>| format!("{} {}", it.method(), it.uri().path_and_query().unwrap());
        seen.iter().map(line).collect()
    }
}

fn ok(body: &Value) -> Step {
    Step::Answer(200, body.to_string())
}

fn response(status: u16, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn context() -> RequestContext {
    RequestContext::new(Duration::from_secs(30))
}

fn owner() -> InstallationId {
    "11111111-1111-4111-8111-111111111111".parse().unwrap()
}

fn server_id() -> ServerId {
    "22222222-2222-7222-8222-222222222222".parse().unwrap()
}

fn name() -> ProviderName {
    ProviderName::new("web-1-0123456789ab").unwrap()
}

fn labels() -> Labels {
    Labels::from([
        (OWNER_LABEL.to_owned(), owner().to_string()),
        (SERVER_LABEL.to_owned(), server_id().to_string()),
        ("env".to_owned(), "prod".to_owned()),
    ])
}

fn create_request() -> CreateRequest {
    CreateRequest {
        name: name(),
        server_type: "cpx22".to_owned(),
        location: "fsn1".to_owned(),
        image: "ubuntu-24.04".to_owned(),
        ssh_keys: vec!["ops".to_owned(), "on call".to_owned()],
        labels: labels(),
        user_data: None,
        power: Power::On,
    }
}

/// A server as the API shows it, with fields that we do not know.
fn server(id: u64, status: &str) -> Value {
    json!({
        "id": id, "name": name().as_str(), "status": status, "created": "2026-01-01T00:00:00Z", "labels": labels(),
        "public_net": {
            "ipv4": {"id": 7, "ip": "192.0.2.1", "blocked": false},
            "ipv6": {"id": 8, "ip": "2001:db8:1:2::/64", "dns_ptr": []},
            "firewalls": [],
        },
        "server_type": {"id": 1, "name": "cpx22", "cores": 2.5},
        "location": {"id": 1, "name": "fsn1"},
        "invented_later": {"a": [null]},
    })
}

fn action(id: u64, status: &str) -> Value {
    json!({"id": id, "command": "create_server", "status": status, "progress": 0, "error": null})
}

fn created() -> Value {
    json!({
        "server": server(42, "initializing"), "action": action(1, "running"),
        "next_actions": [action(2, "running"), action(3, "running")], "root_password": null,
    })
}

fn page(list: &str, items: &[Value], next: Option<u32>) -> Value {
    json!({list: items, "meta": {"pagination": {"page": 1, "next_page": next, "total_entries": null}}})
}

#[test]
fn one_token_at_two_addresses_is_two_tokens_to_be_checked() {
    let digest = |url: &str| HetznerClient::at(url, TOKEN).unwrap().token_digest();
    assert_eq!(digest(DEFAULT_BASE_URL), TokenDigest::of(TOKEN));
    // Without its version the API knows no route, and says of everything that it is not there.
    assert_ne!(digest("https://api.hetzner.cloud"), digest(DEFAULT_BASE_URL));
    assert_ne!(digest("http://127.0.0.1:4711/v1"), digest(DEFAULT_BASE_URL));
}
