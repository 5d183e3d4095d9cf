//! The description of the API (OpenAPI 3.1), made from the routes themselves.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::api::ApiState;

/// Returns the route of the description itself: it needs no identity, and tells nothing of any tenant.
pub(crate) fn routes() -> Router<ApiState> {
    // Made once: it is the same for every request.
    let text: Arc<str> = Arc::from(describe(crate::routes::all()).to_json().unwrap_or_default());
    let description = || async move { ([(header::CONTENT_TYPE, "application/json")], text.to_string()) };
    Router::new().route("/openapi.json", get(description))
}

/// Describes the routes.
pub(crate) fn describe(routes: OpenApiRouter<ApiState>) -> OpenApi {
    let (_, mut description) = routes.split_for_parts();
    description.info = InfoBuilder::new()
        .title("VIP")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Provisions servers reliably: one order, exactly one server."))
        .build();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "An API key, or a token if the host allows them. Scopes: tenant:read, tenant:write, operator.",
        ))
        .build();
    let components = description.components.get_or_insert_with(Components::new);
    components.add_security_scheme("key", SecurityScheme::Http(scheme));
    description
}
