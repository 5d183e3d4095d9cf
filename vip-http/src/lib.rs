//! One optional way to host `vip-core`: an axum router to mount into your own application, or a server to run.
//!
//! [`Api`] is the router, [`Authenticator`] says who calls, [`Problem`] is how every refusal looks.
//! `docs/how-to/host-over-http.md` shows all of it together. Feature `jwt`, off by default: tokens beside API keys
//! (`auth::Tokens`).

mod api;
pub mod auth;
mod cursor;
mod edge;
mod extract;
mod health;
pub mod limits;
mod metrics;
mod openapi;
mod places;
mod problem;
mod process;
mod rate;
mod routes;
mod serve;
#[cfg(test)]
#[path = "../../vip-core/src/telemetry/unwritable.rs"]
mod unwritable;
mod wire;

pub use api::{Api, ApiError, ApiState};
pub use auth::{ApiKeys, AuthError, Authenticator, Identity, NewApiKey, Scope};
pub use health::probes;
pub use metrics::refresh_metrics;
pub use problem::{FieldProblem, Problem, ProblemCode};
pub use rate::{RateLimit, RateLimitError, RateLimits};
pub use serve::{PeerAddress, ServeReport, Server, ServerSettings};

// So that a host needs one version of it.
pub use axum;
