//! Who may do what: no handler runs without an identity, and nothing panics for want of one.

use async_trait::async_trait;
use vip_http::axum::body::Body;
use vip_http::axum::http::{HeaderMap, StatusCode};
use vip_http::{Api, AuthError, Authenticator, Identity};

use crate::app::{App, Key, order, request};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_valid_key_is_refused_whatever_it_is() {
    let app = App::accepting().await;
    let good = &app.acme.0;
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Basic {good}"),
        format!("Bearer  {good}"),
        format!("Bearer {good} "),
        format!("Bearer {good}x"),
        format!("Bearer {}", &good[..good.len() - 1]),
        format!("Bearer {}", "k".repeat(10_000)),
        good.clone(),
    ];
    for value in wrong {
        let mut request = request("GET", "/v1/servers", None).body(Body::empty()).unwrap();
        request.headers_mut().insert("authorization", value.parse().unwrap());
        let answer = app.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthenticated"), "{value:.40}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let mut twice = request("GET", "/v1/servers", Some(&app.acme)).body(Body::empty()).unwrap();
    twice.headers_mut().append("authorization", format!("Bearer {good}").parse().unwrap());
    assert_eq!(app.send(twice).await.code(), "unauthenticated");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_comes_from_the_key_and_from_nowhere_else() {
    let app = App::accepting().await;
    let server = app.order(&app.acme, "order-1", &order("web-1")).await;
    let mut posing = request("GET", "/v1/servers", Some(&app.other)).body(Body::empty()).unwrap();
    for name in ["x-tenant", "tenant", "x-tenant-id", "vip-tenant"] {
        posing.headers_mut().insert(name, "acme".parse().unwrap());
    }
    assert_eq!(app.send(posing).await.body["items"], serde_json::json!([]));
    assert_eq!(app.get(&app.other, "/v1/servers?tenant=acme").await.code(), "invalid_query");
    let mut posing = order("web-2");
    posing["tenant"] = "acme".into();
    assert_eq!(app.order(&app.other, "order-2", &posing).await.code(), "malformed_body");
    let path = format!("/v1/servers/{}", server.text("/server_id"));
    assert_eq!(app.get(&app.other, &path).await.code(), "not_found");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tenant_has_looks_as_what_nobody_has() {
    let app = App::accepting().await;
    let theirs = app.order(&app.acme, "order-1", &order("web-1")).await;
    let nobodys = "01890a5d-ac96-774b-bcce-b302099a8057";
    for (kind, id) in [("servers", theirs.text("/server_id")), ("operations", theirs.text("/id"))] {
        let mut foreign = app.get(&app.other, &format!("/v1/{kind}/{id}")).await;
        let mut missing = app.get(&app.other, &format!("/v1/{kind}/{nobodys}")).await;
        for answer in [&mut foreign, &mut missing] {
            assert_eq!((answer.status.as_u16(), answer.code()), (404, "not_found"));
            answer.body["request_id"] = "-".into();
        }
        assert_eq!(foreign.body, missing.body);
    }
    app.end().await;
}

#[derive(Debug)]
enum Broken {
    Panics,
    Unavailable,
}

#[async_trait]
impl Authenticator for Broken {
    async fn authenticate(&self, _headers: &HeaderMap) -> Result<Identity, AuthError> {
        match self {
            Self::Panics => panic!("with a secret in its words"),
            Self::Unavailable => Err(AuthError::Unavailable { source: "down".into() }),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_an_authenticator_that_is_down_are_problems_and_the_next_request_is_served() {
    for (broken, expected) in [(Broken::Panics, (500, "internal")), (Broken::Unavailable, (503, "unavailable"))] {
        let mut app = App::accepting().await;
        let whole = app.router.clone();
        app.router = Api::new(&app.provisioner, broken).unwrap().application();
        let answer = app.get(&app.acme, "/v1/servers").await;
        assert_eq!((answer.status.as_u16(), answer.code()), expected);
        assert!(!answer.body.to_string().contains("secret"), "{answer:?}");
        app.router = whole;
        assert_eq!(app.get(&app.acme, "/v1/servers").await.status, StatusCode::OK);
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ordered_and_which_request_it_was_stand_in_the_audit() {
    let app = App::accepting().await;
    let mut ordered = crate::app::json_request("POST", "/v1/servers", Some(&app.acme_writer), &order("web-1"));
    ordered.headers_mut().insert("idempotency-key", "order-1".parse().unwrap());
    ordered.headers_mut().insert("x-request-id", "panel-77".parse().unwrap());
    let answer = app.send(ordered).await;
    assert_eq!((answer.header("x-request-id"), answer.text("/request_id")), ("panel-77", "panel-77"));
    let acme = vip_core::model::TenantId::new("acme").unwrap();
    app.provisioner.operator().verify_audit(&acme, None).await.unwrap();
    let records = app.provisioner.operator().audit(&acme, 0).await.unwrap();
    let first = &records.first().unwrap().body;
    assert!(first.contains("panel-77") && first.contains("writer"), "{first}");
    let mut odd = request("GET", "/v1/servers", Some(&Key(app.acme.0.clone()))).body(Body::empty()).unwrap();
    odd.headers_mut().insert("x-request-id", "two words".parse().unwrap());
    assert_eq!(app.send(odd).await.header("x-request-id").len(), 36, "what is not well formed is replaced");
    app.end().await;
}
