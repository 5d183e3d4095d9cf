//! The ledger: what it remembers, and what the control methods do behind the API.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::super::{ControlError, Fault, FaultRule, ForeignServer, Ledger, Origin, RouteMatcher};
use super::{Bench, error_code, order};

#[test]
fn deleted_servers_are_remembered_with_times_and_authors() {
    let mut bench = Bench::new();
    bench.pass(1_000);
    let (id, _) = bench.create("web-1");
    bench.pass(60_000);
    let path = format!("/v1/servers/{id}");
    let response = bench.try_call(Method::DELETE, &path, None).unwrap();
    let correlation_id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    bench.pass(5_000);
    bench.get("/v1/servers");
    let ledger = bench.simulator.ledger();
    let server = ledger.server(id).unwrap();
    assert_eq!(server.created_at.since_start(), Duration::from_secs(1));
    assert_eq!(server.deleted_at.unwrap().since_start(), Duration::from_secs(62));
    assert_eq!(server.deleted_by, Some(Origin::Request { correlation_id }));
    assert_eq!((server.name.as_str(), server.server_type.as_str()), ("web-1", "cpx22"));
    assert_eq!(ledger.live("default").count(), 0);
}

#[test]
fn two_servers_of_one_mark_are_duplicates_also_after_their_end() {
    let mut bench = Bench::new();
    for name in ["web-1", "web-2", "web-3"] {
        let mut wanted = order(name);
        wanted["labels"] = json!({"vip-server": if name == "web-3" { "other" } else { "same" }});
        assert_eq!(bench.call(Method::POST, "/v1/servers", Some(wanted)).0, 201);
    }
    let ids: Vec<_> = bench.simulator.ledger().marked("same").map(|it| it.id).collect();
    for id in &ids {
        bench.delete(*id);
    }
    bench.pass(60_000);
    bench.get("/v1/servers");
    let duplicates = bench.simulator.ledger().duplicates();
    assert_eq!(duplicates.len(), 1);
    assert_eq!((&duplicates[0].mark, duplicates[0].overlapping), (&"same".to_owned(), true));
    assert_eq!(duplicates[0].servers, ids);
}

#[test]
fn mark_that_was_relabelled_away_is_remembered() {
    let bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let path = format!("/v1/servers/{id}");
    assert_eq!(bench.call(Method::PUT, &path, Some(json!({"labels": {"vip-server": "b"}}))).0, 200);
    let ledger = bench.simulator.ledger();
    assert_eq!(ledger.server(id).unwrap().marks, ["web-1", "b"]);
    assert_eq!(ledger.server(id).unwrap().labels["vip-server"], "b");
}

#[test]
fn every_request_is_counted_once_by_route_and_outcome() {
    let bench = Bench::with(FaultRule::next(1, RouteMatcher::create_server(), Fault::CutAfter));
    assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).is_none());
    bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    let id = bench.simulator.ledger().servers[0].id;
    bench.get(&format!("/v1/servers/{id}"));
    bench.get("/v1/nope");
    let ledger = bench.simulator.ledger();
    assert_eq!(ledger.requests_of("POST", "/servers"), 2);
    assert_eq!(ledger.requests_of("GET", "/servers/{id}"), 1);
    assert_eq!(ledger.requests_of("GET", "unknown"), 1);
    assert_eq!(ledger.request_total(), 4);
    assert_eq!(ledger.answered_with(None), 1);
    assert_eq!(ledger.answered_with(Some(409)), 1);
}

#[test]
fn late_effect_is_no_second_request() {
    let effect_after = Duration::from_secs(1);
    let fault = Fault::Late { failure: None, effect_after };
    let mut bench = Bench::with(FaultRule::next(1, RouteMatcher::create_server(), fault));
    assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).is_none());
    bench.pass(2_000);
    bench.get("/v1/servers");
    assert_eq!(bench.simulator.ledger().requests_of("POST", "/servers"), 1);
}

#[test]
fn every_started_hour_is_billed() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let hours = |bench: &Bench| {
        bench.get("/v1/locations");
        let ledger = bench.simulator.ledger();
        ledger.server(id).unwrap().billed_hours(ledger.now)
    };
    assert_eq!(hours(&bench), 1);
    bench.pass(3_600_000);
    assert_eq!(hours(&bench), 1);
    bench.pass(1);
    assert_eq!(hours(&bench), 2);
}

#[test]
fn ledger_survives_json() {
    let bench = Bench::new();
    let (id, _) = bench.create("web-1");
    bench.delete(id);
    let ledger = bench.simulator.ledger();
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
}

#[test]
fn foreign_server_takes_its_name_and_is_in_the_ledger() {
    let bench = Bench::new();
    let foreign = ForeignServer::named("web-1").label("team", "other");
    let id = bench.simulator.put_server(foreign.clone()).unwrap();
    assert_eq!(bench.status(id), "running");
    let (status, body) = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    assert_eq!((status, error_code(&body)), (409, "uniqueness_error"));
    assert_eq!(bench.simulator.ledger().server(id).unwrap().created_by, Origin::Console);
    let name = "web-1".to_owned();
    assert_eq!(bench.simulator.put_server(foreign), Err(ControlError::NameTaken { name }));
    assert_eq!(bench.simulator.ledger().request_total(), 2);
}

#[test]
fn server_removed_at_the_console_is_gone_at_once() {
    let mut bench = Bench::new();
    let (id, action) = bench.create("web-1");
    bench.simulator.remove_server(id).unwrap();
    assert_eq!(bench.get(&format!("/v1/servers/{id}")).0, 404);
    assert_eq!(bench.simulator.remove_server(id), Err(ControlError::UnknownServer { id }));
    let ledger = bench.simulator.ledger();
    assert_eq!(ledger.server(id).unwrap().deleted_by, Some(Origin::Console));
    bench.pass(60_000);
    assert_eq!(bench.get(&format!("/v1/actions/{action}")).1["action"]["status"], "error");
    bench.create("web-1");
}

#[test]
fn foreign_servers_must_be_possible() {
    let simulator = Bench::new().simulator;
    let project = "nowhere".to_owned();
    let elsewhere = ForeignServer::named("a").in_project("nowhere");
    assert_eq!(simulator.put_server(elsewhere), Err(ControlError::UnknownProject { project }));
    for server in [ForeignServer::named("a b"), ForeignServer::named("a").label("-", "")] {
        let result = simulator.put_server(server);
        assert!(matches!(result, Err(ControlError::InvalidServer { .. })));
    }
}
