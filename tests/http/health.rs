//! `/livez` and `/readyz`: one says that the process answers, the other whether it should get requests.

use vip_http::axum::body::Body;
use vip_http::axum::http::StatusCode;

use crate::app::{Answer, App, request};

async fn probe(app: &App, path: &str) -> Answer {
    app.send(request("GET", path, None).body(Body::empty()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_its_store_is_alive_and_not_ready() {
    let app = App::accepting().await;
    assert_eq!(probe(&app, "/readyz").await.status, StatusCode::OK);
    app.lose_store().await;
    let kept = vip_http::limits::HEALTH_KEPT;
    vip_tests::site::pause(kept).await;
    assert_eq!(probe(&app, "/livez").await.status, StatusCode::OK);
    let answer = probe(&app, "/readyz").await;
    assert_eq!((answer.status, answer.text("/status")), (StatusCode::SERVICE_UNAVAILABLE, "not_ready"));
    assert_eq!(answer.header("content-type"), "application/json", "no problem: `docs/problems.md` says so");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_drains_is_alive_and_at_once_not_ready() {
    let app = App::accepting().await;
    assert_eq!(probe(&app, "/readyz").await.status, StatusCode::OK);
    app.api.drain();
    assert_eq!(probe(&app, "/livez").await.status, StatusCode::OK);
    assert_eq!(probe(&app, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    app.end().await;
}
