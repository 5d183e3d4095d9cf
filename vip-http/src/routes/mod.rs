//! The routes of the API: each handler says what it needs by the types of its arguments.

mod accounts;
mod audit;
mod catalog;
mod jobs;
mod operations;
mod parked;
mod servers;

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use vip_core::provisioner::OperationHandle;
use vip_core::telemetry;

use crate::api::ApiState;
use crate::problem::{Problem, ProblemCode};
use crate::wire::OperationBody;

/// Says that a command had been accepted before.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Returns all routes with their descriptions.
pub(crate) fn all() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(servers::list, servers::create))
        .routes(routes!(servers::get, servers::delete))
        .routes(routes!(operations::list))
        .routes(routes!(operations::get))
        .routes(routes!(operations::why))
        .routes(routes!(operations::cancel))
        .routes(routes!(catalog::get))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::replay_many))
        .routes(routes!(jobs::replay))
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::set_breaker))
        .routes(routes!(accounts::sightings))
        .routes(routes!(accounts::sweep))
        .routes(routes!(accounts::confirm_token))
        .routes(routes!(parked::resume))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(crate::health::health))
}

/// Waits for what the provider is asked for; if that takes too long, it is the provider that is told of, and not the store.
async fn of_provider<T, E>(most: Duration, work: impl Future<Output = Result<T, E>> + Send) -> Result<T, Problem>
where
    E: Into<Problem>,
{
    in_time(most, ProblemCode::ProviderUnavailable, work).await?.map_err(Into::into)
}

/// Waits for work with a limit of its own; the code says what took so long.
async fn in_time<T>(most: Duration, code: ProblemCode, work: impl Future<Output = T> + Send) -> Result<T, Problem> {
    match tokio::time::timeout(most, work).await {
        Ok(ended) => Ok(ended),
        Err(elapsed) => {
            telemetry::tell(|| tracing::warn!({ telemetry::ERROR } = %elapsed, code = code.as_str(), "request failed"));
            Err(Problem::new(code))
        }
    }
}

/// Answers an accepted command: where to follow it, and whether it had been accepted before.
async fn accepted(state: &ApiState, operation: &OperationHandle) -> Result<Response, Problem> {
    let is_replayed = operation.is_replayed();
    let progress = if is_replayed { operation.progress().await.ok() } else { None };
    let (is_final, body) = match progress {
        Some(progress) => (progress.operation.status.is_final(), OperationBody::from(progress)),
        // What was accepted just now is as its commit says. Of what was before, it is known that it is accepted: that the store
        // could not be read again is no reason to say anything else.
        None => (operation.operation().status.is_final(), OperationBody::from(operation.operation().clone())),
    };
    let status = if is_final && is_replayed { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(body)).into_response();
    let location = format!("{}/v1/operations/{}", state.base_path, operation.id());
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if is_replayed {
        response.headers_mut().insert(&REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
