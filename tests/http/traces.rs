//! The trace of a request: through the row of its job to the span of each attempt.

use vip_http::axum::http::HeaderValue;
use vip_http::axum::http::header::HeaderMap;
use vip_tests::lines::Lines;

use crate::app::{Answer, App, json_request, order};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn ordered(app: &App, name: &str, traces: &[&str]) -> Answer {
    let mut request = json_request("POST", "/v1/servers", Some(&app.acme), &order(name));
    let headers: &mut HeaderMap = request.headers_mut();
    headers.insert("idempotency-key", name.parse().unwrap());
    for trace in traces {
        headers.append("traceparent", HeaderValue::from_bytes(trace.as_bytes()).unwrap());
    }
    app.send(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_an_order_stands_in_the_row_of_its_job_and_one_that_is_not_well_formed_stands_nowhere() {
    let app = App::accepting().await;
    let cases: [(&str, &[&str], Option<&str>); 6] = [
        ("good", &[TRACE], Some(TRACE)),
        ("later", &["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], Some(TRACE)),
        ("none", &[], None),
        ("twice", &[TRACE, TRACE], None),
        ("short", &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"], None),
        ("bytes", &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\u{e9}"], None),
    ];
    for (name, traces, expected) in cases {
        let answer = ordered(&app, name, traces).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let jobs = app.get(&app.operator, "/v1/operator/jobs?state=waiting").await;
        let mut jobs = jobs.body["items"].as_array().unwrap().iter();
        let id = answer.text("/server_id");
        let job = jobs.find(|job| job["key"].as_str().unwrap().ends_with(id)).unwrap();
        assert_eq!(job["trace_parent"].as_str(), expected, "{name}");
    }
    app.end().await;
}

#[tokio::test]
async fn the_span_of_each_attempt_names_the_trace_of_the_order() {
    let (lines, _on_this_thread) = Lines::listen_from(tracing::Level::DEBUG);
    let app = App::working().await;
    let answer = ordered(&app, "web-1", &[TRACE]).await;
    let followed = app.get(&app.acme, &format!("{}?wait=30", answer.header("location"))).await;
    assert_eq!(followed.text("/status"), "succeeded");
    app.end().await;
    let text = lines.text();
    let attempts: Vec<&str> = text.lines().filter(|line| line.contains("an attempt ended")).collect();
    let is_ours = |line: &&&str| line.contains(answer.text("/server_id"));
    assert!(attempts.iter().filter(is_ours).count() > 0, "{text}");
    assert!(
        attempts.iter().filter(is_ours).all(|line| line.contains(&format!("trace_parent={TRACE}"))),
        "{attempts:?}"
    );
}
