//! What stands around every handler: the request's id, a limit of time, caught panics, and the form of each answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;
use vip_core::model::RequestId;
use vip_core::telemetry;

use crate::limits;
use crate::problem::{Problem, ProblemCode};
use crate::rate::RateTold;

/// Carries the id of a request, both ways.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Stands in the place of a route where there is none.
const NO_ROUTE: &str = "none";

/// Routes that wait for the provider or do many things, by the ends of their paths as a host may nest them, and how long at
/// the most: they bound that themselves, and say what took so long, or how far they came.
const TAKE_LONGER: [(&str, Duration); 4] = [
    ("/v1/catalog", limits::CATALOG),
    ("/v1/operator/accounts/{account}/sweep", limits::SWEEP),
    ("/v1/operator/jobs/replay", limits::REPLAY),
    ("/v1/operator/tenants/{tenant}/audit/verify", limits::VERIFY),
];

/// Is how long a handler may take; a route that waits on purpose has more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandlerLimit(pub(crate) Duration);

impl HandlerLimit {
    pub(crate) const USUAL: Self = Self(limits::HANDLER);

    /// Adds what a caller may ask to wait, or needs for a body, and how much longer its route may take.
    fn of(self, request: &Request, route: &str) -> Duration {
        let asks_to_wait = matches!(*request.method(), Method::GET | Method::HEAD) && has_wait(request.uri());
        let has_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        let body = if has_body { limits::BODY } else { Duration::ZERO };
        let caller = if asks_to_wait { Duration::from_secs(limits::WAIT_SECONDS.into()) } else { body };
        let longer = TAKE_LONGER.iter().find(|(path, _)| route.ends_with(path));
        let longer = longer.map_or(Duration::ZERO, |(_, most)| *most);
        self.0.saturating_add(caller).saturating_add(longer)
    }
}

/// Says whether the query has `wait`, read as the handler reads it: a name may be percent-encoded.
fn has_wait(uri: &Uri) -> bool {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    pairs.is_ok_and(|Query(pairs)| pairs.iter().any(|(name, _)| name == "wait"))
}

/// Is what stands around handlers needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) limit: HandlerLimit,
    pub(crate) draining: CancellationToken,
}

/// Runs a handler, and answers for it if it does not.
pub(crate) async fn around(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    request.extensions_mut().insert(request_id.clone());
    let told = RateTold::default();
    request.extensions_mut().insert(told.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let time = edge.limit.of(&request, &route);
    let started = tokio::time::Instant::now();
    // Whatever is logged beneath names the request by it.
    let span = tracing::info_span!(
        telemetry::SPAN_REQUEST,
        { telemetry::REQUEST_ID } = request_id.as_str(),
        { telemetry::HTTP_ROUTE } = route.as_str(),
    );
    let handled = AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind();
    let response = match tokio::time::timeout(time, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            telemetry::tell(|| {
                tracing::error!(request_id = request_id.as_str(), code = kind_of(panic.as_ref()), "a handler panicked");
            });
            Problem::new(ProblemCode::Internal).render(Some(&request_id))
        }
        Err(_elapsed) => {
            // What is cut off here may have been committed. Only a read is known to have changed nothing.
            let is_read = method == Method::GET || method == Method::HEAD;
            let code = if is_read { ProblemCode::TimedOut } else { ProblemCode::OutcomeUnknown };
            telemetry::tell(|| {
                tracing::warn!(
                    { telemetry::REQUEST_ID } = request_id.as_str(),
                    { telemetry::HTTP_ROUTE } = route,
                    { telemetry::CODE } = code.as_str(),
                    "a handler was cut off at its limit"
                );
            });
            Problem::new(code).render(Some(&request_id))
        }
    };
    let mut response = shaped(response, &request_id);
    told.write(response.headers_mut());
    if edge.draining.is_cancelled() {
        // Whoever keeps a connection goes to another process with the next request, not into the end of this one.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    count(&route, Some(&method), response.status(), started.elapsed());
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    telemetry::tell(|| {
        tracing::debug!(
            { telemetry::REQUEST_ID } = request_id.as_str(),
            { telemetry::HTTP_ROUTE } = route,
            { telemetry::DURATION_MS } = duration_ms,
            { telemetry::HTTP_STATUS } = response.status().as_u16(),
            "request answered"
        );
    });
    response
}

/// Answers a request that is handed to no handler, as one that is: with its id, a line and a count.
pub(crate) fn refuse(headers: &HeaderMap, method: &Method, problem: Problem) -> Response {
    let request_id = request_id(headers);
    telemetry::tell(|| {
        tracing::info!(
            { telemetry::REQUEST_ID } = request_id.as_str(),
            { telemetry::HTTP_ROUTE } = NO_ROUTE,
            { telemetry::CODE } = problem.code().as_str(),
            "request refused"
        );
    });
    let response = shaped(problem.render(Some(&request_id)), &request_id);
    count(NO_ROUTE, Some(method), response.status(), Duration::ZERO);
    response
}

/// Tells and counts a head that was refused before it was a request: it has no method and no id that anybody could read.
pub(crate) fn head_refused(status: StatusCode) {
    telemetry::tell(|| {
        tracing::info!(
            { telemetry::HTTP_ROUTE } = NO_ROUTE,
            { telemetry::HTTP_STATUS } = status.as_u16(),
            "request refused"
        );
    });
    count(NO_ROUTE, None, status, Duration::ZERO);
}

/// Counts a request by its route, never by its address: that has ids in it.
fn count(route: &str, method: Option<&Method>, status: StatusCode, took: Duration) {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD];
    let method = known.iter().find(|it| Some(*it) == method).map_or("other", Method::as_str).to_owned();
    let labels = [("route", route.to_owned()), ("method", method)];
    metrics::histogram!(telemetry::METRIC_HTTP_SECONDS, &labels).record(took.as_secs_f64());
    let [route, method] = labels;
    metrics::counter!(
        telemetry::METRIC_HTTP_REQUESTS, "route" => route.1, "method" => method.1, "status" => status.as_u16().to_string()
    )
    .increment(1);
}

/// Takes the caller's id of the request if it is well formed, or makes one.
fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| RequestId::new(text).ok());
    given.unwrap_or_else(|| RequestId::from(Uuid::new_v4()))
}

/// Gives every answer its form: problems are documents, nothing is kept, the request's id is there.
fn shaped(response: Response, request_id: &RequestId) -> Response {
    let mut response = match response.extensions().get::<Problem>() {
        Some(problem) => with_headers_of(&response, problem.clone().render(Some(request_id))),
        None if is_bare_refusal(&response) => {
            let code = ProblemCode::of_status(response.status());
            with_headers_of(&response, Problem::new(code).render(Some(request_id)))
        }
        None => response,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::try_from(request_id.as_str()) {
        headers.insert(&REQUEST_ID, value);
    }
    response
}

/// Says whether something beneath us refused without a document of ours.
fn is_bare_refusal(response: &Response) -> bool {
    let is_refusal = response.status().is_client_error() || response.status().is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_document = kind.starts_with(b"application/problem+json") || kind.starts_with(b"application/json");
    is_refusal && !is_document
}

/// Keeps `Allow`, which says what would have been right.
fn with_headers_of(from: &Response, mut to: Response) -> Response {
    if from.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = from.headers().get(header::ALLOW)
    {
        to.headers_mut().insert(header::ALLOW, allow.clone());
    }
    to
}

/// Says what kind of panic it was; its words may hold what nobody shall read in a log.
fn kind_of(panic: &(dyn Any + Send)) -> &'static str {
    if panic.is::<&'static str>() || panic.is::<String>() { "panic" } else { "panic_of_another_type" }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::any;
    use tokio::time::Instant;
    use tower::ServiceExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const WAIT: Duration = Duration::from_secs(limits::WAIT_SECONDS as u64);

    /// Returns the statuses of a handler that panics, one that is cut off, and a request that is handed to none.
    async fn answered() -> [u16; 3] {
        let edge = Edge { limit: HandlerLimit(LIMIT), draining: CancellationToken::new() };
        let app = Router::new().route("/panic", any(panicking)).route("/late", any(std::future::pending::<StatusCode>));
        let app = app.layer(axum::middleware::from_fn_with_state(edge, around));
        let status = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        let refused = refuse(&HeaderMap::new(), &Method::GET, Problem::new(ProblemCode::UriTooLong));
        [status("/panic").await, status("/late").await, refused.status().as_u16()]
    }

    async fn panicking() -> StatusCode {
        panic!("a handler's own");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_of_a_request_is_answered_also_if_the_log_cannot_be_written() {
        let _log = crate::unwritable::unwritable();
        assert_eq!(answered().await, [500, 503, 414]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_is_ended_at_its_limit_which_is_longer_only_for_who_asks_to_wait_or_sends_a_body() {
        let edge = Edge { limit: HandlerLimit(LIMIT), draining: CancellationToken::new() };
        let app = Router::new().route("/", any(std::future::pending::<StatusCode>));
        let app = app.layer(axum::middleware::from_fn_with_state(edge, around));
        let cases = [
            ("GET", "/", LIMIT, "timed_out"),
            ("GET", "/?wait=30", LIMIT + WAIT, "timed_out"),
            ("GET", "/?cursor=x&w%61it=1", LIMIT + WAIT, "timed_out"),
            ("GET", "/?%77%61%69%74=1", LIMIT + WAIT, "timed_out"),
            ("HEAD", "/", LIMIT, ""),
            ("HEAD", "/?wait=1", LIMIT + WAIT, ""),
            // Another name, and a name that is a value.
            ("GET", "/?await=1", LIMIT, "timed_out"),
            ("GET", "/?cursor=wait", LIMIT, "timed_out"),
            ("GET", "/?WAIT=1", LIMIT, "timed_out"),
            ("DELETE", "/?wait=1", LIMIT, "outcome_unknown"),
            ("POST", "/?wait=1", LIMIT + limits::BODY, "outcome_unknown"),
        ];
        for (method, uri, expected, code) in cases {
            let began = Instant::now();
            let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(began.elapsed(), expected, "{method} {uri}");
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{method} {uri}");
            let body = to_bytes(response.into_body(), 4096).await.unwrap();
            assert!(String::from_utf8_lossy(&body).contains(code), "{method} {uri}: {body:?}");
        }
    }
}
