//! What the log says of requests that are not answered as they should be: which one it was, and what is beneath.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;
use vip_core::Provisioner;
use vip_core::memory::{MemoryProvider, memory_backend};
use vip_http::axum::body::Body;
use vip_http::limits;
use vip_tests::lines::Lines;

use crate::app::{App, StillApp, request};
use crate::silent::silent;

/// Returns the last line that says something.
fn last(lines: &Lines, what: &str) -> String {
    let text = lines.text();
    text.lines().rfind(|line| line.contains(what)).unwrap_or_else(|| panic!("not told: {text}")).to_owned()
}

#[tokio::test]
async fn a_request_that_failed_is_told_with_its_id_its_route_and_every_cause() {
    let (lines, _on_this_thread) = Lines::listen_from(Level::INFO);
    let app = App::accepting().await;
    app.lose_store().await;
    let too_long = "x".repeat(256);
    for (given, shown) in [
        ("panel-77", Some(r#"request_id="panel-77""#)),
        // It is the caller's, so it ends no field; and it is bounded.
        (r#"panel" code="ok"#, None),
        (r#"panel"code="ok"#, Some(r#"request_id="panel\"code=\"ok""#)),
        (too_long.as_str(), None),
    ] {
        let asked = request("GET", "/v1/servers", Some(&app.acme)).header("x-request-id", given);
        let answer = app.send(asked.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.code(), "unavailable");
        let line = last(&lines, "request failed");
        let shown = shown.map_or_else(|| format!("request_id=\"{}\"", answer.header("x-request-id")), str::to_owned);
        assert!(line.contains(&shown) && line.contains(r#"http.route="/v1/servers""#), "{shown} in {line}");
        assert!(line.contains("error=the store is unavailable: "), "{line}");
        assert!(!line.contains(&too_long), "{line}");
    }
    app.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cut_off_at_its_limit_is_told_with_its_request() {
    let (lines, _on_this_thread) = Lines::listen_from(Level::INFO);
    let builder = Provisioner::builder(silent(memory_backend())).provider(MemoryProvider::default());
    let app = StillApp::of(builder).await;
    let path = "/v1/operator/accounts/default/sightings";
    let asked = request("GET", path, Some(&app.operator)).header("x-request-id", "panel-78");
    let began = Instant::now();
    let answer = app.send(asked.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.code(), began.elapsed() >= limits::HANDLER), ("timed_out", true));
    assert!(began.elapsed() < limits::HANDLER + Duration::from_secs(1));
    let line = last(&lines, "cut off at its limit");
    let parts = [r#"request_id="panel-78""#, r#"/accounts/{account}/sightings""#, r#"code="timed_out""#];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    app.end().await;
}
