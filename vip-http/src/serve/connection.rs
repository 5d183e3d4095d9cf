//! One connection: waits for its place, reads requests within their limits, ends in order.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use vip_core::telemetry;

use super::addresses::Place;
use super::watched::{Watched, WatchedBody, WatchedStream};
use super::{Counts, PeerAddress, ServerSettings};
use crate::problem::{Problem, ProblemCode};
use crate::{edge, limits};

/// Is what a connection needs of its server.
pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) settings: Arc<ServerSettings>,
    pub(super) counts: Arc<Counts>,
    pub(super) peer: PeerAddress,
    pub(super) stop: CancellationToken,
    pub(super) cut: CancellationToken,
}

/// How long a connection that rests, or has not begun, may still bring a request when the server ends.
const LINGER: Duration = Duration::from_millis(250);

/// Says whether a connection is to end because its server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Soon,
    Now,
}

/// Says how a connection ended.
enum End {
    Closed,
    TimedOut,
}

impl Connection {
    pub(super) async fn run<S>(self, stream: S, place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let watched = Watched::new(self.settings.clone());
        let header = sleep_until(Instant::now() + self.settings.header);
        // One address can hold so many connections that say nothing, and the rest of them costs next to nothing.
        let unproven = tokio::select! {
            // Whoever has a place is heard, also while the server ends.
            biased;
            permit = place.unproven.clone().acquire_owned() => permit,
            () = header => {
                self.counts.timed_out.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // Its bytes may be a whole request: until the end of the drain it waits for those before it.
            () = self.cut.cancelled() => {
                self.counts.cut.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let Ok(unproven) = unproven else {
            return;
        };
        let (counts, cut) = (self.counts.clone(), self.cut.clone());
        // On the heap from here on: a connection that waits for its place shall not carry what it may never need.
        let driven = Box::pin(self.drive(stream, watched, unproven));
        tokio::select! {
            end = driven => match end {
                End::Closed => {}
                End::TimedOut => { counts.timed_out.fetch_add(1, Ordering::Relaxed); }
            },
            () = cut.cancelled() => { counts.cut.fetch_add(1, Ordering::Relaxed); }
        }
        drop(place);
    }

    async fn drive<S>(self, stream: S, watched: Watched, unproven: OwnedSemaphorePermit) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(WatchedStream::new(stream, watched.clone()));
        let stop = self.stop.clone();
        let unproven = Arc::new(Mutex::new(Some(unproven)));
        let handling = Arc::new((self, watched.clone()));
        let service = service_fn(move |request| {
            // Whoever has sent a whole head has proven something.
            drop(unproven.lock().unwrap_or_else(PoisonError::into_inner).take());
            let handling = handling.clone();
            async move { Ok::<_, Infallible>(handling.0.handle(request, &handling.1).await) }
        });
        // Limits of time are ours: hyper has one for the header and the rest between requests together.
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(limits::HEADER_BYTES)
            // What a buffer can hold that earlier requests were in is up to twice as much.
            .max_header_size(limits::HEADER_BYTES)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut stopped = pin!(stop.cancelled());
        let mut ending = Ending::No;
        poll_fn(|context| {
            if ending == Ending::No && stopped.as_mut().poll(context).is_ready() {
                ending = Ending::Soon;
                timer.as_mut().reset(Instant::now() + LINGER);
            }
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                    if let Err(error) = ended {
                        let error = telemetry::causes(&error);
                        telemetry::tell(|| tracing::debug!({ telemetry::ERROR } = %error, "the connection broke off"));
                    }
                    return Poll::Ready(End::Closed);
                }
                // A request that is on its way shall not meet a closed connection; what has arrived was read above.
                match ending {
                    Ending::Soon if timer.as_mut().poll(context).is_pending() => return Poll::Pending,
                    Ending::Soon => {
                        ending = Ending::Now;
                        connection.as_mut().graceful_shutdown();
                    }
                    Ending::No | Ending::Now => break,
                }
            }
            // Whatever moves the limit happens in the poll above, so it is looked at afterwards.
            let Some(until) = watched.until() else {
                return Poll::Pending;
            };
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            timer.as_mut().poll(context).map(|()| End::TimedOut)
        })
        .await
    }

    async fn handle(&self, request: Request<Incoming>, watched: &Watched) -> Response<WatchedBody> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let ambiguity = watched.begins(request.headers());
        let too_long = request.uri().path_and_query().is_some_and(|it| it.as_str().len() > limits::URI_BYTES);
        let refused = match ambiguity {
            Some(ambiguity) => Some(Problem::new(ProblemCode::MalformedRequest).with_detail(ambiguity.as_str())),
            None if too_long => Some(Problem::new(ProblemCode::UriTooLong)),
            None => None,
        };
        let mut response = match refused {
            Some(problem) => edge::refuse(request.headers(), request.method(), problem),
            None => {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(self.peer);
                match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        };
        let has_next = watched.answers();
        if !has_next || self.stop.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|body| WatchedBody { body, watched: watched.clone() })
    }
}
