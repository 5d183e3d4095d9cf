//! Every limit of a request at n and at n + 1.

use serde_json::{Value, json};
use vip_http::axum::body::Body;
use vip_http::axum::http::StatusCode;
use vip_http::limits;

use crate::app::{Answer, App, order, request};

/// Sends an order whose body is padded with white space to a length.
async fn padded(app: &App, length: usize) -> Answer {
    let mut text = order("web-1").to_string();
    text.push_str(&" ".repeat(length - text.len()));
    let request = request("POST", "/v1/servers", Some(&app.acme)).header("content-type", "application/json");
    let request = request.header("idempotency-key", format!("of-{length}"));
    app.send(request.body(Body::from(text)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_at_most_256_kib() {
    let app = App::accepting().await;
    assert_eq!(padded(&app, limits::BODY_BYTES).await.status, StatusCode::ACCEPTED);
    let answer = padded(&app, limits::BODY_BYTES + 1).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (413, "body_too_large"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_of_32_kib_fits_into_a_body_however_it_is_escaped() {
    let app = App::accepting().await;
    let mut body = order("web-1");
    body["user_data"] = Value::from("\u{1}".repeat(32 * 1024));
    assert!(body.to_string().len() > 6 * 32 * 1024);
    assert_eq!(app.order(&app.acme, "order-1", &body).await.status, StatusCode::ACCEPTED);
    body["user_data"] = Value::from("\u{1}".repeat(32 * 1024 + 1));
    let answer = app.order(&app.acme, "order-2", &body).await;
    assert_eq!((answer.code(), answer.text("/errors/0/value")), ("invalid", ""));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_at_most_200_items_and_a_wait_at_most_30_seconds() {
    let app = App::accepting().await;
    let location = app.order(&app.acme, "order-1", &order("web-1")).await.header("location").to_owned();
    for limit in ["1", "200"] {
        assert_eq!(app.get(&app.acme, &format!("/v1/servers?limit={limit}")).await.status, StatusCode::OK);
    }
    for limit in ["0", "201", "-1", "1.5", "x", "", "99999999999999999999"] {
        let answer = app.get(&app.acme, &format!("/v1/servers?limit={limit}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_query"), "{limit}");
    }
    app.api.drain();
    assert_eq!(app.get(&app.acme, &format!("{location}?wait=30")).await.status, StatusCode::OK);
    for wait in ["31", "-1", "x"] {
        assert_eq!(app.get(&app.acme, &format!("{location}?wait={wait}")).await.code(), "invalid_query", "{wait}");
    }
    assert_eq!(app.get(&app.acme, &format!("{location}?wiat=3")).await.code(), "invalid_query");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_of_exactly_the_documented_form_is_read() {
    let app = App::accepting().await;
    let body = order("web-1").to_string();
    let cases = [
        ("text/plain", body.clone(), "unsupported_media_type"),
        ("", body.clone(), "unsupported_media_type"),
        ("application/json", String::new(), "malformed_body"),
        ("application/json", "{".to_owned(), "malformed_body"),
        ("application/json", "[]".to_owned(), "malformed_body"),
        ("application/json", body.replacen("web-1", "\u{0}", 1), "malformed_body"),
        ("application/json", body.replacen("\"name\"", "\"nmae\"", 1), "malformed_body"),
        ("application/json", body.replacen('{', "{\"name\":\"twice\",", 1), "malformed_body"),
        ("application/json", body.replacen('{', "{\"state\":\"running\",", 1), "malformed_body"),
        ("application/json", format!("{body}{body}"), "malformed_body"),
        ("application/json", "[".repeat(100_000), "malformed_body"),
    ];
    for (number, (kind, text, code)) in cases.into_iter().enumerate() {
        let request = request("POST", "/v1/servers", Some(&app.acme)).header("content-type", kind);
        let request = request.header("idempotency-key", "order-1").body(Body::from(text)).unwrap();
        let answer = app.send(request).await;
        assert_eq!(answer.code(), code, "case {number}: {answer:?}");
    }
    let request =
        request("POST", "/v1/servers", Some(&app.acme)).header("content-type", "Application/JSON; charset=utf-8");
    let request = request.header("idempotency-key", "order-1").body(Body::from(body)).unwrap();
    assert_eq!(app.send(request).await.status, StatusCode::ACCEPTED);
    assert_eq!(app.get(&app.acme, "/v1/servers").await.body["items"].as_array().unwrap().len(), 1);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wrong_body_says_is_not_repeated() {
    let app = App::accepting().await;
    let mut body = order("web-1");
    body["user_data"] = json!({ "password": "hunter2-canary" });
    let answer = app.order(&app.acme, "order-1", &body).await;
    assert_eq!(answer.code(), "malformed_body");
    assert!(!answer.body.to_string().contains("canary"), "{answer:?}");
    app.end().await;
}
