//! Limits of requests at n and at n + 1, for each tenant and for each caller.

use std::time::Duration;

use vip_http::{RateLimit, RateLimits};

use crate::app::{App, order};

async fn limited(tenant: Option<u32>, caller: Option<u32>, window: Duration) -> App {
    let mut app = App::accepting().await;
    let limit = |requests: Option<u32>| requests.map(|requests| RateLimit::new(requests, window).unwrap());
    let mut limits = RateLimits::default();
    (limits.tenant, limits.caller) = (limit(tenant), limit(caller));
    app.router = app.api.clone().rate_limits(limits).application();
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_its_requests_and_one_more_is_429_with_what_is_left_and_when_to_come_back() {
    let app = limited(None, Some(3), Duration::from_secs(3600)).await;
    for left in [2, 1, 0] {
        let answer = app.get(&app.acme, "/v1/servers").await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.header("ratelimit-policy"), "\"caller\";q=3;w=3600");
        assert_eq!(answer.header("ratelimit"), format!("\"caller\";r={left}"));
    }
    let refused = app.order(&app.acme, "order-1", &order("web-1")).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "too_many_requests"));
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1200).contains(&seconds), "a third of an hour for one of three: {seconds}");
    assert_eq!(refused.header("ratelimit"), format!("\"caller\";r=0;t={seconds}"));
    assert_eq!(app.get(&app.acme_reader, "/v1/servers").await.body["items"], serde_json::json!([]), "another caller");
    assert_eq!(app.get(&app.other, "/v1/servers").await.status.as_u16(), 200);
    assert_eq!(app.get(&app.operator, "/v1/operator/accounts").await.status.as_u16(), 200);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_its_requests_whoever_of_its_callers_sends_them() {
    let app = limited(Some(4), Some(3), Duration::from_secs(3600)).await;
    for _ in 0..3 {
        assert_eq!(app.get(&app.acme, "/v1/servers").await.status.as_u16(), 200);
    }
    for _ in 0..5 {
        let refused = app.get(&app.acme, "/v1/servers").await;
        assert_eq!(
            (refused.code(), refused.text("/detail")),
            ("too_many_requests", "The limit of the caller is used up.")
        );
    }
    let last = app.get(&app.acme_reader, "/v1/servers").await;
    assert_eq!(last.status.as_u16(), 200, "what a caller is refused costs its tenant nothing");
    assert_eq!(last.header("ratelimit-policy"), "\"caller\";q=3;w=3600, \"tenant\";q=4;w=3600");
    assert_eq!(last.header("ratelimit"), "\"caller\";r=2, \"tenant\";r=0");
    let refused = app.get(&app.acme_reader, "/v1/servers").await;
    assert_eq!(refused.text("/detail"), "The limit of the tenant is used up.");
    assert_eq!(app.get(&app.other, "/v1/servers").await.status.as_u16(), 200, "another tenant");
    for _ in 0..2 {
        assert_eq!(app.get(&app.operator, "/v1/operator/accounts").await.status.as_u16(), 200, "of no tenant");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_not_turned_away_from_what_only_operators_may_do() {
    let app = limited(None, Some(1), Duration::from_secs(3600)).await;
    for path in ["/healthz", "/v1/operator/accounts", "/v1/operator/jobs?state=dead", "/healthz"] {
        let answer = app.get(&app.operator, path).await;
        assert!(answer.status == 200 && !answer.headers.contains_key("ratelimit"), "{path} {answer:?}");
    }
    // What it may not do is counted.
    let codes = [app.get(&app.operator, "/v1/servers").await, app.get(&app.operator, "/v1/servers").await];
    assert_eq!(codes.map(|answer| answer.status.as_u16()), [403, 429]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_when_it_was_told_to_is_served() {
    let app = limited(None, Some(1), Duration::from_secs(1)).await;
    assert_eq!(app.get(&app.acme, "/v1/servers").await.status.as_u16(), 200);
    let mut answer = app.get(&app.acme, "/v1/servers").await;
    // A busy machine may take its second between both.
    if answer.status == 429 {
        assert_eq!(answer.header("retry-after"), "1");
        vip_tests::site::pause(Duration::from_secs(1)).await;
        answer = app.get(&app.acme, "/v1/servers").await;
    }
    assert_eq!(answer.status.as_u16(), 200);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_nothing_is_said_of_one_and_who_is_nobody_uses_nothing_up() {
    let app = App::accepting().await;
    for _ in 0..50 {
        let answer = app.get(&app.acme, "/v1/servers").await;
        assert!(answer.status == 200 && !answer.headers.contains_key("ratelimit-policy"), "{answer:?}");
    }
    app.end().await;
    let app = limited(Some(1), None, Duration::from_secs(3600)).await;
    for _ in 0..3 {
        let nobody = crate::app::Key(format!("{}x", app.acme.0));
        assert_eq!(app.get(&nobody, "/v1/servers").await.code(), "unauthenticated");
    }
    assert_eq!(app.get(&app.acme, "/v1/servers").await.status.as_u16(), 200);
    app.end().await;
}
