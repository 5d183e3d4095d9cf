//! The catalog of an account.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;
use vip_core::model::AccountId;

use super::of_provider;
use crate::auth::TenantReader;
use crate::extract::Query;
use crate::limits;
use crate::problem::{Problem, ProblemBody, ProblemCode};
use crate::wire::CatalogBody;

/// Asks for a catalog.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CatalogQuery {
    /// The account; `default` if nothing is said.
    account: Option<String>,
}

/// Shows what can be ordered and what it costs; the same for all tenants.
#[utoipa::path(
    get, path = "/v1/catalog", tag = "catalog", operation_id = "get_catalog",
    security(("key" = ["tenant:read"])),
    params(CatalogQuery),
    responses(
        (status = 200, description = "The catalog, with its age", body = CatalogBody),
        (status = "default", description = "Not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(reader: TenantReader, Query(query): Query<CatalogQuery>) -> Result<Json<CatalogBody>, Problem> {
    let account = match query.account {
        Some(name) => AccountId::new(name).map_err(|error| {
            Problem::new(ProblemCode::InvalidQuery).with_detail(format!("`account` {}.", error.rule))
        })?,
        None => AccountId::default_account(),
    };
    Ok(Json(of_provider(limits::CATALOG, reader.tenant.catalog(&account)).await?.into()))
}
