//! The Hetzner client over real sockets: what a network and a gateway do to a request, and what is said then.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

#[path = "hetzner_client/answers.rs"]
mod answers;
#[path = "hetzner_client/partly.rs"]
mod partly;
#[path = "hetzner_client/refusals.rs"]
mod refusals;
#[path = "hetzner_client/roots.rs"]
mod roots;
#[path = "hetzner_client/secrets.rs"]
mod secrets;
#[path = "hetzner_client/sockets.rs"]
mod sockets;

use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_core::model::{InstallationId, Labels, OWNER_LABEL, Power, ProviderName, ProviderServerId, SERVER_LABEL};
use vip_core::ports::{CreateRequest, RequestContext};

const TOKEN: &str = "canary0token0that0must0never0be0shown0000000000000000000000000000";

fn client(url: &str) -> HetznerClient {
    HetznerClient::at(url, TOKEN).unwrap()
}

/// Long enough for a busy machine; no test waits for it.
fn context() -> RequestContext {
    RequestContext::new(Duration::from_secs(60))
}

fn owner() -> InstallationId {
    "11111111-1111-4111-8111-111111111111".parse().unwrap()
}

fn id() -> ProviderServerId {
    ProviderServerId::new("42").unwrap()
}

fn name() -> ProviderName {
    ProviderName::new("web-1-0123456789ab").unwrap()
}

fn create_request() -> CreateRequest {
    CreateRequest {
        name: name(),
        server_type: "cpx22".to_owned(),
        location: "fsn1".to_owned(),
        image: "ubuntu-24.04".to_owned(),
        ssh_keys: vec!["ops".to_owned()],
        labels: Labels::from([
            (OWNER_LABEL.to_owned(), owner().to_string()),
            (SERVER_LABEL.to_owned(), "22222222-2222-7222-8222-222222222222".to_owned()),
        ]),
        user_data: None,
        power: Power::On,
    }
}

/// The answer to a create, as the API gives it.
fn created() -> serde_json::Value {
    let action = serde_json::json!({"id": 1, "command": "create_server", "status": "running", "error": null});
    serde_json::json!({
        "server": {"id": 42, "name": name().as_str(), "status": "initializing", "labels": create_request().labels},
        "action": action, "next_actions": [], "root_password": null,
    })
}
