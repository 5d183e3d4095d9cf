//! Every fault: what the client sees, and what has happened.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::super::{ById, ControlError, Effect, Failure, Fault, FaultPlan, FaultRule, RouteMatcher, When};
use super::{Bench, error_code, order};

fn next_create(fault: Fault) -> FaultRule {
    FaultRule::next(1, RouteMatcher::create_server(), fault)
}

fn fail(failure: Failure, effect: Effect) -> Fault {
    Fault::Fail { failure, effect }
}

#[test]
fn cut_before_leaves_nothing_and_cut_after_leaves_a_server() {
    for (fault, live) in [(Fault::CutBefore, 0), (Fault::CutAfter, 1)] {
        let bench = Bench::with(next_create(fault));
        assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).is_none());
        assert_eq!(bench.live(), live);
        let again = bench.call(Method::POST, "/v1/servers", Some(order("web-1"))).0;
        assert_eq!(again, if live == 0 { 201 } else { 409 });
    }
}

#[test]
fn server_errors_come_with_and_without_the_effect() {
    for (failure, status, code) in [
        (Failure::ServerError, 500, "server_error"),
        (Failure::BadGateway, 502, "bad_gateway"),
        (Failure::Unavailable, 503, "unavailable"),
        (Failure::Timeout, 504, "timeout"),
    ] {
        for (effect, live) in [(Effect::None, 0), (Effect::Applied, 1)] {
            let bench = Bench::with(next_create(fail(failure, effect)));
            let (got, body) = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
            assert_eq!((got, error_code(&body), bench.live()), (status, code, live));
        }
    }
}

#[test]
fn gateway_may_answer_html() {
    let bench = Bench::with(next_create(fail(Failure::BadGatewayHtml, Effect::Applied)));
    let response = bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).unwrap();
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.body().starts_with(b"<html>"));
    assert_eq!(bench.live(), 1);
}

#[test]
fn late_effect_comes_at_its_own_time() {
    for failure in [Some(Failure::Timeout), None] {
        let effect_after = Duration::from_secs(3);
        let mut bench = Bench::with(next_create(Fault::Late { failure, effect_after }));
        let answer = bench.try_call(Method::POST, "/v1/servers", Some(order("web-1")));
        assert_eq!(answer.map(|it| it.status().as_u16()), failure.map(|_| 504));
        bench.pass(2_999);
        assert_eq!(bench.names("/v1/servers"), Vec::<String>::new());
        bench.pass(60_000);
        assert_eq!(bench.names("/v1/servers?status=running"), ["web-1"]);
        let ledger = bench.simulator.ledger();
        assert_eq!(ledger.servers[0].created_at.since_start(), effect_after);
        assert_eq!(ledger.late_effects, 1);
    }
}

#[test]
fn late_effect_meets_the_world_as_it_is_then() {
    let effect_after = Duration::from_secs(3);
    let mut bench = Bench::with(next_create(Fault::Late { failure: None, effect_after }));
    assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).is_none());
    bench.create("web-1");
    bench.pass(5_000);
    assert_eq!(bench.names("/v1/servers"), ["web-1"]);
    assert_eq!(bench.simulator.ledger().servers.len(), 1);
}

#[test]
fn late_effect_lands_when_the_name_is_free_again() {
    let effect_after = Duration::from_secs(30);
    let mut bench = Bench::with(next_create(Fault::Late { failure: None, effect_after }));
    assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).is_none());
    let (id, _) = bench.create("web-1");
    assert_eq!(bench.delete(id).0, 200);
    bench.pass(31_000);
    assert_eq!(bench.names("/v1/servers"), ["web-1"]);
    let duplicates = bench.simulator.ledger().duplicates();
    assert_eq!((duplicates.len(), duplicates[0].overlapping), (1, false));
    assert!(duplicates[0].is_late_landing());
    let server = bench.simulator.ledger().servers.pop().unwrap();
    assert_eq!((server.requested_at.since_start(), server.created_at.since_start()), (Duration::ZERO, effect_after));
}

#[test]
fn a_server_that_is_ordered_again_is_no_late_landing() {
    let mut bench = Bench::new();
    let (id, _) = bench.create("web-1");
    assert_eq!(bench.delete(id).0, 200);
    bench.pass(31_000);
    bench.create("web-1");
    let duplicates = bench.simulator.ledger().duplicates();
    assert_eq!((duplicates.len(), duplicates[0].is_late_landing()), (1, false));
}

#[test]
fn burst_of_429_ends_after_its_count() {
    let bench = Bench::with(FaultRule::next(2, RouteMatcher::any(), Fault::TooManyRequests));
    for _ in 0..2 {
        let response = bench.try_call(Method::GET, "/v1/servers", None).unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["ratelimit-remaining"], "0");
    }
    assert_eq!(bench.get("/v1/servers").0, 200);
}

#[test]
fn outage_has_a_start_and_an_end() {
    let outage = fail(Failure::Unavailable, Effect::None);
    let (after, length) = (Duration::from_secs(2), Duration::from_secs(3));
    let mut bench = Bench::with(FaultRule::outage(after, length, outage));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(bench.get("/v1/locations").0);
        bench.pass(1_000);
    }
    assert_eq!(statuses, [200, 200, 503, 503, 503, 200]);
}

#[test]
fn hidden_server_is_not_listed_but_its_name_is_taken() {
    for (by_id, status) in [(ById::Visible, 200), (ById::Hidden, 404)] {
        let duration = Duration::from_secs(2);
        let mut bench = Bench::with(next_create(Fault::Hide { duration, by_id }));
        let (id, _) = bench.create("web-1");
        bench.pass(1_999);
        assert_eq!(bench.names("/v1/servers?name=web-1"), Vec::<String>::new());
        assert_eq!(bench.get(&format!("/v1/servers/{id}")).0, status);
        assert_eq!(bench.call(Method::POST, "/v1/servers", Some(order("web-1"))).0, 409);
        bench.pass(1);
        assert_eq!(bench.names("/v1/servers?name=web-1"), ["web-1"]);
        assert_eq!(bench.get(&format!("/v1/servers/{id}")).0, 200);
    }
}

#[test]
fn stock_runs_out_for_one_type_in_one_location() {
    let fault = Fault::StockExhausted { server_type: Some("cpx22".to_owned()), location: Some("fsn1".to_owned()) };
    let mut bench = Bench::with(FaultRule::new(RouteMatcher::any(), When::Always, fault));
    let (status, body) = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    assert_eq!((status, error_code(&body)), (412, "resource_unavailable"));
    for (field, value) in [("location", "nbg1"), ("server_type", "cpx32")] {
        let mut wanted = order(field.replace('_', "-").as_str());
        wanted[field] = json!(value);
        assert_eq!(bench.call(Method::POST, "/v1/servers", Some(wanted)).0, 201);
    }
    let shown = |bench: &Bench| {
        let (_, body) = bench.get("/v1/server_types?name=cpx22");
        let locations = body["server_types"][0]["locations"].as_array().unwrap().clone();
        locations.iter().map(|it| it["available"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&bench), [true; 6]);
    bench.pass(30_000);
    assert_eq!(shown(&bench), [false, true, true, true, true, true]);
}

#[test]
fn create_action_may_end_in_error_and_the_server_stays() {
    let fault = Fault::ActionFails { code: "action_failed".into(), message: "no".into() };
    let mut bench = Bench::with(next_create(fault));
    let (id, action) = bench.create("web-1");
    bench.pass(60_000);
    let (_, body) = bench.get(&format!("/v1/actions/{action}"));
    assert_eq!(body["action"]["status"], "error");
    assert_eq!(body["action"]["error"], json!({"code": "action_failed", "message": "no"}));
    assert_eq!(bench.status(id), "initializing");
    assert_eq!(bench.delete(id).0, 200);
}

#[test]
fn delete_action_may_end_in_error_and_the_server_stays() {
    let fault = Fault::ActionFails { code: "action_failed".into(), message: "no".into() };
    let mut bench = Bench::with(FaultRule::next(1, RouteMatcher::delete_server(), fault));
    let (id, _) = bench.create("web-1");
    bench.pass(60_000);
    assert_eq!(bench.delete(id).0, 200);
    bench.pass(60_000);
    assert_eq!((bench.status(id), bench.live()), (json!("running"), 1));
    assert_eq!(bench.delete(id).0, 200);
    bench.pass(60_000);
    assert_eq!(bench.live(), 0);
}

#[test]
fn any_other_refusal_can_be_set() {
    let (status, code) = (403, "resource_limit_exceeded".to_owned());
    let fault = Fault::Refuse { status, code: code.clone(), message: "limit".into() };
    let bench = Bench::with(next_create(fault));
    let (got, body) = bench.call(Method::POST, "/v1/servers", Some(order("web-1")));
    assert_eq!((got, error_code(&body), bench.live()), (status, code.as_str(), 0));
}

#[test]
fn delayed_answer_has_its_effect_at_once() {
    let answer_after = Duration::from_secs(40);
    let bench = Bench::with(next_create(Fault::Delay { answer_after }));
    let wanted = Some(order("web-1"));
    let request = super::request(Method::POST, "/v1/servers", wanted, Some(super::DEFAULT_TOKEN));
    assert_eq!(bench.send(request).after, answer_after);
    assert_eq!(bench.live(), 1);
}

#[test]
fn changing_faults_apply_together_with_a_deciding_one() {
    let (duration, by_id) = (Duration::from_secs(2), ById::Visible);
    let bench = Bench::with(next_create(Fault::CutAfter));
    bench.simulator.add_fault(next_create(Fault::Hide { duration, by_id })).unwrap();
    bench.simulator.add_fault(next_create(Fault::CutBefore)).unwrap();
    assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-1"))).is_none());
    assert_eq!(bench.live(), 1);
    assert_eq!(bench.names("/v1/servers"), Vec::<String>::new());
    // The second deciding rule was not spent on the first request.
    assert!(bench.try_call(Method::POST, "/v1/servers", Some(order("web-2"))).is_none());
    assert_eq!(bench.live(), 1);
}

#[test]
fn faults_hit_only_their_route() {
    let bench = Bench::with(FaultRule::next(9, RouteMatcher::delete_server(), Fault::CutBefore));
    let (id, _) = bench.create("web-1");
    assert_eq!(bench.status(id), "initializing");
    assert!(bench.try_call(Method::DELETE, &format!("/v1/servers/{id}"), None).is_none());
}

#[test]
fn chance_follows_the_seed() {
    let outcomes = |seed: u64| -> Vec<u16> {
        let bench = Bench::of(super::Simulator::builder().seed(seed).build());
        let half = When::Chance { probability: 0.5, length: None };
        let rule = FaultRule::new(RouteMatcher::any(), half, Fault::TooManyRequests);
        bench.simulator.add_fault(rule).unwrap();
        (0..64).map(|_| bench.get("/v1/locations").0).collect()
    };
    assert_eq!(outcomes(1), outcomes(1));
    assert_ne!(outcomes(1), outcomes(2));
    assert!(outcomes(1).contains(&200) && outcomes(1).contains(&429));
}

#[test]
fn cleared_faults_are_over() {
    let bench = Bench::with(FaultRule::new(RouteMatcher::any(), When::Always, Fault::CutBefore));
    assert!(bench.try_call(Method::GET, "/v1/servers", None).is_none());
    bench.simulator.clear_faults();
    assert_eq!(bench.get("/v1/servers").0, 200);
}

#[test]
fn rules_that_could_never_fire_are_refused() {
    let (duration, by_id) = (Duration::from_secs(1), ById::Visible);
    let chance = When::Chance { probability: 1.1, length: None };
    let refuse = Fault::Refuse { status: 200, code: String::new(), message: String::new() };
    for rule in [
        FaultRule::next(1, RouteMatcher::on(&Method::GET, "/server"), Fault::CutBefore),
        FaultRule::next(1, RouteMatcher::on(&Method::PATCH, "/servers"), Fault::CutBefore),
        FaultRule::next(1, RouteMatcher::delete_server(), Fault::Hide { duration, by_id }),
        FaultRule::new(RouteMatcher::any(), chance, Fault::CutBefore),
        FaultRule::next(1, RouteMatcher::any(), refuse),
    ] {
        let result = Bench::new().simulator.add_fault(rule.clone());
        assert!(matches!(result, Err(ControlError::InvalidRule { .. })), "{rule:?}");
    }
}

#[test]
fn rough_plan_follows_its_seed_survives_json_and_ends() {
    for seed in 0..100 {
        let plan = FaultPlan::rough(seed);
        assert_eq!(plan, FaultPlan::rough(seed));
        let text = serde_json::to_string(&plan).unwrap();
        let read: FaultPlan = serde_json::from_str(&text).unwrap();
        let mut bench = Bench::new();
        bench.simulator.add_plan(read).unwrap();
        bench.pass(12_000);
        for _ in 0..50 {
            assert_eq!(bench.get("/v1/servers").0, 200);
        }
    }
    assert_ne!(FaultPlan::rough(1), FaultPlan::rough(2));
}
