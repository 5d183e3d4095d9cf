//! Watches one connection: what it is doing, and until when it may.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ServerSettings;
use super::head::{Ambiguity, Head};
use crate::{edge, limits};

/// Bytes of one read behind the last answer.
const REST_READ_BYTES: usize = 4096;

/// Says what a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It rests between two requests.
    Idle,
    /// The head of a request is arriving, or the first one is awaited.
    Head,
    /// A request is handled, or its answer is on the way.
    Busy,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    until: Option<Instant>,
    head: Head,
    /// Bytes of the present request's body that have not arrived yet: the next head begins behind them.
    body_left: u64,
    /// Whether it is known where the next request begins.
    has_known_end: bool,
    /// Whether bytes of the next head came before the present request was answered.
    is_early: bool,
    /// Whether the whole answer was handed over, and may not have been sent yet.
    is_handed_over: bool,
}

/// Is shared by what reads a connection, what handles its requests and what ends it.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    state: Arc<Mutex<State>>,
    settings: Arc<ServerSettings>,
}

impl Watched {
    /// Begins with a connection whose first request is awaited.
    pub(super) fn new(settings: Arc<ServerSettings>) -> Self {
        let until = Some(Instant::now() + settings.header);
        let (phase, head) = (Phase::Head, Head::default());
        let (has_known_end, is_early, is_handed_over) = (true, false, false);
        let state = State { phase, until, head, body_left: 0, has_known_end, is_early, is_handed_over };
        Self { state: Arc::new(Mutex::new(state)), settings }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns until when the connection may do what it is doing.
    pub(super) fn until(&self) -> Option<Instant> {
        self.lock().until
    }

    fn arrived(&self, bytes: &[u8]) {
        let mut state = self.lock();
        // What is left of a body stands before the next head, also when nobody has read it.
        let of_body = usize::try_from(state.body_left).unwrap_or(usize::MAX).min(bytes.len());
        state.body_left = state.body_left.saturating_sub(u64::try_from(of_body).unwrap_or(u64::MAX));
        let of_head = bytes.get(of_body..).unwrap_or_default();
        if of_head.is_empty() {
            return;
        }
        match state.phase {
            Phase::Idle => {
                state.phase = Phase::Head;
                state.until = Some(Instant::now() + self.settings.header);
            }
            Phase::Head => {}
            // Empty lines before a request are skipped by whoever reads it, whenever they come.
            Phase::Busy => state.is_early |= of_head.iter().any(|byte| !matches!(byte, b'\r' | b'\n')),
        }
        state.head.take(of_head);
    }

    /// Says whether a request is handled, or its answer is on the way.
    fn is_busy(&self) -> bool {
        self.lock().phase == Phase::Busy
    }

    /// A request is complete up to its body; says what is wrong with its head.
    pub(super) fn begins(&self, headers: &HeaderMap) -> Option<Ambiguity> {
        let mut state = self.lock();
        state.phase = Phase::Busy;
        // What is sent from here on may still be the answer before: it lets nobody rest.
        state.is_handed_over = false;
        // Handlers have limits of their own.
        state.until = None;
        let head = std::mem::take(&mut state.head);
        let is_early = std::mem::take(&mut state.is_early);
        let ambiguity = if is_early { Some(Ambiguity::Pipelined) } else { head.ambiguity() };
        let length = body_length(headers);
        let expected = length.unwrap_or(0);
        state.is_early = head.beyond_blank() > expected;
        state.head = head.next(expected);
        state.body_left = expected.saturating_sub(head.beyond());
        // Where the next request begins is what two readings disagree about; of a body in pieces we do not follow where it ends.
        state.has_known_end = ambiguity.is_none() && length.is_some();
        ambiguity
    }

    /// The answer begins; says whether a request may follow it. None does behind an end that is not known, nor behind a body that has
    /// not arrived and is read by nobody now.
    pub(super) fn answers(&self) -> bool {
        let mut state = self.lock();
        state.until = Some(Instant::now() + self.settings.answer);
        state.has_known_end && state.body_left == 0
    }

    /// Nothing more is sent; says whether the client may still be sending, which then has its own limit of time.
    fn ends(&self) -> bool {
        let mut state = self.lock();
        let has_begun = state.phase == Phase::Head && state.head.has_bytes();
        let has_rest = has_begun || state.is_early || state.body_left > 0 || !state.has_known_end;
        if has_rest {
            state.until = Some(Instant::now() + limits::REST);
        }
        has_rest
    }

    /// The answer was handed over as a whole. The client has not taken it before it is sent.
    fn hands_over(&self) {
        self.lock().is_handed_over = true;
    }

    /// Nothing is left to send: if the whole answer was handed over, the connection rests.
    fn flushed(&self) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.is_handed_over) {
            return;
        }
        let (phase, time) =
            if state.is_early { (Phase::Head, self.settings.header) } else { (Phase::Idle, self.settings.idle) };
        state.phase = phase;
        state.until = Some(Instant::now() + time);
    }
}

/// Returns how many bytes of body follow a head; nothing if only its encoding will tell. What is no length was refused
/// by whoever read the head.
fn body_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    match headers.get(header::CONTENT_LENGTH) {
        None => Some(0),
        Some(value) => value.to_str().ok()?.parse().ok(),
    }
}

/// Is a stream whose bytes are watched.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    watched: Watched,
    /// How many bytes may still be read off, once nothing more is sent.
    rest: Option<usize>,
    /// Whether a head was refused without us: no request follows it.
    is_refused: bool,
}

impl<S> WatchedStream<S> {
    pub(super) const fn new(stream: S, watched: Watched) -> Self {
        Self { stream, watched, rest: None, is_refused: false }
    }

    /// Bytes were sent. Where no request is answered they are hyper's own refusal of a head, of which we learn nothing else
    /// before the client has ended its side.
    fn sent(&mut self, bytes: &[u8]) {
        if self.is_refused || self.watched.is_busy() {
            return;
        }
        self.is_refused = true;
        // Behind the version: `HTTP/1.1 431`.
        if let Some(status) = bytes.get(9..12).and_then(|status| StatusCode::from_bytes(status).ok()) {
            edge::head_refused(status);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            self.watched.arrived(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.sent(bytes);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        if let Some(first) = slices.first() {
            self.sent(first);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once its own buffer is empty, and after each end of an answer, also of one without a body.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.watched.flushed();
        Poll::Ready(Ok(()))
    }

    /// Reads off what the client still sends, until it ends its side: a socket that is closed with bytes in it resets the connection,
    /// and the client may lose the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut left = match self.rest {
            Some(left) => left,
            None => {
                ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
                if self.watched.ends() { limits::REST_BYTES } else { 0 }
            }
        };
        while left > 0 {
            self.rest = Some(left);
            let mut bytes = [0_u8; REST_READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            let mut buffer = buffer.take(left);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            left = match buffer.filled().len() {
                0 => 0,
                count => left.saturating_sub(count),
            };
        }
        self.rest = Some(0);
        Poll::Ready(Ok(()))
    }
}

/// Is the body of an answer; when it is dropped, the whole answer was handed over.
#[derive(Debug)]
pub(super) struct WatchedBody {
    pub(super) body: Body,
    pub(super) watched: Watched,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut frame = self.body.frame();
        Pin::new(&mut frame).poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.watched.hands_over();
    }
}
