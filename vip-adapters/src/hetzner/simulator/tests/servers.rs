//! The life of a server: created, running, renamed, deleted.

use http::Method;
use serde_json::{Value, json};

use super::super::Simulator;
use super::{Bench, error_code, order};

#[test]
fn create_answers_a_preliminary_server_with_a_running_action() {
    let bench = Bench::new();
    let (status, body) = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    assert_eq!(status, 201);
    assert_eq!(body["server"]["status"], "initializing");
    assert_eq!(body["action"]["command"], "create_server");
    assert_eq!(body["action"]["status"], "running");
    assert_eq!(body["next_actions"][0]["command"], "start_server");
    assert_eq!(body["root_password"], Value::Null);
    assert!(body["server"]["public_net"]["ipv4"]["ip"].is_string());
}

#[test]
fn root_password_is_answered_only_without_ssh_keys() {
    let bench = Bench::new();
    let mut wanted = order("web-1");
    wanted["ssh_keys"] = json!([]);
    let (_, body) = bench.call(Method::POST, "/v1/servers", Some(wanted));
    assert_eq!(body["root_password"].as_str().unwrap().len(), 20);
}

#[test]
fn created_server_runs_a_moment_after_its_start_action() {
    let mut bench = Bench::new();
    let (id, action) = bench.create("web-1");
    assert_eq!(bench.status(id), "initializing");
    bench.pass(9_999);
    assert_eq!(bench.status(id), "initializing");
    bench.pass(2_001);
    assert_eq!(bench.get(&format!("/v1/actions/{action}")).1["action"]["status"], "success");
    bench.pass(1_000);
    assert_eq!(bench.status(id), "running");
}

#[test]
fn server_reads_starting_after_its_start_action_succeeded() {
    let mut bench = Bench::new();
    let (id, action) = bench.create("web-1");
    let start = format!("/v1/actions/{}", action + 1);
    while bench.get(&start).1["action"]["status"] == "running" {
        bench.pass(10);
    }
    assert_eq!(bench.status(id), "starting");
}

#[test]
fn server_ordered_off_stays_off() {
    let mut bench = Bench::new();
    let mut wanted = order("web-1");
    wanted["start_after_create"] = json!(false);
    let (_, body) = bench.call(Method::POST, "/v1/servers", Some(wanted));
    assert_eq!(body["next_actions"], json!([]));
    bench.pass(60_000);
    assert_eq!(bench.status(body["server"]["id"].as_u64().unwrap()), "off");
}

#[test]
fn name_is_unique_also_while_the_server_is_deleting() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let again = || Some(order("web-1"));
    let (status, body) = bench.call(Method::POST, "/v1/servers", again());
    assert_eq!((status, error_code(&body)), (409, "uniqueness_error"));
    assert_eq!(body["error"]["details"], json!({}));
    assert_eq!(bench.delete(id).0, 200);
    assert_eq!(bench.call(Method::POST, "/v1/servers", again()).0, 409);
    bench.pass(1_000);
    assert_eq!(bench.call(Method::POST, "/v1/servers", again()).0, 201);
}

#[test]
fn deleted_server_is_deleting_for_a_moment_and_then_not_found() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    let (status, body) = bench.delete(id);
    assert_eq!((status, &body["action"]["command"]), (200, &json!("delete_server")));
    assert_eq!(bench.status(id), "deleting");
    let (status, body) = bench.delete(id);
    assert_eq!((status, error_code(&body)), (423, "locked"));
    bench.pass(1_000);
    let (status, body) = bench.get(&format!("/v1/servers/{id}"));
    assert_eq!((status, error_code(&body)), (404, "not_found"));
    assert_eq!(bench.delete(id).0, 404);
}

#[test]
fn actions_of_a_deleted_server_are_still_answered() {
    let mut bench = Bench::new();
    let (id, create) = bench.create("web-1");
    let (_, body) = bench.delete(id);
    let delete = body["action"]["id"].as_u64().unwrap();
    bench.pass(60_000);
    assert_eq!(bench.get(&format!("/v1/actions/{delete}")).1["action"]["status"], "success");
    // The create was overtaken by the delete.
    assert_eq!(bench.get(&format!("/v1/actions/{create}")).1["action"]["status"], "error");
    assert_eq!(bench.get(&format!("/v1/servers/{id}/actions")).0, 404);
}

#[test]
fn update_replaces_all_labels_and_moves_the_name() {
    let bench = Bench::new();
    let (id, _) = bench.create("web-1");
    bench.create("web-2");
    let path = format!("/v1/servers/{id}");
    let put = |body: Value| bench.call(Method::PUT, &path, Some(body));
    assert_eq!(put(json!({"name": "web-2"})).0, 409);
    let (status, body) = put(json!({"name": "web-3", "labels": {"a": "b"}}));
    assert_eq!((status, &body["server"]["name"]), (200, &json!("web-3")));
    assert_eq!(body["server"]["labels"], json!({"a": "b"}));
    assert_eq!(put(json!({})).1["server"]["labels"], json!({"a": "b"}));
    bench.create("web-1");
}

#[test]
fn ids_rise_over_all_projects_and_kinds() {
    let simulator = Simulator::builder().token("one").project("other", "two").build();
    let bench = Bench::of(simulator);
    let create = |token: &str| {
        let request = super::request(Method::POST, "/v1/servers", Some(order("same")), Some(token));
        let super::Outcome::Respond(response) = bench.send(request).outcome else { panic!("cut") };
        assert_eq!(response.status(), 201);
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        (body["server"]["id"].as_u64().unwrap(), body["action"]["id"].as_u64().unwrap())
    };
    let (one, two) = (create("one"), create("two"));
    assert!(one.0 < one.1 && one.1 < two.0 && two.0 < two.1);
}

#[test]
fn busy_servers_are_locked_only_when_asked_for() {
    let simulator = Simulator::builder().locked_while_busy().build();
    let mut bench = Bench::of(simulator);
    let (id, _) = bench.create("web-1");
    assert_eq!(bench.get(&format!("/v1/servers/{id}")).1["server"]["locked"], true);
    assert_eq!(bench.delete(id).0, 423);
    bench.pass(60_000);
    assert_eq!(bench.delete(id).0, 200);
}

#[test]
fn same_seed_gives_the_same_answers_and_another_seed_does_not() {
    let passwords = |seed: u64| {
        let bench = Bench::of(Simulator::builder().seed(seed).build());
        let mut wanted = order("web-1");
        wanted["ssh_keys"] = json!([]);
        bench.call(Method::POST, "/v1/servers", Some(wanted)).1["root_password"].clone()
    };
    assert_eq!(passwords(1), passwords(1));
    assert_ne!(passwords(1), passwords(2));
}
