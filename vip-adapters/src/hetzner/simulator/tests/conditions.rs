//! What a cloud does by itself: locks, protection, stock, slow and failing work, and views that do not agree.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::{
    ControlError, Fault, FaultPlan, FaultRule, Protection, RouteMatcher, Simulator, Stock, StockChange,
};
use super::{Bench, error_code, order, request};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What `available` says about a type in a location.
fn flag(bench: &Bench, kind: &str, place: &str) -> Value {
    let (_, body) = bench.get(&format!("/v1/server_types?name={kind}"));
    let places = body["server_types"][0]["locations"].as_array().unwrap();
    places.iter().find(|it| it["name"] == place).unwrap()["available"].clone()
}

fn refusal(answer: (u16, Value)) -> (u16, String) {
    (answer.0, error_code(&answer.1).to_owned())
}

fn control(bench: &Bench, method: Method, path: &str, body: Option<Value>) -> StatusCode {
    bench.simulator.control(&request(method, path, body, None)).status()
}

#[test]
fn a_locked_server_refuses_its_deletion_until_the_work_of_somebody_else_has_ended() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    bench.pass(60_000);
    assert_eq!(bench.status(id), "running");
    bench.simulator.lock_server(id, seconds(3600)).unwrap();
    let (_, body) = bench.get(&format!("/v1/servers/{id}"));
    assert_eq!(body["server"]["locked"], true);
    let (_, body) = bench.get(&format!("/v1/servers/{id}/actions?status=running"));
    assert_eq!(body["actions"][0]["command"], "create_image");
    bench.pass(3_599_999);
    assert_eq!(refusal(bench.delete(id)), (423, "locked".to_owned()));
    bench.pass(1);
    assert_eq!(bench.delete(id).0, 200);
    let unknown = bench.simulator.lock_server(1, seconds(1)).unwrap_err();
    assert_eq!(unknown, ControlError::UnknownServer { id: 1 });
}

#[test]
fn a_protected_server_is_deleted_only_after_its_protection() {
    let bench = Bench::new();
    let (id, _) = bench.create("web-1");
    bench.simulator.protect_server(id, Protection::On).unwrap();
    assert_eq!(refusal(bench.delete(id)), (423, "protected".to_owned()));
    let (_, body) = bench.get(&format!("/v1/servers/{id}"));
    assert_eq!(body["server"]["protection"], json!({"delete": true, "rebuild": true}));
    bench.simulator.protect_server(id, Protection::Off).unwrap();
    assert_eq!(bench.delete(id).0, 200);
}

#[test]
fn stock_runs_out_in_one_place_and_the_flag_learns_of_both_ends_late() {
    let mut bench = Bench::new();
    let late = |stock| StockChange::of("cpx22", "fsn1", stock).flag_after(seconds(30));
    bench.simulator.change_stock(late(Stock::Exhausted)).unwrap();
    assert_eq!(flag(&bench, "cpx22", "fsn1"), true, "the flag does not know yet");
    let refused = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    assert_eq!(refusal(refused), (412, "resource_unavailable".to_owned()));
    let mut elsewhere = order("web-1");
    elsewhere["location"] = json!("nbg1");
    assert_eq!(bench.call(Method::POST, "/v1/servers", Some(elsewhere)).0, 201);
    bench.pass(30_000);
    assert_eq!((flag(&bench, "cpx22", "fsn1"), flag(&bench, "cpx22", "nbg1")), (json!(false), json!(true)));
    bench.simulator.change_stock(late(Stock::Available)).unwrap();
    assert_eq!(flag(&bench, "cpx22", "fsn1"), false, "there is stock again and the flag does not know");
    bench.create("web-2");
    bench.pass(30_000);
    assert_eq!(flag(&bench, "cpx22", "fsn1"), true);
}

#[test]
fn each_kind_of_shortage_has_its_own_refusal() {
    let bench = Bench::new();
    for (stock, status, code) in [
        (Stock::Exhausted, 412, "resource_unavailable"),
        (Stock::Unplaceable, 422, "placement_error"),
        (Stock::Unsupported, 422, "invalid_input"),
    ] {
        bench.simulator.change_stock(StockChange::everywhere(stock)).unwrap();
        let refused = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
        assert_eq!(refusal(refused), (status, code.to_owned()));
    }
    assert_eq!(bench.live(), 0);
    for (kind, place) in [("nothing", "fsn1"), ("cpx22", "nowhere")] {
        let change = StockChange::of(kind, place, Stock::Exhausted);
        assert!(matches!(bench.simulator.change_stock(change), Err(ControlError::InvalidStock { .. })));
    }
}

#[test]
fn an_action_may_take_an_hour_and_end_in_error() {
    let mut bench = Bench::new();
    let slow = Fault::ActionTakes { duration: seconds(3600) };
    let fails = Fault::ActionFails { code: "action_failed".to_owned(), message: "server is locked".to_owned() };
    for fault in [slow.clone(), fails.clone()] {
        bench.simulator.add_fault(FaultRule::next(1, RouteMatcher::create_server(), fault)).unwrap();
    }
    let (id, action) = bench.create("web-1");
    let status = |bench: &Bench| bench.get(&format!("/v1/actions/{action}")).1["action"]["status"].clone();
    bench.pass(3_599_999);
    assert_eq!((status(&bench), bench.status(id)), (json!("running"), json!("initializing")));
    bench.pass(1);
    assert_eq!((status(&bench), bench.status(id)), (json!("error"), json!("initializing")));
    for fault in [slow, fails] {
        bench.simulator.add_fault(FaultRule::next(1, RouteMatcher::delete_server(), fault)).unwrap();
    }
    assert_eq!(bench.delete(id).1["action"]["status"], "running");
    bench.pass(3_599_999);
    assert_eq!(bench.status(id), "deleting", "it keeps its name for an hour");
    let taken = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    assert_eq!(refusal(taken), (409, "uniqueness_error".to_owned()));
    bench.pass(1);
    assert_eq!(bench.status(id), "initializing", "the delete failed");
}

#[test]
fn a_start_that_fails_leaves_a_server_that_is_switched_off_until_somebody_starts_it() {
    let fails = Fault::StartFails { code: "action_failed".to_owned(), message: "no host".to_owned() };
    let mut bench = Bench::with(FaultRule::next(1, RouteMatcher::create_server(), fails.clone()));
    let (id, create) = bench.create("web-1");
    bench.pass(60_000);
    let action = |id: u64| bench.get(&format!("/v1/actions/{id}")).1["action"].clone();
    assert_eq!(action(create)["status"], "success");
    let start = action(create + 1);
    assert_eq!((&start["command"], &start["status"]), (&json!("start_server"), &json!("error")));
    assert_eq!(bench.status(id), "off");
    bench.simulator.start_server(id).unwrap();
    assert_eq!(bench.status(id), "running");
    assert_eq!(bench.simulator.start_server(1).unwrap_err(), ControlError::UnknownServer { id: 1 });
    let elsewhere = FaultRule::next(1, RouteMatcher::delete_server(), fails);
    assert!(matches!(bench.simulator.add_fault(elsewhere), Err(ControlError::InvalidRule { .. })));
}

#[test]
fn a_field_of_a_server_may_be_null_wherever_it_is_shown() {
    let bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let shown = |field: &str| {
        let list = bench.get("/v1/servers?name=web-1").1["servers"][0][field].clone();
        (list, bench.get(&format!("/v1/servers/{id}")).1["server"][field].clone())
    };
    bench.simulator.garble_server(id, Some("name")).unwrap();
    assert_eq!(shown("name"), (Value::Null, Value::Null));
    assert_eq!(shown("id"), (json!(id), json!(id)));
    bench.simulator.garble_server(id, None).unwrap();
    assert_eq!(shown("name").1, "web-1");
    assert!(matches!(bench.simulator.garble_server(id, Some("x")), Err(ControlError::InvalidServer { .. })));
    assert_eq!(bench.simulator.garble_server(1, None).unwrap_err(), ControlError::UnknownServer { id: 1 });
}

#[test]
fn two_servers_may_have_one_name_against_what_the_api_promises() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let twin = bench.simulator.put_twin(id).unwrap();
    assert_eq!(bench.names("/v1/servers?name=web-1"), ["web-1", "web-1"]);
    assert_eq!(bench.status(twin), "running");
    bench.pass(60_000);
    for (gone, left, again) in [(id, vec!["web-1"], 409), (twin, Vec::new(), 201)] {
        assert_eq!(bench.delete(gone).0, 200);
        bench.pass(60_000);
        assert_eq!(bench.names("/v1/servers?name=web-1"), left);
        assert_eq!(bench.call(Method::POST, "/v1/servers", Some(order("web-1"))).0, again);
    }
    assert_eq!(bench.simulator.put_twin(1).unwrap_err(), ControlError::UnknownServer { id: 1 });
}

#[test]
fn a_list_may_show_what_a_request_by_id_does_not_find_yet() {
    let mut bench =
        Bench::with(FaultRule::next(1, RouteMatcher::create_server(), Fault::HideById { duration: seconds(30) }));
    let (id, _) = bench.create("web-1");
    let path = format!("/v1/servers/{id}");
    assert_eq!(bench.names("/v1/servers?name=web-1"), ["web-1"]);
    bench.pass(29_999);
    assert_eq!(refusal(bench.get(&path)), (404, "not_found".to_owned()));
    assert_eq!(refusal(bench.delete(id)), (404, "not_found".to_owned()));
    bench.pass(1);
    assert_eq!(bench.get(&path).0, 200);
}

#[test]
fn the_control_interface_reaches_locks_protection_and_stock() {
    let bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let server = |rest: &str| format!("/_sim/servers/{id}/{rest}");
    assert_eq!(control(&bench, Method::POST, &server("protection"), None), 204);
    assert_eq!(refusal(bench.delete(id)).1, "protected");
    assert_eq!(control(&bench, Method::DELETE, &server("protection"), None), 204);
    assert_eq!(control(&bench, Method::POST, &server("lock"), Some(json!({"for_ms": 1000}))), 204);
    assert_eq!(refusal(bench.delete(id)).1, "locked");
    assert_eq!(control(&bench, Method::POST, &server("start"), None), 204);
    assert_eq!(bench.status(id), "running");
    assert_eq!(control(&bench, Method::POST, &server("garble"), Some(json!({"field": "status"}))), 204);
    assert_eq!(bench.status(id), Value::Null);
    assert_eq!(control(&bench, Method::DELETE, &server("garble"), None), 204);
    assert_eq!(bench.status(id), "running");
    assert_eq!(control(&bench, Method::POST, &server("twin"), None), 201);
    assert_eq!(bench.names("/v1/servers?name=web-1"), ["web-1", "web-1"]);
    let stock = json!({"server_type": "cpx22", "stock": "exhausted", "flag_after_ms": 30_000});
    assert_eq!(control(&bench, Method::POST, "/_sim/stock", Some(stock)), 204);
    assert_eq!(bench.call(Method::POST, "/v1/servers", Some(order("web-2"))).0, 412);
    for (path, body, status) in [
        ("/_sim/servers/1/lock".to_owned(), json!({"for_ms": 1}), 404),
        ("/_sim/servers/1/protection".to_owned(), Value::Null, 404),
        ("/_sim/servers/x/protection".to_owned(), Value::Null, 400),
        (server("lock"), json!({"for": 1}), 400),
        ("/_sim/servers/1/start".to_owned(), Value::Null, 404),
        ("/_sim/servers/1/twin".to_owned(), Value::Null, 404),
        (server("garble"), json!({"field": "x"}), 400),
        (server("garble"), json!({}), 400),
        ("/_sim/stock".to_owned(), json!({"stock": "plenty"}), 400),
        ("/_sim/stock".to_owned(), json!({"server_type": "nothing", "stock": "exhausted"}), 400),
    ] {
        assert_eq!(control(&bench, Method::POST, &path, Some(body)), status, "{path}");
    }
}

#[test]
fn the_endless_plan_survives_json_and_does_not_end() {
    let plan = FaultPlan::endless(seconds(120));
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<FaultPlan>(&text).unwrap(), plan);
    let mut bench = Bench::of(Simulator::builder().rate_limit_per_hour(1_000_000).build());
    bench.simulator.add_plan(plan).unwrap();
    for day in 0..3 {
        let before = bench.simulator.ledger();
        for number in 0..200 {
            // Cut, refused or answered: all three have to be there each day.
            drop(bench.try_call(Method::POST, "/v1/servers", Some(order(&format!("web-{day}-{number}")))));
        }
        let ledger = bench.simulator.ledger();
        for status in [None, Some(201), Some(504), Some(502), Some(503), Some(429)] {
            assert!(ledger.answered_with(status) > before.answered_with(status), "day {day}: {status:?}");
        }
        bench.pass(86_400_000);
        bench.simulator.advance(super::SimInstant::at(bench.now));
        assert!(bench.simulator.ledger().late_effects > before.late_effects, "day {day}");
    }
}
