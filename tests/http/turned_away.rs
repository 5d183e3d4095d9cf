//! What the server itself turns away is told and counted like everything else.

use tracing::Level;
use vip_http::limits;
use vip_tests::lines::Lines;

use crate::app::App;
use crate::metrics::{demand, exporting};
use crate::server::Served;

#[test]
fn a_request_that_is_refused_before_any_route_has_its_id_a_line_and_a_count() {
    exporting(async |handle| {
        let (lines, _on_this_thread) = Lines::listen_from(Level::INFO);
        let served = Served::with(App::accepting().await, |_| {}).await;
        let long = format!("GET /livez?{}", "q".repeat(limits::URI_BYTES));
        let cases = [
            ("malformed_request", "POST /livez", "Content-Length: 0\r\nContent-Length: 0\r\n"),
            ("uri_too_long", long.as_str(), "Connection: close\r\n"),
        ];
        for (code, what, headers) in cases {
            let id = format!("panel-{code}");
            let head = format!("{what} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n{headers}\r\n");
            let answer = served.exchange(head.as_bytes()).await;
            let parts = [format!("x-request-id: {id}"), format!("\"request_id\":\"{id}\""), "no-store".to_owned()];
            assert!(parts.iter().all(|part| answer.contains(part)), "{answer}");
            let text = lines.text();
            let line = text.lines().find(|line| line.contains(&format!("request_id=\"{id}\""))).unwrap_or_default();
            assert!(line.contains("request refused") && line.contains(code), "{code} is not told: {text}");
        }
        demand(
            &handle.render(),
            &[
                r#"vip_http_requests_total{route="none",method="POST",status="400"} 1"#,
                r#"vip_http_requests_total{route="none",method="GET",status="414"} 1"#,
            ],
        );
        assert_eq!(served.end().await.cut, 0);
    });
}

#[test]
fn connections_that_have_no_place_are_counted_and_told_once() {
    exporting(async |handle| {
        let (lines, _on_this_thread) = Lines::listen();
        let served = Served::with(App::accepting().await, |settings| settings.connections_per_address = 1).await;
        let held = served.connect().await;
        for _ in 0..3 {
            assert_eq!(served.exchange(b"").await, "");
        }
        demand(&handle.render(), &[r#"vip_http_connections_refused_total{limit="connections_per_address"} 3"#]);
        assert_eq!(lines.told("a connection has no place"), 1, "{}", lines.text());
        drop(held);
        assert_eq!(served.end().await.refused, 3);
    });
}
