//! `/livez` and `/readyz` through the router, over a running and a draining product.

#![expect(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use vip_core::Provisioner;
use vip_core::memory::{MemoryProvider, memory_backend};

async fn get(provisioner: &Provisioner, path: &str) -> (StatusCode, serde_json::Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = vip_http::router(provisioner).oneshot(request).await.unwrap();
    assert_eq!(answer.headers().get("cache-control").unwrap(), "no-store");
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn product() -> Provisioner {
    Provisioner::builder(memory_backend()).provider(MemoryProvider::default()).start().await.unwrap()
}

#[tokio::test]
async fn a_running_product_is_alive_and_ready_and_names_its_parts() {
    let provisioner = product().await;
    assert_eq!(get(&provisioner, "/livez").await.0, StatusCode::OK);
    let (status, body) = get(&provisioner, "/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let names: Vec<&str> = body["parts"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    for part in ["store", "queue", "account:default"] {
        assert!(names.contains(&part), "{part} is missing in {names:?}");
    }
    assert!(provisioner.shutdown(Duration::from_secs(5)).await.within_deadline);
}

#[tokio::test]
async fn a_product_that_shuts_down_is_alive_and_not_ready() {
    let provisioner = product().await;
    assert!(provisioner.shutdown(Duration::from_secs(5)).await.within_deadline);
    assert_eq!(get(&provisioner, "/livez").await.0, StatusCode::OK);
    let (status, body) = get(&provisioner, "/readyz").await;
    assert_eq!((status, &body["draining"]), (StatusCode::SERVICE_UNAVAILABLE, &serde_json::Value::Bool(true)));
}
