//! Liveness and readiness.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;
use vip_core::Provisioner;

/// A probe wants the present answer, not one that somebody kept.
const NOT_KEPT: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// Answers as long as the process can; a process whose store is down is not restarted for it.
pub(crate) async fn live() -> impl IntoResponse {
    (StatusCode::OK, NOT_KEPT, Json(json!({ "status": "ok" })))
}

/// Answers 200 if work is welcome, 503 while a needed part is down or the process shuts down; names each part.
pub(crate) async fn ready(State(provisioner): State<Provisioner>) -> impl IntoResponse {
    let report = provisioner.health().await;
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let parts: Vec<_> =
        report.parts.iter().map(|part| json!({ "name": part.name, "status": part.status.to_string() })).collect();
    let body = json!({
        "status": if report.is_ready() { "ready" } else { "not_ready" },
        "draining": report.draining,
        "parts": parts,
    });
    (status, NOT_KEPT, Json(body))
}
