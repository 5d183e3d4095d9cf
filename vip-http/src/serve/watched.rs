//! Watches one connection: what it is doing, and until when it may.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
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
        let state = State { phase: Phase::Head, until, head: Head::default() };
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
        if state.phase == Phase::Idle {
            state.phase = Phase::Head;
            state.until = Some(Instant::now() + self.settings.header);
        }
        if state.phase == Phase::Head {
            state.head.take(bytes);
        }
    }

    /// A request is complete up to its body; says what is wrong with its head.
    pub(super) fn begins(&self) -> Option<Ambiguity> {
        let mut state = self.lock();
        state.phase = Phase::Busy;
        // Handlers have limits of their own.
        state.until = None;
        std::mem::take(&mut state.head).ambiguity()
    }

    /// The answer begins.
    pub(super) fn answers(&self) {
        self.lock().until = Some(Instant::now() + self.settings.answer);
    }

    /// The answer was handed over.
    fn rests(&self) {
        let mut state = self.lock();
        state.phase = Phase::Idle;
        state.until = Some(Instant::now() + self.settings.idle);
    }
}

/// Is a stream whose bytes are watched.
#[derive(Debug)]
pub(super) struct WatchedStream {
    pub(super) stream: TcpStream,
    pub(super) watched: Watched,
}

impl AsyncRead for WatchedStream {
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

impl AsyncWrite for WatchedStream {
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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Is the body of an answer; when it is dropped, the connection rests.
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
        self.watched.rests();
    }
}
