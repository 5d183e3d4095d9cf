//! The description of the API (OpenAPI 3.1), made from the routes themselves.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, RefOr};
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
    for item in description.paths.paths.values_mut() {
        each_operation(item).for_each(too_many);
    }
    let components = description.components.get_or_insert_with(Components::new);
    components.add_security_scheme("key", SecurityScheme::Http(scheme));
    description
}

fn each_operation(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, .. } = item;
    [get, put, post, delete].into_iter().filter_map(Option::as_mut)
}

/// Describes what whoever sends too many requests is answered, on every route: as any problem, and with its headers.
fn too_many(operation: &mut Operation) {
    let Some(RefOr::T(mut response)) = operation.responses.responses.get("default").cloned() else {
        return;
    };
    "Too many requests of this caller or its tenant".clone_into(&mut response.description);
    let headers = [
        ("Retry-After", "Seconds until there is one more"),
        ("RateLimit", "What is left: `r`, and `t`, the seconds until there is one more, if it is nothing"),
        ("RateLimit-Policy", "The limits: `q` requests in `w` seconds"),
    ];
    for (name, text) in headers {
        let header = HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).description(Some(text)).build();
        response.headers.insert(name.to_owned(), header.into());
    }
    operation.responses.responses.insert("429".to_owned(), RefOr::T(response));
}
