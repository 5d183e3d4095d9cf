//! What a client still sends when its last answer is on the way: it is read off within its bounds.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::any;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::connection::Connection;
use super::watched::{Watched, WatchedStream};
use super::{Counts, PeerAddress, ServerSettings};
use crate::limits;

const BODY_BYTES: usize = 64 * 1024;
const REFUSED: &str = "POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n";

/// Says what became of a connection.
#[derive(Debug, Default)]
struct Seen {
    unread: usize,
    answer: Vec<u8>,
    is_answered: bool,
}

/// Is a client that sends a head and so many bytes, and then reads; one that is silent does not end its side afterwards.
#[derive(Debug)]
struct Client {
    head: &'static [u8],
    is_silent: bool,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    fn new(head: &'static str, more: usize) -> Self {
        let seen = Seen { unread: more, ..Seen::default() };
        Self { head: head.as_bytes(), is_silent: false, seen: Arc::new(Mutex::new(seen)) }
    }

    fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.head.split_at(self.head.len().min(buffer.remaining()));
        if !now.is_empty() {
            buffer.put_slice(now);
            self.head = later;
            return Poll::Ready(Ok(()));
        }
        let mut seen = self.seen.lock().unwrap();
        let count = seen.unread.min(buffer.remaining());
        if count == 0 {
            return if seen.is_answered && !self.is_silent { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        buffer.put_slice(&vec![b'x'; count]);
        seen.unread -= count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.seen.lock().unwrap().answer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seen.lock().unwrap().is_answered = true;
        Poll::Ready(Ok(()))
    }
}

/// Runs a connection to its end; returns how long it took, and whether it was ended for its time.
async fn ended(client: Client) -> (Duration, bool) {
    let settings = Arc::new(ServerSettings { connections_per_address: 1, ..ServerSettings::default() });
    let router = Router::new()
        .route("/refused", any(|| async { StatusCode::UNAUTHORIZED }))
        .route("/read", any(|_body: Bytes| async { StatusCode::OK }));
    let (counts, peer) = (Arc::new(Counts::default()), SocketAddr::from(([127, 0, 0, 1], 1)));
    let connection = Connection {
        router,
        settings: settings.clone(),
        counts: counts.clone(),
        peer: PeerAddress(peer),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let addresses = Addresses::new(&settings);
    let place = addresses.place(peer.ip()).unwrap();
    let began = Instant::now();
    connection.run(client, place).await;
    drop(addresses.place(peer.ip()).unwrap());
    (began.elapsed(), counts.timed_out.load(Ordering::Relaxed) == 1)
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_read_off_before_the_connection_of_its_refusal_ends() {
    let cases = [
        (REFUSED, "401"),
        ("POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "401"),
        ("POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\nContent-Length: 65536\r\n\r\n", "400"),
        // Its head has no end.
        ("GET /read HTTP/1.1\r\nHost: a\r\nX: ", "431"),
    ];
    for (head, status) in cases {
        let client = Client::new(head, BODY_BYTES);
        let seen = client.seen.clone();
        assert_eq!(ended(client).await, (Duration::ZERO, false), "{head}");
        let seen = seen.lock().unwrap();
        let answer = String::from_utf8_lossy(&seen.answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert!(status == "431" || answer.contains("connection: close"), "{head}: {answer}");
        assert_eq!((seen.is_answered, seen.unread), (true, 0), "{head}: a reset takes the answer away");
    }
}

#[tokio::test]
async fn no_more_is_read_off_than_its_bound() {
    for (more, unread) in [(0, 0), (1, 1)] {
        let client = Client::new(REFUSED, limits::REST_BYTES + more).silent();
        let seen = client.seen.clone();
        let watched = Watched::new(Arc::default());
        let mut stream = WatchedStream::new(client, watched.clone());
        let mut bytes = [0; REFUSED.len()];
        let mut head = ReadBuf::new(&mut bytes);
        poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut head)).await.unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("65536"))]);
        assert_eq!(watched.begins(&headers), None);
        poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await.unwrap();
        assert_eq!(seen.lock().unwrap().unread, unread);
    }
}

#[tokio::test(start_paused = true)]
async fn who_neither_sends_the_rest_nor_ends_keeps_its_place_no_longer_than_its_bound() {
    let (took, is_timed_out) = ended(Client::new(REFUSED, BODY_BYTES / 2).silent()).await;
    // Tokio's timer counts whole milliseconds.
    assert!((limits::REST..limits::REST + Duration::from_millis(4)).contains(&took), "{took:?}");
    assert!(is_timed_out);
}

#[tokio::test(start_paused = true)]
async fn behind_a_request_that_was_read_as_a_whole_nothing_is_waited_for() {
    let whole = "POST /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n";
    assert_eq!(ended(Client::new(whole, BODY_BYTES).silent()).await, (Duration::ZERO, false));
}
