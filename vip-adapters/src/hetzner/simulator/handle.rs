//! One request: what the faults hold for it, who asks, and what the API answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue, LINK};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use vip_core::telemetry;

use super::answer::{Answer, Refusal, html_response, json_response};
use super::bucket::{Bucket, RateLimit};
use super::fault_board::{Draw, Subject, Twist, Verdict, wanted};
use super::faults::{Effect, Failure};
use super::records::ProjectName;
use super::routes::{Call, find_endpoint};
use super::time::SimInstant;
use super::world::{Access, Event, World};

/// What the simulator does with a request.
#[derive(Debug)]
pub struct Reply {
    /// How long to wait before the outcome is delivered. The effect of the request has happened already.
    pub after: Duration,
    /// How the request ends.
    pub outcome: Outcome,
}

/// How a request ends for the client.
#[derive(Debug)]
pub enum Outcome {
    /// With a response.
    Respond(Response<Bytes>),
    /// The connection is cut without one byte of an answer.
    Cut,
}

/// The route under which requests are counted that match none.
const UNKNOWN_ROUTE: &str = "unknown";

/// Who asks, as far as the token tells.
struct Caller {
    /// The project and what the token may do there; absent if the token is missing or unknown.
    access: Option<(ProjectName, Access)>,
    token: Option<String>,
}

impl World {
    /// Takes one request at the time `now`.
    pub(super) fn handle(&mut self, now: SimInstant, request: Request<Bytes>) -> Reply {
        self.advance(now);
        let method = request.method().clone();
        let template = find_endpoint(request.uri().path()).map(|(endpoint, _)| endpoint.template());
        let draw = self.draw(&request, template);
        let answer_after = self.settings.answer_time + draw.answer_after;
        let correlation_id = self.next_correlation_id();
        let mut outcome = self.meet(request, draw, &correlation_id);
        let status = match &mut outcome {
            Outcome::Respond(response) => {
                set_header(response.headers_mut(), "x-correlation-id", &correlation_id);
                Some(response.status().as_u16())
            }
            Outcome::Cut => None,
        };
        self.books.request(&method, template.unwrap_or(UNKNOWN_ROUTE), status);
        Reply { after: answer_after, outcome }
    }

    /// Lets a request have its effect whose answer was given before; nobody reads this one.
    pub(super) fn apply_late(&mut self, request: &Request<Bytes>, arrived_at: SimInstant) {
        let correlation_id = self.next_correlation_id();
        let caller = self.caller(request.headers());
        let result = self.answer(request, arrived_at, &caller, &correlation_id, &Twist::default());
        telemetry::tell(|| tracing::debug!(applied = result.is_ok(), "a request had its effect late"));
    }

    fn draw(&mut self, request: &Request<Bytes>, template: Option<&'static str>) -> Draw {
        let is_create = request.method() == Method::POST && template == Some("/servers");
        let (server_type, location) = if is_create { wanted(request.body()) } else { (None, None) };
        let subject = Subject { method: request.method(), template, server_type, location };
        self.faults.draw(self.now, &mut self.rng, &subject)
    }

    fn meet(&mut self, request: Request<Bytes>, draw: Draw, correlation_id: &str) -> Outcome {
        let Some(verdict) = draw.verdict else {
            return Outcome::Respond(self.process(&request, correlation_id, &draw.twist));
        };
        match verdict {
            Verdict::CutBefore => Outcome::Cut,
            Verdict::CutAfter => {
                self.process(&request, correlation_id, &draw.twist);
                Outcome::Cut
            }
            Verdict::Fail { failure, effect } => {
                match effect {
                    Effect::None => {}
                    Effect::Applied => {
                        self.process(&request, correlation_id, &draw.twist);
                    }
                }
                Outcome::Respond(failure.response())
            }
            Verdict::Late { failure, effect_after } => {
                let due = self.now + effect_after;
                self.schedule(due, Event::LateEffect { request: Box::new(request), arrived_at: self.now });
                failure.map_or(Outcome::Cut, |failure| Outcome::Respond(failure.response()))
            }
            Verdict::TooManyRequests => Outcome::Respond(self.pretend_exhausted(&request)),
            Verdict::Refuse { status, code, message } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                Outcome::Respond(Refusal::new(status, code, message).into_response())
            }
        }
    }

    /// Answers a request that no fault decides: rate limit, route, token, and then the call itself.
    fn process(&mut self, request: &Request<Bytes>, correlation_id: &str, twist: &Twist) -> Response<Bytes> {
        let caller = self.caller(request.headers());
        let limit = self.settings.rate_limit_per_hour;
        let now = self.now;
        let bucket = self.bucket(&caller);
        let has_token_left = bucket.take(now);
        let rate = bucket.state(now);
        let result = if has_token_left {
            self.answer(request, now, &caller, correlation_id, twist)
        } else {
            let token = caller.token.as_deref().unwrap_or_default();
            Err(Refusal::too_many_requests(limit, token))
        };
        let mut response = match result {
            Ok(Answer { status, body, link }) => {
                let mut response = json_response(status, &body);
                if let Some(link) = link {
                    set_header(response.headers_mut(), LINK.as_str(), &link);
                }
                response
            }
            Err(refusal) => refusal.into_response(),
        };
        self.set_rate_headers(response.headers_mut(), rate);
        response
    }

    fn answer(
        &mut self,
        request: &Request<Bytes>,
        arrived_at: SimInstant,
        caller: &Caller,
        correlation_id: &str,
        twist: &Twist,
    ) -> Result<Answer, Refusal> {
        let (endpoint, id) = find_endpoint(request.uri().path()).ok_or_else(Refusal::unknown_route)?;
        let Some((project, access)) = &caller.access else {
            return Err(match caller.token {
                Some(_) => Refusal::token_invalid(),
                None => Refusal::token_required(),
            });
        };
        if !endpoint.allows(request.method()) {
            return Err(Refusal::method_not_allowed());
        }
        if *access == Access::ReadOnly && request.method() != Method::GET {
            return Err(Refusal::token_readonly());
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let call = Call {
            project: Arc::clone(project),
            id,
            uri: request.uri(),
            host: host.unwrap_or_default(),
            body: request.body(),
            correlation_id,
            arrived_at,
            twist,
        };
        self.call(endpoint, request.method(), &call)
    }

    fn caller(&self, headers: &HeaderMap) -> Caller {
        let token = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let access = token.as_ref().and_then(|token| self.settings.tokens.get(token)).cloned();
        Caller { access, token }
    }

    fn bucket(&mut self, caller: &Caller) -> &mut Bucket {
        let limit = self.settings.rate_limit_per_hour;
        let project = caller.access.as_ref().map(|(project, _)| Arc::clone(project));
        self.buckets.entry(project).or_insert_with(|| Bucket::full(limit))
    }

    fn pretend_exhausted(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let caller = self.caller(request.headers());
        let now = self.now;
        let rate = self.bucket(&caller).exhausted(now);
        let token = caller.token.as_deref().unwrap_or_default();
        let mut response = Refusal::too_many_requests(rate.limit_per_hour, token).into_response();
        self.set_rate_headers(response.headers_mut(), rate);
        response
    }

    fn set_rate_headers(&self, headers: &mut HeaderMap, rate: RateLimit) {
        let reset = self.settings.clock.unix_seconds(rate.full_at);
        headers.insert("ratelimit-limit", HeaderValue::from(rate.limit_per_hour));
        headers.insert("ratelimit-remaining", HeaderValue::from(rate.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
    }
}

fn set_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(error) => telemetry::tell(|| tracing::warn!(header = name, %error, "a header of an answer is left out")),
    }
}

impl Failure {
    fn response(self) -> Response<Bytes> {
        let (code, message) = match self {
            Self::BadGatewayHtml => {
                let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n\
                            <body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n";
                return html_response(self.status(), body);
            }
            Self::ServerError => ("server_error", "an unexpected error occurred"),
            Self::BadGateway => ("bad_gateway", "bad gateway"),
            Self::Unavailable => ("unavailable", "service unavailable"),
            Self::Timeout => ("timeout", "request timeout"),
        };
        Refusal::new(self.status(), code, message).into_response()
    }
}
