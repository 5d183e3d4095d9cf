//! Answers that an HTTP server gives and the API would not.

use std::time::Duration;

use vip_core::ports::{ProviderClient, ProviderErrorKind as Kind, RequestContext};
use wiremock::matchers::{any, body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{TOKEN, client, context, create_request, created, id, name};

/// The most bytes of a body that the client reads.
const BODY_BYTES: usize = 4 * 1024 * 1024;

async fn server(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(template).mount(&server).await;
    server
}

async fn requests(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn a_create_goes_over_the_wire_and_comes_back() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/servers"))
        .and(header("authorization", format!("Bearer {TOKEN}")))
        .and(header("content-type", "application/json"))
        .and(body_partial_json(serde_json::json!({"name": name().as_str(), "start_after_create": true})))
        .respond_with(ResponseTemplate::new(201).set_body_json(created()).insert_header("x-correlation-id", "7c2a9f"))
        .expect(1)
        .mount(&server)
        .await;
    let created = client(&format!("{}/v1/", server.uri())).create(&create_request(), &context()).await.unwrap();
    assert_eq!((created.server.id, created.correlation_id.as_deref()), (id(), Some("7c2a9f")));
}

#[tokio::test]
async fn a_gateways_page_is_unknown() {
    for status in [500, 502, 503, 504, 413] {
        let server = server(ResponseTemplate::new(status).set_body_string("<html><h1>Bad Gateway</h1></html>")).await;
        let client = client(&server.uri());
        let error = client.create(&create_request(), &context()).await.unwrap_err();
        assert_eq!((error.kind, error.code), (Kind::Unknown, format!("http_{status}")));
        assert_eq!(client.find(&name(), &context()).await.unwrap_err().kind, Kind::Unknown);
        assert_eq!(requests(&server).await, 2, "each was sent once");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_unknown() {
    for status in [200, 201, 204] {
        let server = server(ResponseTemplate::new(status)).await;
        let client = client(&server.uri());
        assert_eq!(client.create(&create_request(), &context()).await.unwrap_err().kind, Kind::Unknown);
        assert_eq!(client.get(&id(), &context()).await.unwrap_err().kind, Kind::Unknown);
        assert_eq!(client.delete(&id(), &context()).await.unwrap_err().kind, Kind::Unknown);
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_its_bound() {
    let padded = |bytes: usize| {
        let mut body = created().to_string();
        body.push_str(&" ".repeat(bytes - body.len()));
        ResponseTemplate::new(201).set_body_raw(body, "application/json")
    };
    let fits = server(padded(BODY_BYTES)).await;
    assert!(client(&fits.uri()).create(&create_request(), &context()).await.is_ok());
    let too_large = server(padded(BODY_BYTES + 1)).await;
    let error = client(&too_large.uri()).create(&create_request(), &context()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "too_large"));
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_unknown() {
    let server = server(ResponseTemplate::new(201).set_body_json(created()).set_delay(Duration::from_secs(600))).await;
    let client = client(&server.uri());
    let soon = RequestContext::new(Duration::from_millis(300));
    let error = client.create(&create_request(), &soon).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "deadline"));
    assert_eq!(client.find(&name(), &soon).await.unwrap_err().kind, Kind::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = server(ResponseTemplate::new(201).set_body_json(created())).await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/servers", elsewhere.uri());
        let server = server(ResponseTemplate::new(status).insert_header("location", target.as_str())).await;
        let client = client(&server.uri());
        assert_eq!(client.create(&create_request(), &context()).await.unwrap_err().kind, Kind::Unknown);
        assert_eq!(client.find(&name(), &context()).await.unwrap_err().kind, Kind::Unknown);
        assert_eq!(requests(&server).await, 2);
    }
    assert_eq!(requests(&elsewhere).await, 0, "the token went nowhere else");
}

#[tokio::test]
async fn a_limit_is_told_with_the_time_to_wait() {
    let body = serde_json::json!({"error": {"code": "rate_limit_exceeded", "message": "words"}});
    let template = ResponseTemplate::new(429)
        .set_body_json(body)
        .insert_header("RateLimit-Limit", "1800")
        .insert_header("RateLimit-Reset", "1999999999");
    let server = server(template).await;
    let error = client(&server.uri()).create(&create_request(), &context()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Throttled { retry_after: Duration::from_secs(2) });
    assert_eq!(requests(&server).await, 1);
}
