//! The description of the API (OpenAPI 3.1), made from the routes themselves.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::schema::{Object, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, RefOr};
use utoipa_axum::router::OpenApiRouter;
use vip_core::telemetry;

use crate::api::ApiState;
use crate::limits;

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
        each_operation(item).for_each(|operation| {
            too_many(operation);
            follow(operation);
            say_forms(operation);
        });
    }
    let components = description.components.get_or_insert_with(Components::new);
    components.add_security_scheme("key", SecurityScheme::Http(scheme));
    with_registered_formats(description)
}

/// Calls formats of unsigned integers as the registry of OpenAPI does; utoipa writes `u-int64`, which nobody knows.
fn with_registered_formats(description: OpenApi) -> OpenApi {
    let renamed = description.to_json().map(|text| text.replace("\"format\":\"u-int", "\"format\":\"uint"));
    match renamed.and_then(|text| serde_json::from_str(&text)) {
        Ok(renamed) => renamed,
        Err(error) => {
            let error = telemetry::causes(&error);
            telemetry::tell(|| tracing::error!({ telemetry::ERROR } = %error, "the description cannot be read back"));
            description
        }
    }
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

/// Says of which form names, cursors and digests are: whoever makes requests from the description makes useful ones. No
/// parameter is null: one that is not sent is not there.
fn say_forms(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else { continue };
        if let SchemaType::Array(kinds) = &schema.schema_type
            && let Some(kind) = kinds.iter().find(|kind| **kind != Type::Null)
        {
            schema.schema_type = SchemaType::Type(kind.clone());
        }
        match (parameter.name.as_str(), &parameter.parameter_in) {
            ("account" | "tenant", _) => {
                schema.pattern = Some("^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$".to_owned());
                (schema.min_length, schema.max_length) = (Some(1), Some(63));
            }
            ("digest", ParameterIn::Path) => schema.pattern = Some("^[0-9a-f]{16}$".to_owned()),
            ("cursor", ParameterIn::Query) => schema.max_length = Some(limits::CURSOR_BYTES),
            _ => {}
        }
    }
}

/// Says what an accepted command leads to: where each id of its answer can be used.
fn follow(operation: &mut Operation) {
    let leads_to = [
        ("operation", "get_operation", "$response.body#/id"),
        ("why", "explain_operation", "$response.body#/id"),
        ("cancel", "cancel_operation", "$response.body#/id"),
        ("server", "get_server", "$response.body#/server_id"),
        ("deletion", "delete_server", "$response.body#/server_id"),
    ];
    let Some(RefOr::T(accepted)) = operation.responses.responses.get_mut("202") else {
        return;
    };
    for (name, operation_id, id) in leads_to {
        let link = LinkBuilder::new().operation_id(operation_id).parameter("id", id).build();
        accepted.links.insert(name.to_owned(), RefOr::T(link));
    }
}
