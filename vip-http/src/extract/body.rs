//! The JSON body of a request.

use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use vip_core::telemetry;

use crate::limits;
use crate::problem::{Problem, ProblemCode};

/// Is a body of at most 256 KiB, of exactly the documented form.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType));
        }
        let body = Limited::new(request.into_body(), limits::BODY_BYTES);
        let Ok(collected) = tokio::time::timeout(limits::BODY, body.collect()).await else {
            return Err(Problem::new(ProblemCode::BodyTooSlow));
        };
        let bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Problem::new(ProblemCode::BodyTooLarge)),
            // The client went away, or what it sent is no body: whoever reads this answer is not the one that sent it.
            Err(error) => {
                telemetry::tell(|| tracing::debug!(error = %telemetry::causes(error.as_ref()), "body broke off"));
                return Err(Problem::new(ProblemCode::MalformedBody).with_detail("The body broke off."));
            }
        };
        // A list of the fields' values in their order is a form that nobody has documented.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::new(ProblemCode::MalformedBody).with_detail("It is not a JSON object."));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            // The message names fields and places; a body may hold secrets, so what stands in it is not repeated.
            let what = match error.classify() {
                serde_json::error::Category::Data => "It is JSON and not of the documented form",
                serde_json::error::Category::Eof => "It ends too early",
                serde_json::error::Category::Io | serde_json::error::Category::Syntax => "It is not JSON",
            };
            let detail = format!("{what}: line {}, column {}.", error.line(), error.column());
            Problem::new(ProblemCode::MalformedBody).with_detail(detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    /// Reads a body whose only part arrives after a while.
    async fn arriving_after(pause: Duration) -> Result<u32, ProblemCode> {
        #[derive(serde::Deserialize)]
        struct Number {
            number: u32,
        }
        let late = stream::once(async move {
            assert!(tokio::time::timeout(pause, std::future::pending::<()>()).await.is_err());
            Ok::<_, std::io::Error>("{\"number\":7}")
        });
        let request = Request::post("/").header("content-type", "application/json").body(Body::from_stream(late));
        let read = JsonBody::<Number>::from_request(request.unwrap(), &()).await;
        read.map(|body| body.0.number).map_err(|problem| problem.code())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_fifteen_seconds_to_arrive() {
        assert_eq!(arriving_after(limits::BODY - Duration::from_millis(1)).await, Ok(7));
        assert_eq!(arriving_after(limits::BODY + Duration::from_millis(1)).await, Err(ProblemCode::BodyTooSlow));
    }
}
