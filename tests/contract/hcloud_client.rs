//! A client that nobody here wrote drives the simulator over HTTP: what it can read is what the vendor's description says.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "the whole file is a test")]

use std::time::Duration;

use hcloud::apis::configuration::Configuration;
use hcloud::apis::servers_api::{
    CreateServerParams, DeleteServerParams, GetServerParams, ListActionsForServerParams, ListServersParams,
    ReplaceServerParams,
};
use hcloud::apis::{
    Error, actions_api, images_api, locations_api, pricing_api, server_types_api, servers_api, ssh_keys_api,
};
use hcloud::models::{CreateServerRequest, ReplaceServerRequest, action, server};
use vip_adapters::hetzner::simulator::{
    DEFAULT_TOKEN, Effect, Failure, Fault, FaultRule, RouteMatcher, Simulator, SimulatorServer,
};

/// How often a test asks before it gives up; each time it waits for [`POLL_PAUSE`].
const POLLS: u32 = 500;
const POLL_PAUSE: Duration = Duration::from_millis(10);

/// A simulator behind a real socket, and the third-party client in front of it.
struct Bench {
    simulator: Simulator,
    server: SimulatorServer,
    client: Configuration,
}

impl Bench {
    async fn start() -> Self {
        Self::limited_to(3600).await
    }

    async fn limited_to(requests_per_hour: u32) -> Self {
        let simulator = Simulator::builder()
            .create_time(Duration::from_millis(50))
            .delete_time(Duration::from_millis(50))
            .rate_limit_per_hour(requests_per_hour)
            .build();
        let server = simulator.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut client = Configuration::new();
        for target in client.base_path_mapping.values_mut() {
            *target = format!("{}/v1", server.url());
        }
        client.bearer_access_token = Some(DEFAULT_TOKEN.to_owned());
        Self { simulator, server, client }
    }

    async fn create(&self, name: &str) -> hcloud::models::CreateServerResponse {
        servers_api::create_server(&self.client, order(name)).await.unwrap()
    }

    async fn list(&self, params: ListServersParams) -> hcloud::models::ListServersResponse {
        servers_api::list_servers(&self.client, params).await.unwrap()
    }

    async fn names(&self, params: ListServersParams) -> Vec<String> {
        self.list(params).await.servers.into_iter().map(|server| server.name).collect()
    }

    async fn finish(&self, action: i64) -> action::Status {
        for _ in 0..POLLS {
            let params = actions_api::GetActionParams { id: action };
            let action = actions_api::get_action(&self.client, params).await.unwrap().action;
            if action.status != action::Status::Running {
                return action.status;
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
        panic!("action {action} did not end");
    }

    async fn wait_until_gone(&self, id: i64) {
        for _ in 0..POLLS {
            match servers_api::get_server(&self.client, GetServerParams { id }).await {
                Ok(answer) => assert_eq!(answer.server.unwrap().status, server::Status::Deleting),
                Err(error) => return assert_eq!(refusal(&error), (404, "not_found".to_owned())),
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
        panic!("server {id} is still there");
    }
}

fn order(name: &str) -> CreateServerParams {
    let mut request = CreateServerRequest::new("ubuntu-24.04".to_owned(), name.to_owned(), "cpx22".to_owned());
    request.location = Some("fsn1".to_owned());
    request.ssh_keys = Some(vec!["ops".to_owned()]);
    request.labels = Some([("vip-server".to_owned(), name.to_owned())].into());
    CreateServerParams { create_server_request: request }
}

/// Returns the status and the code of an error answer.
fn refusal<T: std::fmt::Debug>(error: &Error<T>) -> (u16, String) {
    let Error::ResponseError(response) = error else { panic!("no error answer: {error:?}") };
    let body: serde_json::Value = serde_json::from_str(&response.content).unwrap_or_default();
    let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
    (response.status.as_u16(), code)
}

#[tokio::test]
async fn server_is_created_polled_renamed_and_deleted() {
    let bench = Bench::start().await;
    let created = bench.create("web-1").await;
    assert_eq!(created.server.status, server::Status::Initializing);
    assert_eq!((created.action.command.as_str(), created.root_password), ("create_server", None));
    assert_eq!(bench.finish(created.action.id).await, action::Status::Success);
    assert_eq!(bench.finish(created.next_actions[0].id).await, action::Status::Success);

    let id = created.server.id;
    let replace_server_request = ReplaceServerRequest {
        name: Some("web-2".to_owned()),
        labels: Some([("env".to_owned(), "prod".to_owned())].into()),
    };
    let params = ReplaceServerParams { id, replace_server_request };
    let replaced = servers_api::replace_server(&bench.client, params).await.unwrap();
    assert_eq!(replaced.server.unwrap().name, "web-2");

    let answer = servers_api::delete_server(&bench.client, DeleteServerParams { id }).await.unwrap();
    assert_eq!(bench.finish(answer.action.unwrap().id).await, action::Status::Success);
    bench.wait_until_gone(id).await;
    let error = servers_api::delete_server(&bench.client, DeleteServerParams { id }).await.unwrap_err();
    assert_eq!(refusal(&error), (404, "not_found".to_owned()));

    let ledger = bench.simulator.ledger();
    assert_eq!((ledger.servers.len(), ledger.live("default").count()), (1, 0));
    bench.server.shutdown().await;
}

#[tokio::test]
async fn servers_are_found_by_name_selector_and_status() {
    let bench = Bench::start().await;
    for name in ["web-1", "web-2", "db-1"] {
        bench.create(name).await;
    }
    let by_name = ListServersParams { name: Some("web-2".to_owned()), ..Default::default() };
    assert_eq!(bench.names(by_name).await, ["web-2"]);
    let selector = Some("vip-server in (web-1, db-1),!gone".to_owned());
    let by_label = ListServersParams { label_selector: selector, ..Default::default() };
    assert_eq!(bench.names(by_label).await, ["web-1", "db-1"]);
    let status = Some(vec!["off".to_owned(), "deleting".to_owned()]);
    let by_status = ListServersParams { status, ..Default::default() };
    assert_eq!(bench.names(by_status).await, Vec::<String>::new());
    bench.server.shutdown().await;
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let bench = Bench::start().await;
    for number in 0..7 {
        bench.create(&format!("web-{number}")).await;
    }
    let (mut page, mut names) = (Some(1), Vec::new());
    while page.is_some() {
        let sort = Some(vec!["name:desc".to_owned()]);
        let params = ListServersParams { page, per_page: Some(3), sort, ..Default::default() };
        let answer = bench.list(params).await;
        names.extend(answer.servers.into_iter().map(|server| server.name));
        let pagination = answer.meta.pagination;
        assert_eq!((pagination.last_page, pagination.total_entries), (Some(3), Some(7)));
        page = pagination.next_page;
    }
    assert_eq!(names, ["web-6", "web-5", "web-4", "web-3", "web-2", "web-1", "web-0"]);
    bench.server.shutdown().await;
}

#[tokio::test]
async fn name_is_unique() {
    let bench = Bench::start().await;
    bench.create("web-1").await;
    let error = servers_api::create_server(&bench.client, order("web-1")).await.unwrap_err();
    assert_eq!(refusal(&error), (409, "uniqueness_error".to_owned()));
    bench.server.shutdown().await;
}

#[tokio::test]
async fn lost_create_action_is_found_again_at_its_server() {
    let bench = Bench::start().await;
    let created = bench.create("web-1").await;
    let params = ListActionsForServerParams {
        id: created.server.id,
        sort: Some(vec!["started:desc".to_owned(), "id".to_owned()]),
        status: None,
        page: None,
        per_page: None,
    };
    let found = servers_api::list_actions_for_server(&bench.client, params).await.unwrap().actions;
    assert_eq!(found[0].id, created.action.id);
    let id = vec![created.action.id, created.next_actions[0].id];
    let params = actions_api::GetMultipleActionsParams { id };
    let many = actions_api::get_multiple_actions(&bench.client, params).await.unwrap().actions;
    assert_eq!(many.len(), 2);
    bench.server.shutdown().await;
}

#[tokio::test]
async fn catalog_is_readable() {
    let bench = Bench::start().await;
    let types = server_types_api::list_server_types(&bench.client, Default::default()).await.unwrap();
    assert!(types.server_types.iter().any(|it| it.name == "cpx22"));
    let params = images_api::ListImagesParams {
        name: Some("ubuntu-24.04".to_owned()),
        architecture: Some("arm".to_owned()),
        ..Default::default()
    };
    let images = images_api::list_images(&bench.client, params).await.unwrap().images;
    assert_eq!(images.len(), 1);
    let locations = locations_api::list_locations(&bench.client, Default::default()).await.unwrap();
    assert_eq!(locations.locations.len(), 6);
    let keys = ssh_keys_api::list_ssh_keys(&bench.client, Default::default()).await.unwrap();
    assert_eq!(keys.ssh_keys[0].name, "ops");
    let prices = pricing_api::list_prices(&bench.client).await.unwrap();
    assert_eq!(prices.pricing.currency, "EUR");
    bench.server.shutdown().await;
}

#[tokio::test]
async fn timeout_is_answered_although_the_server_exists() {
    let bench = Bench::start().await;
    let fault = Fault::Fail { failure: Failure::Timeout, effect: Effect::Applied };
    let rule = FaultRule::next(1, RouteMatcher::create_server(), fault);
    bench.simulator.add_fault(rule).unwrap();
    let error = servers_api::create_server(&bench.client, order("web-1")).await.unwrap_err();
    assert_eq!(refusal(&error), (504, "timeout".to_owned()));
    let by_name = ListServersParams { name: Some("web-1".to_owned()), ..Default::default() };
    assert_eq!(bench.names(by_name).await, ["web-1"]);
    let error = servers_api::create_server(&bench.client, order("web-1")).await.unwrap_err();
    assert_eq!(refusal(&error), (409, "uniqueness_error".to_owned()));
    assert_eq!(bench.simulator.ledger().servers.len(), 1);
    bench.server.shutdown().await;
}

#[tokio::test]
async fn cut_connection_is_an_error_of_the_transport() {
    let bench = Bench::start().await;
    let rule = FaultRule::next(1, RouteMatcher::create_server(), Fault::CutAfter);
    bench.simulator.add_fault(rule).unwrap();
    let error = servers_api::create_server(&bench.client, order("web-1")).await.unwrap_err();
    assert!(matches!(error, Error::Reqwest(_)), "{error:?}");
    assert_eq!(bench.simulator.ledger().live("default").count(), 1);
    bench.server.shutdown().await;
}

#[tokio::test]
async fn burst_of_429_is_seen_and_ends() {
    let bench = Bench::start().await;
    let rule = FaultRule::next(2, RouteMatcher::any(), Fault::TooManyRequests);
    bench.simulator.add_fault(rule).unwrap();
    for _ in 0..2 {
        let error = servers_api::create_server(&bench.client, order("web-1")).await.unwrap_err();
        assert_eq!(refusal(&error), (429, "rate_limit_exceeded".to_owned()));
    }
    bench.create("web-1").await;
    bench.server.shutdown().await;
}

#[tokio::test]
async fn rate_limit_headers_count_down() {
    // One token comes back each minute: too slow to be seen here.
    let bench = Bench::limited_to(60).await;
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let mut remaining = Vec::new();
    for _ in 0..2 {
        let request = client.get(format!("{}/v1/servers", bench.server.url()));
        let answer = request.bearer_auth(DEFAULT_TOKEN).send().await.unwrap();
        let number = |name: &str| answer.headers()[name].to_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(number("ratelimit-limit"), 60);
        assert!(number("ratelimit-reset") > 1_793_491_200);
        assert!(answer.headers().contains_key("x-correlation-id"));
        remaining.push(number("ratelimit-remaining"));
    }
    assert_eq!(remaining, [59, 58]);
    bench.server.shutdown().await;
}
