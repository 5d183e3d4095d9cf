//! Jobs and dead letters: list, replay one, replay many beginning with a sample.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use vip_core::model::JobId;
use vip_core::provisioner::ReplayPlan;
use vip_core::telemetry;

use crate::api::ApiState;
use crate::auth::OperatorCaller;
use crate::cursor::Binding;
use crate::extract::{Id, JsonBody, Query};
use crate::problem::{Problem, ProblemBody, ProblemCode};
use crate::wire::{JobBody, JobsQuery, PageBody, PageQuery, ReplayBody, ReplayedBody};

/// Stands in the place of a tenant in cursors of operators; no tenant can have such a name.
const OPERATOR: &str = "*";

/// Lists jobs in a state.
#[utoipa::path(
    get, path = "/v1/operator/jobs", tag = "operator", operation_id = "list_jobs",
    security(("key" = ["operator"])),
    params(JobsQuery),
    responses(
        (status = 200, description = "A page", body = PageBody<JobBody>),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    caller: OperatorCaller,
    State(state): State<ApiState>,
    Query(query): Query<JobsQuery>,
) -> Result<Json<PageBody<JobBody>>, Problem> {
    let job_state = query.state.into();
    let query = PageQuery::new(query.limit, query.cursor);
    let name = format!("jobs:{}", vip_core::model::JobState::as_str(job_state));
    let binding = Binding { owner: OPERATOR, query: &name };
    let page = caller.operator.jobs(job_state, &query.request(&state.cursors, binding)?).await?;
    Ok(Json(PageBody::of(page, &state.cursors, binding, JobBody::from)))
}

/// Lets a dead job run again, with its counters at zero.
#[utoipa::path(
    post, path = "/v1/operator/jobs/{id}/replay", tag = "operator", operation_id = "replay_job",
    security(("key" = ["operator"])),
    params(("id" = String, Path, description = "Id of the job", format = Uuid)),
    responses(
        (status = 204, description = "It runs again"),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replay(caller: OperatorCaller, Id(id): Id<JobId>) -> Result<StatusCode, Problem> {
    let is_replayed = caller.operator.replay(id).await?;
    let subject = caller.identity.subject();
    telemetry::tell(|| tracing::info!(job.id = %id, subject, is_replayed, "replay of a dead job"));
    if is_replayed { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(ProblemCode::NotReplayable)) }
}

/// Replays dead jobs: a sample first, and the others only if all of it comes through.
#[utoipa::path(
    post, path = "/v1/operator/jobs/replay", tag = "operator", operation_id = "replay_dead_jobs",
    security(("key" = ["operator"])),
    request_body = ReplayBody,
    responses(
        (status = 200, description = "What was replayed", body = ReplayedBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replay_many(
    caller: OperatorCaller,
    JsonBody(body): JsonBody<ReplayBody>,
) -> Result<Json<ReplayedBody>, Problem> {
    let plan = ReplayPlan::from(body);
    let subject = caller.identity.subject();
    // Before the first is replayed: who asked has to be known also if this is cut off or fails.
    telemetry::tell(|| {
        tracing::info!(subject, sample = plan.sample, most = plan.most, "replay of dead jobs asked for");
    });
    let report = caller.operator.replay_dead(&plan).await?;
    telemetry::tell(|| {
        tracing::info!(subject, count = report.replayed, unreadable = report.unreadable, "replay of dead jobs");
    });
    Ok(Json(report.into()))
}
