//! What the client asks and what the simulator answers, held against the vendor's own description of the API.
//!
//! The description is not part of this repository: `VIP_HETZNER_OPENAPI` says where it is. Without it the tests say that
//! they were skipped, by name.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "the whole file is a test")]

#[path = "hetzner_openapi/description.rs"]
mod description;
#[path = "hetzner_openapi/recorder.rs"]
mod recorder;

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{
    Effect, Failure, Fault, FaultPlan, FaultRule, ForeignServer, Protection, RouteMatcher, Stock, StockChange,
};
use vip_core::model::{Power, ProviderActionId, ProviderServerId, UserData};
use vip_core::ports::{CreateRequest, ProviderClient};
use vip_tests::asked::{self, context, owner, record};

use description::Description;
use recorder::{Exchange, READER, Recorder, TOKEN};

/// Returns an order that differs from its neighbours in what is optional.
fn order(number: u32) -> CreateRequest {
    CreateRequest {
        user_data: number.is_multiple_of(2).then(|| UserData::new("#cloud-config\n\"ä\"")),
        power: if number.is_multiple_of(3) { Power::Off } else { Power::On },
        ..asked::order(number)
    }
}

/// Demands that nothing deviates, and says how much was compared.
fn demand(description: &Description, exchanges: &[Exchange], answers: u16) {
    let deviations: Vec<String> = exchanges.iter().flat_map(|it| description.deviations(it)).collect();
    let routes: BTreeSet<_> = exchanges.iter().filter_map(|it| description.route(it)).collect();
    println!("{} exchanges on {} routes, {} deviations", exchanges.len(), routes.len(), deviations.len());
    assert!(deviations.is_empty(), "{} deviations:\n{}", deviations.len(), deviations.join("\n"));
    let statuses: BTreeSet<u16> = exchanges.iter().map(|it| it.status).collect();
    assert!(statuses.len() >= usize::from(answers), "only {statuses:?} were seen");
}

/// Makes every call of the port; errors are expected under faults.
async fn every_call(client: &HetznerClient, number: u32) {
    let created = client.create(&order(number), &context()).await;
    drop(client.find(&order(number).name, &context()).await);
    drop(client.find_labelled(owner(), record(number), &context()).await);
    drop(client.inventory(owner(), 1, &context()).await);
    drop(client.catalog(&context()).await);
    let (id, actions) = match created {
        Ok(created) => (created.server.id, created.actions),
        Err(_) => (ProviderServerId::new("7").unwrap(), vec![ProviderActionId::new("7").unwrap()]),
    };
    drop(client.actions(&actions, &context()).await);
    drop(client.get(&id, &context()).await);
    drop(client.delete(&id, &context()).await);
    drop(client.get(&id, &context()).await);
}

#[tokio::test]
async fn every_request_of_the_client_is_one_of_the_description() {
    let Some(description) = Description::find("every_request_of_the_client_is_one_of_the_description") else { return };
    let recorder = Recorder::start().await;
    let client = recorder.client(TOKEN);
    for number in 0..6 {
        every_call(&client, number).await;
    }
    let exchanges = recorder.take();
    assert!(exchanges.iter().all(|it| it.status < 400 || it.status == 404 || it.status == 423), "calm answers only");
    demand(&description, &exchanges, 2);
}

#[tokio::test]
async fn every_refusal_of_the_simulator_is_one_of_the_description() {
    let Some(description) = Description::find("every_refusal_of_the_simulator_is_one_of_the_description") else {
        return;
    };
    let recorder = Recorder::start().await;
    let client = recorder.client(TOKEN);
    let refuse = |status, code: &str| Fault::Refuse { status, code: code.to_owned(), message: "words".to_owned() };
    let fail = |failure| Fault::Fail { failure, effect: Effect::Applied };
    let faults = [
        fail(Failure::ServerError),
        fail(Failure::BadGateway),
        fail(Failure::Unavailable),
        fail(Failure::Timeout),
        Fault::TooManyRequests,
        refuse(403, "resource_limit_exceeded"),
        refuse(403, "forbidden"),
        refuse(409, "conflict"),
        Fault::Late { failure: Some(Failure::Timeout), effect_after: Duration::from_millis(1) },
        Fault::ActionFails { code: "action_failed".to_owned(), message: "server is locked".to_owned() },
    ];
    for (number, fault) in (0_u32..).zip(faults) {
        let rule = FaultRule::next(20, RouteMatcher::any(), fault);
        recorder.simulator.add_plan(FaultPlan::of(vec![rule])).unwrap();
        every_call(&client, number).await;
        recorder.simulator.clear_faults();
        every_call(&client, number).await;
    }
    for stock in [Stock::Exhausted, Stock::Unplaceable, Stock::Unsupported, Stock::Available] {
        recorder.simulator.change_stock(StockChange::everywhere(stock)).unwrap();
        every_call(&client, 100).await;
    }
    for token in [READER, "nobody"] {
        every_call(&recorder.client(token), 200).await;
    }
    let server = ForeignServer::named("guarded").in_project("default");
    let id = recorder.simulator.put_server(server).unwrap();
    recorder.simulator.protect_server(id, Protection::On).unwrap();
    drop(client.delete(&ProviderServerId::new(id.to_string()).unwrap(), &context()).await);
    demand(&description, &recorder.take(), 12);
}

#[tokio::test]
async fn every_route_of_the_simulator_is_one_of_the_description() {
    let Some(description) = Description::find("every_route_of_the_simulator_is_one_of_the_description") else { return };
    let recorder = Recorder::start().await;
    let key = json!({"name": "second", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE second", "labels": {}});
    let key = recorder.ask(Method::POST, "/ssh_keys", Some(key)).await;
    let address = json!({"name": "ip-1", "type": "ipv4", "location": "fsn1", "auto_delete": false});
    let address = recorder.ask(Method::POST, "/primary_ips", Some(address)).await["primary_ip"]["id"].clone();
    let server = json!({
        "name": "web-1", "server_type": "cx23", "image": "debian-12", "location": "fsn1", "labels": {"a": "b"},
        "public_net": {"enable_ipv4": true, "enable_ipv6": true, "ipv4": address}, "user_data": "#cloud-config",
    });
    let created = recorder.ask(Method::POST, "/servers", Some(server)).await;
    let (server, action) = (created["server"]["id"].clone(), created["action"]["id"].clone());
    let key = key["ssh_key"]["id"].clone();
    for path in [
        "/servers?page=1&per_page=50&sort=id%3Aasc&status=running&status=initializing&label_selector=a%3Db".to_owned(),
        format!("/servers/{server}"),
        format!("/servers/{server}/actions?status=running&sort=started%3Adesc&page=1"),
        "/servers/actions?status=running".to_owned(),
        format!("/servers/actions/{action}"),
        format!("/actions?id={action}&id=1"),
        format!("/actions/{action}"),
        "/actions/1".to_owned(),
        "/ssh_keys?name=second".to_owned(),
        format!("/ssh_keys/{key}"),
        "/server_types?name=cx23".to_owned(),
        "/server_types/114".to_owned(),
        "/images?name=debian-12&architecture=arm&type=system&status=available&sort=name%3Adesc".to_owned(),
        "/images/114690387".to_owned(),
        "/locations?name=fsn1".to_owned(),
        "/locations/1".to_owned(),
        "/pricing".to_owned(),
        "/primary_ips?ip=198.18.0.1".to_owned(),
        "/primary_ips".to_owned(),
        format!("/primary_ips/{address}"),
    ] {
        recorder.ask(Method::GET, &path, None).await;
    }
    for (method, path, body) in [
        (Method::PUT, format!("/servers/{server}"), json!({"name": "web-2", "labels": {"a": "c"}})),
        (Method::PUT, format!("/primary_ips/{address}"), json!({"name": "ip-2", "auto_delete": false, "labels": {}})),
        (Method::POST, "/servers".to_owned(), json!({"name": "", "server_type": "nothing", "image": "debian-12"})),
    ] {
        recorder.ask(method, &path, Some(body)).await;
    }
    recorder.ask(Method::DELETE, &format!("/servers/{server}"), None).await;
    recorder.pass().await;
    recorder.ask(Method::DELETE, &format!("/primary_ips/{address}"), None).await;
    let exchanges = recorder.take();
    let routes: BTreeSet<_> = exchanges.iter().filter_map(|it| description.route(it)).collect();
    assert_eq!(routes.len(), 25, "every method of every route of the simulator: {routes:?}");
    demand(&description, &exchanges, 5);
}

#[test]
fn the_comparison_sees_what_deviates() {
    let description = Description::of(&json!({"paths": {"/things/{id}": {"post": {
        "parameters": [{"name": "page", "in": "query", "required": false, "schema": {"type": "integer"}}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object", "required": ["name"], "properties": {"name": {"type": "string", "nullable": true}}}}}},
        "responses": {"200": {"content": {"application/json": {"schema": {
            "type": "object", "required": ["at"],
            "properties": {"at": {"type": "string", "format": "date-time"}}}}}}, "204": {}},
    }}}}));
    let good = Exchange {
        method: "POST".to_owned(),
        path: "/things/7".to_owned(),
        query: vec![("page".to_owned(), "2".to_owned())],
        request: json!({"name": null}).to_string().into_bytes(),
        status: 200,
        answer: json!({"at": "2026-01-01T00:00:00Z"}).to_string().into_bytes(),
    };
    assert_eq!(description.deviations(&good), Vec::<String>::new());
    let empty = Exchange { status: 204, answer: Vec::new(), ..good.clone() };
    assert_eq!(description.deviations(&empty), Vec::<String>::new());
    let body = |value: Value| value.to_string().into_bytes();
    for wrong in [
        Exchange { method: "GET".to_owned(), ..good.clone() },
        Exchange { path: "/nothing/7".to_owned(), ..good.clone() },
        Exchange { query: vec![("pgae".to_owned(), "2".to_owned())], ..good.clone() },
        Exchange { query: vec![("page".to_owned(), "x".to_owned())], ..good.clone() },
        Exchange { request: Vec::new(), ..good.clone() },
        Exchange { request: body(json!({})), ..good.clone() },
        Exchange { request: body(json!({"name": 1})), ..good.clone() },
        Exchange { request: body(json!({"name": "a", "nmae": "b"})), ..good.clone() },
        Exchange { status: 201, ..good.clone() },
        Exchange { answer: body(json!({"at": "yesterday"})), ..good.clone() },
        Exchange { answer: body(json!({"at": null})), ..good.clone() },
        Exchange { answer: body(json!({"at": "2026-01-01T00:00:00Z", "later": 1})), ..good.clone() },
        Exchange { status: 204, ..good.clone() },
    ] {
        assert_eq!(description.deviations(&wrong).len(), 1, "{wrong:?}");
    }
}
