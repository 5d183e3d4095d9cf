//! Primary IPs: what goes with a server, and what stays and costs money.

use http::Method;
use serde_json::{Value, json};

use super::super::{AddressKind, Ledger};
use super::{Bench, error_code, order};

fn put_address(bench: &Bench, name: &str, auto_delete: bool) -> u64 {
    let body = json!({"name": name, "type": "ipv4", "location": "fsn1", "auto_delete": auto_delete});
    let (status, body) = bench.call(Method::POST, "/v1/primary_ips", Some(body));
    assert_eq!((status, &body["primary_ip"]["assignee_type"]), (201, &json!("unassigned")), "{body}");
    body["primary_ip"]["id"].as_u64().unwrap()
}

fn order_with(address: u64) -> Value {
    let mut wanted = order("web-1");
    wanted["public_net"] = json!({"enable_ipv4": true, "ipv4": address, "enable_ipv6": false});
    wanted
}

fn ledger(bench: &Bench) -> Ledger {
    bench.simulator.ledger()
}

/// Creates a server with an address and removes it; returns the ledger of afterwards.
fn lived_with(auto_delete: bool) -> (Bench, u64) {
    let mut bench = Bench::new();
    let address = put_address(&bench, "ip-1", auto_delete);
    let (status, body) = bench.call(Method::POST, "/v1/servers", Some(order_with(address)));
    assert_eq!((status, &body["server"]["public_net"]["ipv4"]["id"]), (201, &json!(address)), "{body}");
    assert_eq!(body["server"]["public_net"]["ipv6"], Value::Null);
    let id = body["server"]["id"].as_u64().unwrap();
    bench.pass(60_000);
    let (_, body) = bench.get(&format!("/v1/primary_ips/{address}"));
    assert_eq!(
        (&body["primary_ip"]["assignee_id"], &body["primary_ip"]["assignee_type"]),
        (&json!(id), &json!("server"))
    );
    let refused = bench.call(Method::DELETE, &format!("/v1/primary_ips/{address}"), None);
    assert_eq!((refused.0, error_code(&refused.1)), (422, "must_be_unassigned"));
    assert_eq!(bench.delete(id).0, 200);
    bench.pass(7_200_000);
    (bench, address)
}

#[test]
fn addresses_that_were_made_for_a_server_go_with_it() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let (_, body) = bench.get("/v1/primary_ips");
    let shown: Vec<_> = body["primary_ips"].as_array().unwrap().iter().map(|it| it["auto_delete"].clone()).collect();
    assert_eq!(shown, [true, true]);
    bench.pass(60_000);
    assert_eq!(bench.delete(id).0, 200);
    bench.pass(60_000);
    assert_eq!(bench.get("/v1/primary_ips").1["primary_ips"], json!([]));
    let ledger = ledger(&bench);
    assert_eq!(ledger.addresses.len(), 2);
    assert!(ledger.addresses.iter().all(|it| it.deleted_at.is_some() && !it.is_orphan()));
}

#[test]
fn an_address_without_auto_delete_outlives_its_server_and_is_billed_on() {
    let (bench, address) = lived_with(false);
    let (status, body) = bench.get(&format!("/v1/primary_ips/{address}"));
    assert_eq!((status, &body["primary_ip"]["assignee_id"]), (200, &Value::Null));
    let ledger = ledger(&bench);
    let orphans: Vec<_> = ledger.addresses.iter().filter(|it| it.is_orphan()).collect();
    assert_eq!(orphans.iter().map(|it| (it.id, it.kind)).collect::<Vec<_>>(), [(address, AddressKind::Ipv4)]);
    assert_eq!(orphans[0].billed_hours(ledger.now), 3);
    assert_eq!(bench.try_call(Method::DELETE, &format!("/v1/primary_ips/{address}"), None).unwrap().status(), 204);
    assert!(bench.simulator.ledger().addresses.iter().all(|it| !it.is_orphan()));
}

#[test]
fn an_address_with_auto_delete_goes_with_its_server() {
    let (bench, address) = lived_with(true);
    assert_eq!(bench.get(&format!("/v1/primary_ips/{address}")).0, 404);
    assert!(ledger(&bench).addresses.iter().all(|it| it.deleted_at.is_some()));
}

#[test]
fn auto_delete_can_be_changed_while_the_server_lives() {
    let mut bench = Bench::new();
    let address = put_address(&bench, "ip-1", false);
    let (_, body) = bench.call(Method::POST, "/v1/servers", Some(order_with(address)));
    let id = body["server"]["id"].as_u64().unwrap();
    let change = json!({"name": "ip-2", "auto_delete": true, "labels": {"a": "b"}});
    let (status, body) = bench.call(Method::PUT, &format!("/v1/primary_ips/{address}"), Some(change));
    assert_eq!(
        (status, &body["primary_ip"]["name"], &body["primary_ip"]["auto_delete"]),
        (200, &json!("ip-2"), &json!(true))
    );
    assert_eq!(bench.get("/v1/primary_ips?label_selector=a%3Db&name=ip-2").1["primary_ips"][0]["id"], address);
    bench.simulator.remove_server(id).unwrap();
    bench.pass(1);
    assert_eq!(bench.get(&format!("/v1/primary_ips/{address}")).0, 404);
}

#[test]
fn an_address_that_does_not_fit_is_refused_and_no_server_is_made() {
    let bench = Bench::new();
    let address = put_address(&bench, "ip-1", false);
    let refused = |wanted: Value| {
        let (status, body) = bench.call(Method::POST, "/v1/servers", Some(wanted));
        (status, error_code(&body).to_owned())
    };
    let mut elsewhere = order_with(address);
    elsewhere["location"] = json!("nbg1");
    assert_eq!(refused(elsewhere), (422, "primary_ip_datacenter_mismatch".to_owned()));
    let mut wrong_kind = order("web-1");
    wrong_kind["public_net"] = json!({"ipv6": address});
    assert_eq!(refused(wrong_kind), (412, "primary_ip_version_mismatch".to_owned()));
    assert_eq!(refused(order_with(1)), (422, "invalid_input".to_owned()));
    assert_eq!(bench.live(), 0);
    assert_eq!(bench.call(Method::POST, "/v1/servers", Some(order_with(address))).0, 201);
    let mut second = order_with(address);
    second["name"] = json!("web-2");
    assert_eq!(refused(second), (422, "primary_ip_assigned".to_owned()));
    let twin = json!({"name": "ip-1", "type": "ipv6", "location": "fsn1"});
    let (status, body) = bench.call(Method::POST, "/v1/primary_ips", Some(twin));
    assert_eq!((status, error_code(&body)), (409, "uniqueness_error"));
    let wrong = json!({"name": "", "type": "ipv5", "location": "nowhere"});
    assert_eq!(bench.call(Method::POST, "/v1/primary_ips", Some(wrong)).0, 422);
}
