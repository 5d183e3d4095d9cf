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

/// With it, and not at the end of the connection: that of a client that does not end its side is cut off.
#[test]
fn a_head_that_is_no_request_has_a_line_and_a_count_with_its_answer() {
    exporting(async |handle| {
        let (lines, _on_this_thread) = Lines::listen_from(Level::INFO);
        let served = Served::with(App::accepting().await, |_| {}).await;
        let long = format!("X: {}\r\n", "x".repeat(limits::HEADER_BYTES + 1024));
        let many = "X: 1\r\n".repeat(limits::HEADERS);
        for (status, headers) in [("400", "X: b\0c\r\n"), ("431", long.as_str()), ("431", many.as_str())] {
            let answer = served.exchange(format!("GET /livez HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
        demand(
            &handle.render(),
            &[
                r#"vip_http_requests_total{route="none",method="other",status="400"} 1"#,
                r#"vip_http_requests_total{route="none",method="other",status="431"} 2"#,
            ],
        );
        let text = lines.text();
        for (status, count) in [("400", 1), ("431", 2)] {
            let shown = format!("http.status={status}");
            let parts = ["request refused", r#"http.route="none""#, shown.as_str()];
            let told = text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
            assert_eq!(told, count, "{status}: {text}");
        }
        // What is answered by us is no such head.
        let ours = served.exchange(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(ours.starts_with("HTTP/1.1 200 "), "{ours}");
        assert_eq!((served.end().await.cut, lines.told("request refused")), (0, 3), "{}", lines.text());
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
