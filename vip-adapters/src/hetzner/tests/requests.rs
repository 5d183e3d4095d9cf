//! The requests, to the letter.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use vip_core::model::{Labels, Power, ProviderActionId, ProviderServerId, TraceParent, UserData};
use vip_core::ports::{CreateRequest, ProviderClient};

use super::super::provider_client::ACTIONS_PER_REQUEST;
use super::{Script, Step, TOKEN, action, context, create_request, created, name, ok, owner, page, server, server_id};

async fn body_of(request: &CreateRequest) -> Value {
    let (client, script) = Script::client([Step::Answer(201, created().to_string())]);
    client.create(request, &context()).await.unwrap();
    assert_eq!(script.paths(), ["POST /v1/servers"]);
    serde_json::from_slice(script.seen.lock().unwrap().first().unwrap().body()).unwrap()
}

#[tokio::test]
async fn a_create_says_all_that_was_ordered_and_nothing_else() {
    let mut request = create_request();
    request.user_data = Some(UserData::new("#cloud-config\n\"ä\""));
    request.power = Power::Off;
    let labels: Labels = request.labels.clone();
    let wanted = json!({
        "name": name().as_str(), "server_type": "cpx22", "location": "fsn1", "image": "ubuntu-24.04",
        "ssh_keys": ["ops", "on call"], "labels": labels, "start_after_create": false,
        "user_data": "#cloud-config\n\"ä\"",
    });
    assert_eq!(body_of(&request).await, wanted);
}

#[tokio::test]
async fn a_server_is_switched_on_and_has_no_user_data_unless_ordered() {
    let body = body_of(&create_request()).await;
    assert_eq!(body.get("start_after_create"), Some(&json!(true)));
    assert!(body.get("user_data").is_none() && body.get("public_net").is_none());
}

#[tokio::test]
async fn every_request_carries_the_trace_that_it_belongs_to_and_none_if_it_belongs_to_none() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut traced = context();
    traced.trace_parent = Some(TraceParent::new(trace).unwrap());
    for (context, expected) in [(traced, Some(trace)), (context(), None)] {
        let id = ProviderServerId::new("42").unwrap();
        let one = || ok(&json!({"server": server(42, "running")}));
        let list = || ok(&page("servers", &[], None));
        let deleted = ok(&json!({"action": action(4, "running")}));
        let created = Step::Answer(201, created().to_string());
        let (client, script) = Script::client([created, list(), list(), one(), deleted, list()]);
        client.create(&create_request(), &context).await.unwrap();
        client.find(&name(), &context).await.unwrap();
        client.find_labelled(owner(), server_id(), &context).await.unwrap();
        client.get(&id, &context).await.unwrap();
        client.delete(&id, &context).await.unwrap();
        client.inventory(owner(), 1, &context).await.unwrap();
        let seen = script.seen.lock().unwrap();
        let carried = |request: &Request<Bytes>| {
            request.headers().get("traceparent").map(|value| value.to_str().unwrap().to_owned())
        };
        assert!(seen.len() == 6 && seen.iter().all(|it| carried(it).as_deref() == expected), "{seen:?}");
    }
}

#[tokio::test]
async fn every_request_says_who_asks() {
    let (client, script) = Script::client([ok(&json!({"server": server(42, "running")}))]);
    client.get(&ProviderServerId::new("42").unwrap(), &context()).await.unwrap();
    let seen = script.seen.lock().unwrap();
    let headers = seen.first().map(Request::<Bytes>::headers).unwrap();
    let authorization = headers.get("authorization").unwrap();
    assert!(authorization.is_sensitive() && authorization.to_str().unwrap() == format!("Bearer {TOKEN}"));
    assert!(headers.get("user-agent").unwrap().to_str().unwrap().starts_with("vip/"));
    assert_eq!(headers.get("accept").unwrap(), "application/json");
}

#[tokio::test]
async fn looks_ask_for_exactly_what_is_looked_for() {
    let servers = || ok(&page("servers", &[], None));
    let (client, script) = Script::client([servers(), servers(), servers()]);
    client.find(&name(), &context()).await.unwrap();
    client.find_labelled(owner(), server_id(), &context()).await.unwrap();
    client.inventory(owner(), 3, &context()).await.unwrap();
    let (owner, server) = (owner(), server_id());
    let rest = "sort=id%3Aasc&per_page=50&page";
    assert_eq!(
        script.paths(),
        [
            "GET /v1/servers?name=web-1-0123456789ab".to_owned(),
            format!("GET /v1/servers?label_selector=vip-owner%3D%3D{owner}%2Cvip-server%3D%3D{server}&{rest}=1"),
            format!("GET /v1/servers?label_selector=vip-owner%3D%3D{owner}&{rest}=3"),
        ]
    );
}

#[tokio::test]
async fn actions_are_asked_for_in_groups_and_once_each() {
    let ids = |count: usize| (1..=count).map(|id| ProviderActionId::new(id.to_string()).unwrap()).collect::<Vec<_>>();
    let answer = || ok(&json!({"actions": [action(1, "success"), action(26, "running"), action(99, "error")]}));
    let (client, script) = Script::client([answer()]);
    let views = client.actions(&ids(ACTIONS_PER_REQUEST), &context()).await.unwrap();
    assert_eq!((views.len(), script.paths().len()), (1, 1), "25 in one request, and only those that were asked for");
    let (client, script) = Script::client([answer(), answer()]);
    let mut many = ids(ACTIONS_PER_REQUEST + 1);
    many.extend(ids(3));
    many.push(ProviderActionId::new("not-a-number").unwrap());
    let views = client.actions(&many, &context()).await.unwrap();
    assert_eq!(views.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["1", "26"]);
    let paths = script.paths();
    assert!(paths.first().unwrap().starts_with("GET /v1/actions?id=1&id=2&id=3&"), "{paths:?}");
    assert_eq!(paths.last().unwrap(), "GET /v1/actions?id=26");
    let (client, script) = Script::client([]);
    assert_eq!(client.actions(&[], &context()).await.unwrap(), []);
    assert_eq!(script.paths().len(), 0);
}

#[tokio::test]
async fn the_catalog_is_three_lists_read_to_their_ends_and_the_prices() {
    let stock = json!([{"name": "fsn1", "available": true}, {"name": "nbg1", "available": false}, {"name": "hel1"}]);
    let (client, script) = Script::client([
        ok(&page("server_types", &[json!({"name": "cx23", "architecture": "x86", "locations": stock})], Some(2))),
        ok(&page("server_types", &[json!({"name": "cax11", "architecture": "arm"})], None)),
        ok(&page("locations", &[json!({"name": "fsn1", "network_zone": "eu-central"})], None)),
        ok(&page("images", &[json!({"name": "debian-13", "architecture": "arm"}), json!({"name": null})], None)),
        ok(&json!({"pricing": {"currency": "EUR", "vat_rate": "19.00", "server_types": [
            {"name": "cx23", "prices": [{
                "location": "fsn1", "price_hourly": {"net": "0.0048000000", "gross": "0.0057120000"},
                "price_monthly": {"net": "2.9900", "gross": "3.5581000000000000"}, "included_traffic": 1,
            }]},
        ]}})),
    ]);
    let catalog = client.catalog(&context()).await.unwrap();
    let types: Vec<_> = catalog.server_types.iter().map(|it| (it.name.as_str(), it.available_in.len())).collect();
    assert_eq!(types, [("cx23", 1), ("cax11", 0)]);
    assert_eq!(catalog.locations.first().unwrap().network_zone, "eu-central");
    let price = catalog.price("cx23", "fsn1").unwrap();
    assert_eq!((price.hourly.net.micros, price.hourly.gross.micros), (4_800, 5_712));
    assert_eq!((price.monthly.net.micros, price.monthly.gross.to_string()), (2_990_000, "3.5581 EUR".to_owned()));
    assert_eq!(catalog.price("cax11", "fsn1"), None);
    assert_eq!((catalog.images.len(), catalog.images.first().unwrap().architecture.as_str()), (1, "arm"));
    assert_eq!(
        script.paths(),
        [
            "GET /v1/server_types?per_page=50&page=1",
            "GET /v1/server_types?per_page=50&page=2",
            "GET /v1/locations?per_page=50&page=1",
            "GET /v1/images?type=system&per_page=50&page=1",
            "GET /v1/pricing",
        ]
    );
}
