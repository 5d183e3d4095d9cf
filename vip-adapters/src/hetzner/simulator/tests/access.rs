//! Tokens, projects, unknown routes, and the rate limit.

use http::{Method, Response};
use serde_json::{Value, json};

use super::super::Simulator;
use super::{Bench, Bytes, DEFAULT_TOKEN, Outcome, error_code, order, request};

fn ask(bench: &Bench, method: Method, path: &str, token: Option<&str>) -> Response<Bytes> {
    let body = (method == Method::POST).then(|| order("web-1"));
    match bench.send(request(method, path, body, token)).outcome {
        Outcome::Respond(response) => response,
        Outcome::Cut => panic!("the connection was cut"),
    }
}

fn status_and_code(response: &Response<Bytes>) -> (u16, String) {
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    (response.status().as_u16(), error_code(&body).to_owned())
}

#[test]
fn token_is_checked_after_the_route_and_before_the_method() {
    let bench = Bench::new();
    let answer = |method, path, token| status_and_code(&ask(&bench, method, path, token));
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(answer(Method::GET, "/v1/nope", None), is(404, "not_found"));
    assert_eq!(answer(Method::PATCH, "/v1/servers", None), is(401, "unauthorized"));
    assert_eq!(answer(Method::GET, "/v1/servers", Some("wrong")), is(401, "unauthorized"));
    let valid = Some(DEFAULT_TOKEN);
    assert_eq!(answer(Method::PATCH, "/v1/servers", valid), is(405, "method_not_allowed"));
}

#[test]
fn read_only_token_reads_only() {
    let simulator = Simulator::builder().token("full").read_only_token("default", "view").build();
    let bench = Bench::of(simulator);
    assert_eq!(ask(&bench, Method::GET, "/v1/servers", Some("view")).status(), 200);
    let refused = ask(&bench, Method::POST, "/v1/servers", Some("view"));
    assert_eq!(status_and_code(&refused), (401, "token_readonly".to_owned()));
    assert_eq!(bench.live(), 0);
}

#[test]
fn projects_do_not_see_each_other() {
    let bench = Bench::of(Simulator::builder().token("one").project("other", "two").build());
    let created = ask(&bench, Method::POST, "/v1/servers", Some("one"));
    let body: Value = serde_json::from_slice(created.body()).unwrap();
    let (id, action) = (&body["server"]["id"], &body["action"]["id"]);
    for (method, path) in [
        (Method::GET, format!("/v1/servers/{id}")),
        (Method::DELETE, format!("/v1/servers/{id}")),
        (Method::GET, format!("/v1/servers/{id}/actions")),
        (Method::GET, format!("/v1/actions/{action}")),
    ] {
        assert_eq!(ask(&bench, method, &path, Some("two")).status(), 404, "{path}");
    }
    for path in ["/v1/servers", "/v1/servers/actions"] {
        let list: Value = serde_json::from_slice(ask(&bench, Method::GET, path, Some("two")).body()).unwrap();
        assert_eq!(list["meta"]["pagination"]["total_entries"], json!(0));
    }
    assert_eq!(ask(&bench, Method::POST, "/v1/servers", Some("two")).status(), 201);
}

#[test]
fn rate_limit_is_shared_by_a_project_and_refills_evenly() {
    let builder = Simulator::builder().rate_limit_per_hour(60).token("one").token("two");
    let mut bench = Bench::of(builder.project("other", "three").build());
    for _ in 0..30 {
        assert_eq!(ask(&bench, Method::GET, "/v1/servers", Some("one")).status(), 200);
        assert_eq!(ask(&bench, Method::GET, "/v1/servers", Some("two")).status(), 200);
    }
    let refused = ask(&bench, Method::GET, "/v1/servers", Some("one"));
    assert_eq!(status_and_code(&refused), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!(ask(&bench, Method::GET, "/v1/servers", Some("three")).status(), 200);
    bench.pass(60_000);
    assert_eq!(ask(&bench, Method::GET, "/v1/servers", Some("two")).status(), 200);
    assert_eq!(ask(&bench, Method::GET, "/v1/servers", Some("one")).status(), 429);
}

#[test]
fn text_of_a_429_carries_a_prefix_of_the_token_but_not_all_of_it() {
    let bench = Bench::of(Simulator::builder().rate_limit_per_hour(1).build());
    ask(&bench, Method::GET, "/v1/servers", Some(DEFAULT_TOKEN));
    let refused = ask(&bench, Method::GET, "/v1/servers", Some(DEFAULT_TOKEN));
    let text = String::from_utf8(refused.body().to_vec()).unwrap();
    assert!(text.contains(&DEFAULT_TOKEN[..16]) && !text.contains(DEFAULT_TOKEN));
}

#[test]
fn every_answer_carries_the_rate_limit_and_an_own_correlation_id() {
    let mut bench = Bench::new();
    bench.pass(5_000);
    let mut seen = std::collections::BTreeSet::new();
    for (path, token) in [("/v1/servers", Some(DEFAULT_TOKEN)), ("/v1/nope", None)] {
        let response = ask(&bench, Method::GET, path, token);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("ratelimit-limit"), "3600");
        assert_eq!(header("ratelimit-remaining"), "3599");
        assert_eq!(header("ratelimit-reset"), (1_793_491_200 + 5 + 1).to_string());
        seen.insert(header("x-correlation-id"));
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn debug_output_shows_no_token() {
    let builder = Simulator::builder().token("secret-token");
    let text = format!("{builder:?} {:?}", builder.clone().build());
    assert!(!text.contains("secret-token"), "{text}");
}
