//! Liveness and readiness: asked often, kept for a second, so that a probe cannot hurt.

use std::future::Future;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use vip_core::Provisioner;
use vip_core::runtime::HealthReport;

use crate::api::ApiState;
use crate::auth::OperatorCaller;
use crate::limits;
use crate::problem::ProblemBody;
use crate::process::ProcessCost;
use crate::wire::HealthBody;

/// A probe wants the present answer, not one that somebody kept.
const NOT_KEPT: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// Keeps the last reports; whoever asks while one is made waits for that one.
#[derive(Debug, Default)]
pub(crate) struct KeptReports {
    readiness: Mutex<Option<(Instant, HealthReport)>>,
    health: Mutex<Option<(Instant, HealthReport)>>,
}

async fn kept(
    place: &Mutex<Option<(Instant, HealthReport)>>,
    make: impl Future<Output = HealthReport>,
) -> HealthReport {
    let mut place = place.lock().await;
    if let Some((made, report)) = place.as_ref()
        && made.elapsed() < limits::HEALTH_KEPT
    {
        return report.clone();
    }
    let report = make.await;
    *place = Some((Instant::now(), report.clone()));
    report
}

/// Returns the routes for probes.
pub(crate) fn routes() -> Router<ApiState> {
    Router::new().route("/livez", get(live)).route("/readyz", get(ready_of_api))
}

/// Returns the routes for probes alone: `/livez` says that the process answers, `/readyz` whether it should get work.
///
/// For a process without an API. They need no identity and tell no more than one word.
pub fn probes(provisioner: &Provisioner) -> Router {
    let state = (provisioner.clone(), Arc::new(KeptReports::default()));
    Router::new().route("/livez", get(live)).route("/readyz", get(ready_of_process)).with_state(state)
}

/// Answers as long as the process can; a process whose store is down is not restarted for it.
async fn live() -> impl IntoResponse {
    (StatusCode::OK, NOT_KEPT, Json(json!({ "status": "ok" })))
}

async fn ready_of_api(State(state): State<ApiState>) -> impl IntoResponse {
    ready(&state.provisioner, &state.reports).await
}

async fn ready_of_process(State((provisioner, reports)): State<(Provisioner, Arc<KeptReports>)>) -> impl IntoResponse {
    ready(&provisioner, &reports).await
}

/// Says how the process and each of its parts fare; asked at most once a second, and each part within a second.
#[utoipa::path(
    get, path = "/healthz", tag = "operator", operation_id = "get_health",
    security(("key" = ["operator"])),
    responses(
        (status = 200, description = "How everything fares, whatever it is", body = HealthBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn health(_caller: OperatorCaller, State(state): State<ApiState>) -> Json<HealthBody> {
    let mut report = kept(&state.reports.health, state.provisioner.health()).await;
    report.draining = state.provisioner.is_draining();
    Json(HealthBody::new(report, ProcessCost::now()))
}

/// Answers 200 if requests are welcome, 503 while the store does not answer or the process shuts down.
async fn ready(provisioner: &Provisioner, reports: &KeptReports) -> impl IntoResponse + use<> {
    let report = kept(&reports.readiness, provisioner.readiness()).await;
    // A drain is seen at once: nobody waits a second for it.
    let is_ready = report.is_ready() && !provisioner.is_draining();
    let (status, word) =
        if is_ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    (status, NOT_KEPT, Json(json!({ "status": word })))
}
