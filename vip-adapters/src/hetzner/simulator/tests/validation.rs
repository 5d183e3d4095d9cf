//! What the create body must look like.

use http::Method;
use serde_json::{Value, json};

use super::{Bench, error_code, order};

fn create_with(field: &str, value: Value) -> (u16, Value) {
    let mut wanted = order("web-1");
    wanted[field] = value;
    Bench::new().call(Method::POST, "/v1/servers", Some(wanted))
}

#[test]
fn each_wrong_field_is_named() {
    for (field, value) in [
        ("name", json!("web_1")),
        ("name", json!("")),
        ("name", json!(7)),
        ("name", Value::Null),
        ("server_type", json!("cx99")),
        ("image", json!("ubuntu-1.0")),
        ("location", json!("mars1")),
        ("ssh_keys", json!(["nobody"])),
        ("ssh_keys", json!("ops")),
        ("labels", json!({"-bad": "x"})),
        ("labels", json!({"good": "b a d"})),
        ("labels", json!({"good": 1})),
        ("start_after_create", json!("yes")),
        ("volumes", json!([1])),
        ("public_net", json!({"ipv4": 1})),
    ] {
        let (status, body) = create_with(field, value.clone());
        assert_eq!((status, error_code(&body)), (422, "invalid_input"), "{field}: {value}");
        let fields = body["error"]["details"]["fields"].as_array().unwrap();
        assert!(fields.iter().any(|it| it["name"] == field), "{field}: {body}");
    }
}

#[test]
fn all_wrong_fields_are_answered_at_once() {
    let wanted = json!({"name": "-", "server_type": "x", "location": "y", "user_date": ""});
    let (_, body) = Bench::new().call(Method::POST, "/v1/servers", Some(wanted));
    let fields = body["error"]["details"]["fields"].as_array().unwrap();
    let names: Vec<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    for name in ["body", "name", "server_type", "location", "image"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
}

#[test]
fn user_data_limit_holds_at_32_kib_and_one_more() {
    assert_eq!(create_with("user_data", json!("x".repeat(32 * 1024))).0, 201);
    let (status, body) = create_with("user_data", json!("x".repeat(32 * 1024 + 1)));
    assert_eq!(status, 422);
    assert_eq!(body["error"]["details"]["fields"][0]["name"], "user_data");
}

#[test]
fn type_that_a_location_does_not_offer_is_invalid_input_as_in_the_wild() {
    let mut wanted = order("web-1");
    wanted["server_type"] = json!("cx23");
    wanted["location"] = json!("ash");
    let (status, body) = Bench::new().call(Method::POST, "/v1/servers", Some(wanted));
    assert_eq!((status, error_code(&body)), (422, "invalid_input"));
    assert!(body.to_string().contains("unsupported location for server type"));
}

#[test]
fn image_name_follows_the_architecture_and_a_wrong_id_is_refused() {
    let mut wanted = order("web-1");
    wanted["server_type"] = json!("cax11");
    let bench = Bench::new();
    let (_, body) = bench.call(Method::POST, "/v1/servers", Some(wanted.clone()));
    assert_eq!(body["server"]["image"]["architecture"], "arm");
    wanted["name"] = json!("web-2");
    wanted["image"] = json!("161547269");
    assert_eq!(bench.call(Method::POST, "/v1/servers", Some(wanted)).0, 422);
}

#[test]
fn body_that_is_not_a_json_object_is_a_json_error() {
    let bench = Bench::new();
    for body in [json!([]), json!("x")] {
        let (status, body) = bench.call(Method::POST, "/v1/servers", Some(body));
        assert_eq!((status, error_code(&body)), (400, "json_error"));
    }
    assert_eq!(bench.call(Method::POST, "/v1/servers", None).0, 400);
}

#[test]
fn refused_creates_leave_nothing() {
    let bench = Bench::new();
    let (status, _) = bench.call(Method::POST, "/v1/servers", Some(json!({"name": "web-1"})));
    assert_eq!((status, bench.simulator.ledger().servers.len()), (422, 0));
    bench.create("web-1");
}
