//! Of one address so many connections may be silent: one more is not heard before one of them has sent a head, or has ended.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::connection::Connection;
use super::{Counts, PeerAddress, ServerSettings};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HEADER: Duration = Duration::from_secs(10);
/// How much later the second connection comes, so that its own time is not over with that of the first.
const LATER: Duration = Duration::from_secs(4);
/// Longer than everything but a handler may last.
const HANDLER: Duration = Duration::from_secs(3600);
const SILENT: &str = "GET /quick HTTP/1.1\r\nHo";
const WHOLE: &str = "GET /quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Is a client that sends this and is silent then, and keeps what it is answered.
#[derive(Debug)]
struct Client {
    sends: &'static [u8],
    answer: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.sends.split_at(self.sends.len().min(buffer.remaining()));
        if now.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(now);
        self.sends = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answer.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Is what became of a connection.
#[derive(Debug)]
struct Ended {
    at: Instant,
    answer: String,
    is_timed_out: bool,
}

fn addresses(unproven_per_address: usize) -> (Arc<ServerSettings>, Addresses) {
    let settings = ServerSettings { header: HEADER, unproven_per_address, ..ServerSettings::default() };
    let addresses = Addresses::new(&settings);
    (Arc::new(settings), addresses)
}

/// Runs a connection to its end.
async fn run(settings: &Arc<ServerSettings>, addresses: &Addresses, sends: &'static str) -> Ended {
    let router = Router::new().route("/quick", any(|| async { StatusCode::NO_CONTENT })).route("/slow", any(slow));
    let counts = Arc::new(Counts::default());
    let connection = Connection {
        router,
        settings: settings.clone(),
        counts: counts.clone(),
        peer: PeerAddress((ADDRESS, 1).into()),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let answer = Arc::new(Mutex::new(Vec::new()));
    let client = Client { sends: sends.as_bytes(), answer: answer.clone() };
    connection.run(client, addresses.place(ADDRESS).unwrap()).await;
    let answer = String::from_utf8_lossy(&answer.lock().unwrap()).into_owned();
    Ended { at: Instant::now(), answer, is_timed_out: counts.timed_out.load(Ordering::Relaxed) == 1 }
}

async fn slow() -> StatusCode {
    assert!(timeout(HANDLER, std::future::pending::<()>()).await.is_err());
    StatusCode::NO_CONTENT
}

/// Runs a connection that has sent something, and later one with a whole request; returns when that came, and how both ended.
async fn one_behind(sent: &'static str, unproven_per_address: usize) -> (Instant, Ended, Ended) {
    let (settings, addresses) = addresses(unproven_per_address);
    let mut first = pin!(run(&settings, &addresses, sent));
    assert!(timeout(LATER, first.as_mut()).await.is_err(), "{sent}");
    let came = Instant::now();
    let (first, second) = tokio::join!(first, run(&settings, &addresses, WHOLE));
    assert!(second.answer.starts_with("HTTP/1.1 204 "), "{second:?}");
    (came, first, second)
}

#[tokio::test(start_paused = true)]
async fn who_has_no_place_among_the_silent_is_answered_when_one_of_them_ends_and_not_before() {
    // None would be nobody at all, and counts as one.
    for places in [0, 1] {
        let (came, first, second) = one_behind(SILENT, places).await;
        assert!(first.is_timed_out && first.answer.is_empty(), "{first:?}");
        assert!(second.at == first.at && second.at > came, "{places}: {second:?} after {first:?}");
    }
    let (came, first, second) = one_behind(SILENT, 2).await;
    assert!(second.at == came && first.at > came, "{second:?} after {first:?}");
}

#[tokio::test(start_paused = true)]
async fn who_has_sent_a_whole_head_keeps_no_place_from_others() {
    let (came, first, second) = one_behind(SLOW, 1).await;
    assert!(second.at == came && first.at > came, "{second:?} after {first:?}");
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_place_in_the_time_of_a_header_is_closed_without_an_answer() {
    let (settings, addresses) = addresses(1);
    let place = addresses.place(ADDRESS).unwrap();
    let _held = place.unproven.try_acquire().unwrap();
    let came = Instant::now();
    let ended = run(&settings, &addresses, WHOLE).await;
    assert!(ended.is_timed_out && ended.answer.is_empty(), "{ended:?}");
    // Tokio's timer counts whole milliseconds.
    assert!((HEADER..HEADER + Duration::from_millis(4)).contains(&(ended.at - came)), "{ended:?}");
}
