//! How long a connection may last: a handler has limits of its own, an answer that nobody takes ends it soon, one that was taken lets
//! it rest.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::connection::Connection;
use super::{Counts, PeerAddress, ServerSettings};

const ANSWER: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(3600);
/// Longer than a header may take, an answer, and a rest.
const HANDLER: Duration = Duration::from_secs(2 * 3600);
/// Requests with and without a body in the answer.
const REQUESTS: [&str; 3] = [
    "GET /body HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /body HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// Is a client that sends one request, takes so many bytes of what is answered, and then is silent.
#[derive(Debug)]
struct Client {
    request: &'static [u8],
    takes: usize,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.request.split_at(self.request.len().min(buffer.remaining()));
        if now.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(now);
        self.request = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let taken = self.takes.min(bytes.len());
        self.takes -= taken;
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Returns after how long a connection was ended for its time.
async fn ended_after(request: &'static str, takes: usize) -> Duration {
    let settings = Arc::new(ServerSettings { answer: ANSWER, idle: IDLE, ..ServerSettings::default() });
    let router = Router::new()
        .route("/body", any(|| async { "something to take" }))
        .route("/none", any(|| async { StatusCode::NO_CONTENT }))
        .route("/late", any(late));
    let (counts, peer) = (Arc::new(Counts::default()), SocketAddr::from(([127, 0, 0, 1], 1)));
    let connection = Connection {
        router,
        settings: settings.clone(),
        counts: counts.clone(),
        peer: PeerAddress(peer),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let place = Addresses::new(&settings).place(peer.ip()).unwrap();
    let began = Instant::now();
    connection.run(Client { request: request.as_bytes(), takes }, place).await;
    assert_eq!(counts.timed_out.load(Ordering::Relaxed), 1, "{request}");
    began.elapsed()
}

/// Answers once everything but a handler has had its time.
async fn late() -> StatusCode {
    let waited = tokio::time::timeout(HANDLER, std::future::pending::<()>()).await;
    assert!(waited.is_err());
    StatusCode::NO_CONTENT
}

fn is_about(took: Duration, limit: Duration) -> bool {
    // Tokio's timer counts whole milliseconds, and two may follow each other.
    (limit..limit + Duration::from_millis(4)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_or_not_as_a_whole_ends_its_connection_at_the_limit_of_answers() {
    for request in REQUESTS {
        for takes in [0, 10] {
            let took = ended_after(request, takes).await;
            assert!(is_about(took, ANSWER), "{request} {takes} bytes: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_was_taken_may_rest_also_if_the_answer_has_no_body() {
    for request in REQUESTS {
        let took = ended_after(request, usize::MAX).await;
        assert!(is_about(took, IDLE), "{request}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_request_is_handled_its_connection_has_no_limit_of_time() {
    let took = ended_after("GET /late HTTP/1.1\r\nHost: a\r\n\r\n", usize::MAX).await;
    assert!(is_about(took, HANDLER + IDLE), "{took:?}");
}
