//! Operations: show, wait, list, cancel, and say why they are not done.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use vip_core::WaitError;
use vip_core::model::{OperationId, OperationStatus, TenantId};
use vip_core::provisioner::OperationHandle;

use super::accepted;
use crate::api::ApiState;
use crate::auth::{TenantReader, TenantWriter};
use crate::cursor::Binding;
use crate::extract::{Id, Query};
use crate::limits;
use crate::problem::{Problem, ProblemBody};
use crate::wire::{OperationBody, PageBody, PageQuery, WaitQuery, WhyBody};

/// Lists operations.
#[utoipa::path(
    get, path = "/v1/operations", tag = "operations", operation_id = "list_operations",
    security(("key" = ["tenant:read"])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page", body = PageBody<OperationBody>),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    reader: TenantReader,
    State(state): State<ApiState>,
    Query(query): Query<PageQuery>,
) -> Result<Json<PageBody<OperationBody>>, Problem> {
    let binding = Binding { owner: reader.tenant_id.as_str(), query: "operations" };
    let page = reader.tenant.operations(&query.request(&state.cursors, binding)?).await?;
    Ok(Json(PageBody::of(page, &state.cursors, binding, OperationBody::from)))
}

/// Shows an operation, at once or when it is done.
#[utoipa::path(
    get, path = "/v1/operations/{id}", tag = "operations", operation_id = "get_operation",
    security(("key" = ["tenant:read"])),
    params(("id" = String, Path, description = "Id of the operation", format = Uuid), WaitQuery),
    responses(
        (status = 200, description = "The operation as it is now", body = OperationBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    reader: TenantReader,
    State(state): State<ApiState>,
    Id(id): Id<OperationId>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<OperationBody>, Problem> {
    let seconds = query.seconds()?;
    let operation = reader.tenant.operation(id).await?;
    // Of one that has ended, or is parked, nothing is waited for.
    if seconds > 0 && operation.operation().status == OperationStatus::Pending {
        wait(&state, &reader.tenant_id, &operation, Duration::from_secs(seconds.into())).await?;
    }
    Ok(Json(operation.progress().await?.into()))
}

/// Waits until it is done or parked, the time is over, or this process begins to end.
async fn wait(state: &ApiState, tenant: &TenantId, operation: &OperationHandle, time: Duration) -> Result<(), Problem> {
    if state.draining.is_cancelled() {
        // Whoever was told how things stand when the drain began, and asks here again, shall not ask all the time until the end.
        tokio::time::sleep(limits::NO_PLACE.min(time)).await;
        return Ok(());
    }
    let place = state.places.take(tenant);
    let work = async {
        if place.is_some() {
            return operation.wait().await.map(drop);
        }
        // One more than may wait is told how things stand, instead of being refused.
        tokio::time::sleep(limits::NO_PLACE).await;
        Ok(())
    };
    let waited = tokio::select! {
        waited = tokio::time::timeout(time, work) => waited,
        () = state.draining.cancelled() => return Ok(()),
    };
    match waited {
        Ok(Err(WaitError::Unavailable(error))) => Err(error.into()),
        // How it ended is read again, and said whatever it is.
        Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
    }
}

/// Says in one sentence why an operation is not done and what happens next.
#[utoipa::path(
    get, path = "/v1/operations/{id}/why", tag = "operations", operation_id = "explain_operation",
    security(("key" = ["tenant:read"])),
    params(("id" = String, Path, description = "Id of the operation", format = Uuid)),
    responses(
        (status = 200, description = "The sentence", body = WhyBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn why(reader: TenantReader, Id(id): Id<OperationId>) -> Result<Json<WhyBody>, Problem> {
    let operation = reader.tenant.operation(id).await?;
    Ok(Json(operation.progress().await?.into()))
}

/// Gives up an order whose server has not run: answers the operation of its deletion.
#[utoipa::path(
    post, path = "/v1/operations/{id}/cancel", tag = "operations", operation_id = "cancel_operation",
    security(("key" = ["tenant:write"])),
    params(("id" = String, Path, description = "Id of the operation of a create", format = Uuid)),
    responses(
        (status = 202, description = "Accepted", body = OperationBody,
            headers(("Location" = String, description = "Where to follow the deletion"))),
        (status = 200, description = "Accepted before, and ended since", body = OperationBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn cancel(
    writer: TenantWriter,
    State(state): State<ApiState>,
    Id(id): Id<OperationId>,
) -> Result<Response, Problem> {
    accepted(&state, &writer.tenant.cancel(id).await?).await
}
