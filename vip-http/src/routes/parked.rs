//! Servers that are parked, as an operator sees them: let one go on.

use axum::http::StatusCode;
use vip_core::model::ServerId;

use crate::auth::OperatorCaller;
use crate::extract::{Id, TenantName};
use crate::problem::{Problem, ProblemBody};

/// Lets a parked server go on where it was, whatever it is parked for.
#[utoipa::path(
    post, path = "/v1/operator/tenants/{tenant}/servers/{id}/resume", tag = "operator", operation_id = "resume_server",
    security(("key" = ["operator"])),
    params(
        ("tenant" = String, Path, description = "Name of the tenant"),
        ("id" = String, Path, description = "Id of the server", format = Uuid),
    ),
    responses(
        (status = 204, description = "It goes on"),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resume(
    caller: OperatorCaller,
    TenantName(tenant): TenantName,
    Id(server): Id<ServerId>,
) -> Result<StatusCode, Problem> {
    caller.operator.resume(&caller.actor, &tenant, server).await?;
    Ok(StatusCode::NO_CONTENT)
}
