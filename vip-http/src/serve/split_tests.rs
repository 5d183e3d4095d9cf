//! However the bytes of a connection are cut into pieces: what is refused whole is refused, what is good is answered.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::http::Uri;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::connection::Connection;
use super::{Counts, PeerAddress, ServerSettings};
use crate::limits;

/// Requests that are answered, one after the other.
const GOOD: [&str; 5] = [
    "GET /good HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /good HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nA: b\nC\rD\r\n\r\n",
    "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n",
];
/// A request whose body nobody reads: when it comes late, the answer is the connection's last one.
const UNREAD: &str = "POST /good/unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\n\n\n\n";
/// Requests that two programs may read in two ways.
const BAD: [&str; 8] = [
    "GET /bad HTTP/1.1\nHost: a\n\n",
    "GET /bad HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "GET /bad HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
];
/// Ends a connection that is not ended by an answer.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Is a piece of what a client sends, and how many answers it has seen before.
#[derive(Debug, Clone)]
struct Piece {
    bytes: Vec<u8>,
    after: usize,
}

/// Is a client that sends pieces, each with one read, and keeps what it is answered.
#[derive(Debug)]
struct Client {
    pieces: VecDeque<Piece>,
    answers: Arc<Mutex<Vec<u8>>>,
    waker: Option<std::task::Waker>,
    is_pause: bool,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_pause = !self.is_pause;
        if self.is_pause {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let answered = count(&self.answers.lock().unwrap());
        match self.pieces.front_mut() {
            None => Poll::Ready(Ok(())),
            Some(piece) if piece.after > answered => {
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(piece) => {
                let length = piece.bytes.len().min(buffer.remaining());
                buffer.put_slice(&piece.bytes[..length]);
                piece.bytes.drain(..length);
                if piece.bytes.is_empty() {
                    self.pieces.pop_front();
                }
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, _context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.lock().unwrap().extend_from_slice(bytes);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn count(answers: &[u8]) -> usize {
    String::from_utf8_lossy(answers).matches("HTTP/1.1 ").count()
}

/// Sends pieces on one connection; returns what was answered, and how many requests of each kind were handled.
async fn exchange(pieces: Vec<Piece>) -> (String, usize, usize) {
    let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (of_good, of_bad) = (good.clone(), bad.clone());
    let counted = move |uri: &Uri| {
        let counter = if uri.path().starts_with("/bad") { &of_bad } else { &of_good };
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let unread = counted.clone();
    let router = Router::new()
        .route("/good/unread", axum::routing::any(move |uri: Uri| async move { unread(&uri) }))
        .fallback(move |uri: Uri, _body: Bytes| async move { counted(&uri) });
    let settings = Arc::new(ServerSettings::default());
    let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let connection = Connection {
        router,
        settings: settings.clone(),
        counts: Arc::new(Counts::default()),
        peer: PeerAddress(peer),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let answers = Arc::new(Mutex::new(Vec::new()));
    let client = Client { pieces: pieces.into(), answers: answers.clone(), waker: None, is_pause: false };
    let place = Addresses::new(&settings).place(peer.ip()).unwrap();
    connection.run(client, place).await;
    let answers = String::from_utf8_lossy(&answers.lock().unwrap()).into_owned();
    (answers, good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst))
}

fn run(pieces: Vec<Piece>) -> (String, usize, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(exchange(pieces))
}

/// Cuts what a client sends in order into pieces; each request waits for the answers before it, unless it is early.
fn cut(requests: &[&str], cuts: &[usize], early: &[usize]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    for (number, request) in requests.iter().enumerate() {
        // So many bytes of it are sent before the request before it is answered.
        let early = early.get(number).copied().unwrap_or(0);
        for (place, byte) in request.bytes().enumerate() {
            let after = if place < early { number.saturating_sub(1) } else { number };
            match pieces.last_mut() {
                Some(piece) if piece.after == after && !cuts.contains(&at) => piece.bytes.push(byte),
                _ => pieces.push(Piece { bytes: vec![byte], after }),
            }
            at += 1;
        }
    }
    pieces
}

#[test]
fn a_head_has_its_most_also_behind_others() {
    let of_bytes = |length: usize| {
        let head = "GET /good HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
        head.replace("X: ", &format!("X: {}", "x".repeat(length - head.len())))
    };
    // The first makes the buffer large, and behind the second it is still that large: it has to grow for the end of the third.
    let (first, second) = (of_bytes(9_000), of_bytes(100));
    for (length, status, handled) in [(limits::HEADER_BYTES, "200", 4), (limits::HEADER_BYTES + 1, "431", 2)] {
        let third = of_bytes(length);
        let (answers, good, _) = run(cut(&[first.as_str(), second.as_str(), third.as_str(), LAST], &[], &[]));
        let third = answers.split("HTTP/1.1 ").nth(3).unwrap();
        assert!(third.starts_with(status) && good == handled, "{length}: {answers}");
    }
}

fn some_good() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(GOOD.to_vec()), 0..4)
}

fn some_cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..300, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_refused_whole_is_refused_in_every_split_and_after_every_good_request(
        good in some_good(),
        bad in proptest::sample::select(BAD.to_vec()),
        cuts in some_cuts(),
        early in 0_usize..80,
        has_unread in any::<bool>(),
    ) {
        let mut requests = good.clone();
        if has_unread {
            requests.push(UNREAD);
        }
        let before = requests.len();
        requests.push(bad);
        let mut of_each = vec![0; before];
        of_each.push(early);
        requests.push(LAST);
        let (answers, _, handled) = run(cut(&requests, &cuts, &of_each));
        prop_assert_eq!(handled, 0, "{}", answers);
        prop_assert!(has_unread || answers.matches("HTTP/1.1 400 ").count() == 1, "{}", answers);
        prop_assert!(count(answers.as_bytes()) <= before + 1, "something was read after it: {}", answers);
    }

    #[test]
    fn good_requests_one_after_the_other_are_answered_in_every_split(good in some_good(), cuts in some_cuts()) {
        let mut requests = good.clone();
        requests.push(LAST);
        let (answers, handled, _) = run(cut(&requests, &cuts, &[]));
        prop_assert_eq!(handled, requests.len(), "{}", answers);
        prop_assert_eq!(answers.matches("HTTP/1.1 200 ").count(), requests.len(), "{}", answers);
    }
}
