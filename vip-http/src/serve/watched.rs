//! Watches one connection: what it is doing, and until when it may.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ServerSettings;
use super::head::{Ambiguity, Head};

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
    /// Whether bytes of the next head came before the present request was answered.
    is_early: bool,
    /// Whether the whole answer was handed over, and may not have been sent yet.
    is_handed_over: bool,
}

/// Says how a request is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// What is wrong with its head.
    pub(super) ambiguity: Option<Ambiguity>,
    /// Whether it is known where the next one begins.
    pub(super) has_known_end: bool,
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
        let state = State { phase, until, head, body_left: 0, is_early: false, is_handed_over: false };
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

    /// A request is complete up to its body; says how to take it.
    pub(super) fn begins(&self, headers: &HeaderMap) -> Reading {
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
        Reading { ambiguity, has_known_end: length.is_some() }
    }

    /// The answer begins.
    pub(super) fn answers(&self) {
        self.lock().until = Some(Instant::now() + self.settings.answer);
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
    pub(super) stream: S,
    pub(super) watched: Watched,
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

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
