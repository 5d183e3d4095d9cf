//! Identity as a typed extractor: a handler that names one cannot run without it.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use vip_core::model::{Actor, RequestId, TenantId, TraceParent};
use vip_core::provisioner::{Operator, Tenant};
use vip_core::telemetry;

use super::{AuthError, Identity, Scope};
use crate::api::ApiState;
use crate::problem::{Problem, ProblemCode};
use crate::rate::RateTold;

/// Is a caller that may read what belongs to its tenant.
#[derive(Debug, Clone)]
pub struct TenantReader {
    /// Speaks for the caller's tenant.
    pub tenant: Tenant,
    /// The tenant's name.
    pub tenant_id: TenantId,
    /// Who calls.
    pub identity: Identity,
}

/// Is a caller that may order and delete for its tenant.
#[derive(Debug, Clone)]
pub struct TenantWriter {
    /// Speaks for the caller's tenant.
    pub tenant: Tenant,
    /// The tenant's name.
    pub tenant_id: TenantId,
    /// Who calls.
    pub identity: Identity,
}

/// Is a caller that may look at, and act on, the whole installation.
#[derive(Debug, Clone)]
pub struct OperatorCaller {
    /// Speaks for the operator.
    pub operator: Operator,
    /// Who calls, for audit records.
    pub actor: Actor,
    /// Who calls.
    pub identity: Identity,
}

/// Identifies the caller and demands a scope.
async fn identify(parts: &Parts, state: &ApiState, scope: Scope) -> Result<Identity, Problem> {
    let identity = match state.authenticator.authenticate(&parts.headers).await {
        Ok(identity) => identity,
        Err(AuthError::Refused { because }) => {
            telemetry::tell(|| tracing::info!(code = because, "request refused"));
            return Err(Problem::new(ProblemCode::Unauthenticated));
        }
        Err(error @ AuthError::Unavailable { .. }) => {
            telemetry::tell(|| {
                tracing::warn!({ telemetry::ERROR } = %telemetry::causes(&error), "callers cannot be identified");
            });
            return Err(Problem::new(ProblemCode::Unavailable));
        }
    };
    if scope != Scope::Operator || !identity.has(scope) {
        state.rates.take(&identity, parts.extensions.get::<RateTold>())?;
    }
    if identity.has(scope) {
        return Ok(identity);
    }
    telemetry::tell(|| tracing::info!(code = "no_scope", "request refused"));
    Err(Problem::new(ProblemCode::Forbidden).with_detail(format!("Needed is the scope {scope}.")))
}

/// Speaks for the tenant of an identity, which alone decides whose data a request reaches.
async fn tenant(parts: &Parts, state: &ApiState, scope: Scope) -> Result<(Tenant, TenantId, Identity), Problem> {
    let identity = identify(parts, state, scope).await?;
    let Some(id) = identity.tenant().cloned() else {
        return Err(Problem::new(ProblemCode::Forbidden).with_detail("The identity belongs to no tenant."));
    };
    let mut tenant = state.provisioner.tenant(id.as_str()).actor(identity.actor());
    if let Some(request_id) = parts.extensions.get::<RequestId>() {
        tenant = tenant.request_id(request_id.clone());
    }
    if let Some(trace_parent) = trace_parent(&parts.headers) {
        tenant = tenant.trace_parent(trace_parent);
    }
    Ok((tenant, id, identity))
}

/// Reads the trace context of a request; one that is there twice, or not well formed, is none.
fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all("traceparent").iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    TraceParent::from_header(value.to_str().ok()?)
}

impl<S> FromRequestParts<S> for TenantReader
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (tenant, tenant_id, identity) = tenant(parts, &ApiState::from_ref(state), Scope::TenantRead).await?;
        Ok(Self { tenant, tenant_id, identity })
    }
}

impl<S> FromRequestParts<S> for TenantWriter
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (tenant, tenant_id, identity) = tenant(parts, &ApiState::from_ref(state), Scope::TenantWrite).await?;
        Ok(Self { tenant, tenant_id, identity })
    }
}

impl<S> FromRequestParts<S> for OperatorCaller
where
    S: Send + Sync,
    ApiState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let state = ApiState::from_ref(state);
        let identity = identify(parts, &state, Scope::Operator).await?;
        let actor = Actor::Operator { name: identity.subject().to_owned() };
        Ok(Self { operator: state.provisioner.operator(), actor, identity })
    }
}
