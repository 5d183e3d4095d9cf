//! Parameters of the query: unknown ones are refused, so that a misspelt bound is not taken for none.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use vip_core::telemetry;

use crate::problem::{Problem, ProblemCode};

/// Is the query, of exactly the documented form.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            // Why is not logged: it quotes what was sent, which may be a key.
            Err(_rejection) => {
                telemetry::tell(|| tracing::debug!("query refused"));
                let detail = "A parameter is unknown, there twice, or not of the documented form.";
                Err(Problem::new(ProblemCode::InvalidQuery).with_detail(detail))
            }
        }
    }
}
