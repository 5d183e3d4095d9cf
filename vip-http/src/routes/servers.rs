//! Servers: order, show, list, delete.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use vip_core::model::ServerId;

use super::accepted;
use crate::api::ApiState;
use crate::auth::{TenantReader, TenantWriter};
use crate::cursor::Binding;
use crate::extract::{Id, JsonBody, OptionalKey, OrderKey, Query};
use crate::problem::{Problem, ProblemBody};
use crate::wire::{CreateServerBody, OperationBody, PageBody, PageQuery, ServerBody};

/// Orders a server.
///
/// A repeat with the same key answers the operation that the first one made, and buys nothing.
#[utoipa::path(
    post, path = "/v1/servers", tag = "servers", operation_id = "create_server",
    security(("key" = ["tenant:write"])),
    params(("Idempotency-Key" = String, Header, description = "Names the order: 1 to 255 visible ASCII characters",
        min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = CreateServerBody,
    responses(
        (status = 202, description = "Accepted", body = OperationBody,
            headers(("Location" = String, description = "Where to follow the operation"))),
        (status = 200, description = "Accepted before, and ended since", body = OperationBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    writer: TenantWriter,
    State(state): State<ApiState>,
    OrderKey(key): OrderKey,
    JsonBody(body): JsonBody<CreateServerBody>,
) -> Result<Response, Problem> {
    let operation = writer.tenant.create_server(body.into()).idempotency_key(key).await?;
    accepted(&state, &operation).await
}

/// Lists servers, those that are gone included.
#[utoipa::path(
    get, path = "/v1/servers", tag = "servers", operation_id = "list_servers",
    security(("key" = ["tenant:read"])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page", body = PageBody<ServerBody>),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    reader: TenantReader,
    State(state): State<ApiState>,
    Query(query): Query<PageQuery>,
) -> Result<Json<PageBody<ServerBody>>, Problem> {
    let binding = Binding { owner: reader.tenant_id.as_str(), query: "servers" };
    let page = reader.tenant.servers(&query.request(&state.cursors, binding)?).await?;
    Ok(Json(PageBody::of(page, &state.cursors, binding, ServerBody::from)))
}

/// Shows a server.
#[utoipa::path(
    get, path = "/v1/servers/{id}", tag = "servers", operation_id = "get_server",
    security(("key" = ["tenant:read"])),
    params(("id" = String, Path, description = "Id of the server", format = Uuid)),
    responses(
        (status = 200, description = "The server", body = ServerBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(reader: TenantReader, Id(id): Id<ServerId>) -> Result<Json<ServerBody>, Problem> {
    Ok(Json(reader.tenant.server(id).await?.into()))
}

/// Wishes a server away; a second time answers the first one's operation.
#[utoipa::path(
    delete, path = "/v1/servers/{id}", tag = "servers", operation_id = "delete_server",
    security(("key" = ["tenant:write"])),
    params(
        ("id" = String, Path, description = "Id of the server", format = Uuid),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the deletion; it is safe to repeat without",
            min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 202, description = "Accepted", body = OperationBody,
            headers(("Location" = String, description = "Where to follow the operation"))),
        (status = 200, description = "Accepted before, and ended since", body = OperationBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    writer: TenantWriter,
    State(state): State<ApiState>,
    Id(id): Id<ServerId>,
    OptionalKey(key): OptionalKey,
) -> Result<Response, Problem> {
    let mut order = writer.tenant.delete_server(id);
    if let Some(key) = key {
        order = order.idempotency_key(key);
    }
    accepted(&state, &order.await?).await
}
