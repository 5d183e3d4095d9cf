//! The description of the API (OpenAPI 3.1), made from the routes themselves.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi};
use utoipa_axum::router::OpenApiRouter;

use crate::api::ApiState;

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
