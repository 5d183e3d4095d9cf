//! The verification of a long audit: it has a limit of its own, and is told as a read that took too long.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use vip_core::Provisioner;
use vip_core::memory::memory_backend;
use vip_http::limits;
use vip_tests::site::spec;

use crate::app::{Answer, StillApp, json_request};
use crate::silent::slow_audit;

/// Verifies an audit of one record, of which each read takes so long; says how long all of it took.
async fn verified(read: Duration) -> (Answer, Duration) {
    let app = StillApp::of(Provisioner::builder(slow_audit(memory_backend(), read))).await;
    drop(app.provisioner.tenant("acme").create_server(spec("web-1")).await.unwrap());
    let began = Instant::now();
    let path = "/v1/operator/tenants/acme/audit/verify";
    let answer = app.send(json_request("POST", path, Some(&app.operator), &json!({}))).await;
    let took = began.elapsed();
    app.end().await;
    (answer, took)
}

#[tokio::test(start_paused = true)]
async fn a_verification_takes_longer_than_a_handler_may_and_is_answered() {
    // The record is read, and then that nothing comes behind it.
    let (answer, took) = verified(limits::VERIFY / 3).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert_eq!((&answer.body["whole"], &answer.body["records"]), (&json!(true), &json!(1)), "{answer:?}");
    assert!(took > limits::HANDLER + limits::BODY && took < limits::VERIFY, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_verification_without_an_end_is_a_read_that_took_too_long() {
    let (answer, took) = verified(limits::VERIFY * 2).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "timed_out"));
    assert!(took >= limits::VERIFY && took < limits::VERIFY + Duration::from_secs(1), "{took:?}");
}
