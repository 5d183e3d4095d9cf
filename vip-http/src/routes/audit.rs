//! The audit of a tenant: list its sealed records, verify its chain.

use axum::Json;
use vip_core::model::ChainHead;
use vip_core::provisioning::AuditFault;
use vip_core::telemetry;

use super::in_time;
use crate::auth::OperatorCaller;
use crate::extract::{JsonBody, Query, TenantName};
use crate::limits;
use crate::problem::{Problem, ProblemBody, ProblemCode};
use crate::wire::{AuditBody, AuditQuery, VerifiedBody, VerifyBody};

/// Lists sealed audit records of a tenant.
#[utoipa::path(
    get, path = "/v1/operator/tenants/{tenant}/audit", tag = "operator", operation_id = "list_audit_records",
    security(("key" = ["operator"])),
    params(("tenant" = String, Path, description = "Name of the tenant"), AuditQuery),
    responses(
        (status = 200, description = "At most 500 records", body = AuditBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    caller: OperatorCaller,
    TenantName(tenant): TenantName,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditBody>, Problem> {
    let head = caller.operator.audit_head(&tenant).await?;
    let records = caller.operator.audit(&tenant, query.after).await?;
    Ok(Json(AuditBody { items: records.into_iter().map(Into::into).collect(), head: head.into() }))
}

/// Seals what is committed and verifies a tenant's chain.
#[utoipa::path(
    post, path = "/v1/operator/tenants/{tenant}/audit/verify", tag = "operator", operation_id = "verify_audit",
    security(("key" = ["operator"])),
    params(("tenant" = String, Path, description = "Name of the tenant")),
    request_body = VerifyBody,
    responses(
        (status = 200, description = "Whether it is whole, and what does not fit", body = VerifiedBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn verify(
    caller: OperatorCaller,
    TenantName(tenant): TenantName,
    JsonBody(body): JsonBody<VerifyBody>,
) -> Result<Json<VerifiedBody>, Problem> {
    let exported = body.exported.map(ChainHead::try_from).transpose()?;
    let verification = caller.operator.verify_audit(&tenant, exported.as_ref());
    // Cut off, it has changed nothing, and that is what the code says.
    match in_time(limits::VERIFY, ProblemCode::TimedOut, verification).await? {
        Ok(report) => Ok(Json(report.into())),
        Err(AuditFault::Store(error)) => Err(error.into()),
        // A chain that is not whole is an answer, not a failure of this request.
        Err(fault) => {
            telemetry::tell(|| {
                tracing::error!(tenant = %tenant, error = %telemetry::causes(&fault), "an audit chain is not whole");
            });
            Ok(Json(VerifiedBody { whole: false, fault: Some(fault.to_string()), records: None, head: None }))
        }
    }
}
