//! Every refusal of the API's description over the wire: what a create and a delete say, and that nothing is sent again.

use std::time::Duration;

use serde_json::{Value, json};
use vip_core::ports::{ProviderClient, ProviderErrorKind as Kind, Retryability, ServerStatus};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{client, context, create_request, id, name, owner};

const ONE_SECOND: Kind = Kind::Throttled { retry_after: Duration::from_secs(1) };

/// Status, code, message as seen in the wild, and what a create and a delete say. Written from the description, and not
/// from the client's own table.
const DESCRIBED: [(u16, &str, &str, Kind, Kind); 42] = [
    (400, "json_error", "", Kind::Bug, Kind::Bug),
    (401, "unauthorized", "token is required", Kind::Unauthorized, Kind::Unauthorized),
    (401, "unauthorized", "the token you have provided is invalid", Kind::Unauthorized, Kind::Unauthorized),
    (401, "token_readonly", "", Kind::ReadOnly, Kind::ReadOnly),
    // What is forbidden to an effect alone is no word about the token.
    (403, "forbidden", "insufficient permissions", Kind::AccountLimit, Kind::Protected),
    (403, "maintenance", "", Kind::Busy, Kind::Busy),
    (403, "resource_limit_exceeded", "server limit reached", Kind::AccountLimit, Kind::AccountLimit),
    (405, "method_not_allowed", "", Kind::Bug, Kind::Bug),
    (409, "uniqueness_error", "server name is already used", Kind::AlreadyExists, Kind::Busy),
    (409, "conflict", "please retry", Kind::Unknown, Kind::Busy),
    (410, "deprecated_api_endpoint", "", Kind::Bug, Kind::Bug),
    (412, "resource_unavailable", "error during placement", Kind::Exhausted, Kind::Exhausted),
    (412, "resource_unavailable", "server location disabled", Kind::Exhausted, Kind::Exhausted),
    (412, "unavailable", "", Kind::Exhausted, Kind::Exhausted),
    (412, "primary_ip_version_mismatch", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "invalid_input", "unsupported location for server type", Kind::InvalidInput, Kind::InvalidInput),
    (422, "service_error", "", Kind::Unknown, Kind::Unknown),
    (422, "unsupported_error", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "placement_error", "error during placement", Kind::Exhausted, Kind::Exhausted),
    (422, "primary_ip_assigned", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "primary_ip_datacenter_mismatch", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "server_not_stopped", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "invalid_server_type", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "already_in_placement_group", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "server_already_attached", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "networks_overlap", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "must_be_unassigned", "", Kind::InvalidInput, Kind::InvalidInput),
    (422, "no_space_left_in_location", "", Kind::Exhausted, Kind::Exhausted),
    (422, "resource_in_use", "", Kind::InvalidInput, Kind::InvalidInput),
    (423, "locked", "cannot perform operation because server is locked", Kind::Busy, Kind::Busy),
    (423, "protected", "", Kind::Protected, Kind::Protected),
    (429, "rate_limit_exceeded", "limit of 3600 requests per hour reached", ONE_SECOND, ONE_SECOND),
    (500, "server_error", "", Kind::Unknown, Kind::Unknown),
    (502, "bad_gateway", "", Kind::Unknown, Kind::Unknown),
    (503, "unavailable", "", Kind::Unknown, Kind::Unknown),
    (504, "timeout", "", Kind::Unknown, Kind::Unknown),
    // In the vendor's own client and not in the description: by their status.
    (422, "unknown_error", "", Kind::Unknown, Kind::Unknown),
    (503, "robot_unavailable", "", Kind::Unknown, Kind::Unknown),
    (423, "resource_locked", "", Kind::Busy, Kind::Busy),
    (403, "creation_disabled", "", Kind::AccountLimit, Kind::Protected),
    (422, "volume_already_attached", "", Kind::InvalidInput, Kind::InvalidInput),
    (409, "vswitch_id_already_used", "", Kind::Unknown, Kind::Busy),
];

/// The forms in which details come.
fn bodies(code: &str, message: &str) -> [Value; 3] {
    let details = json!({"fields": [{"name": "name", "messages": ["words"]}], "limits": [{"name": "server_limit"}]});
    [
        json!({"error": {"code": code, "message": message}}),
        json!({"error": {"code": code, "message": message, "details": null}}),
        json!({"error": {"code": code, "message": message, "details": details, "later": 1}, "later": []}),
    ]
}

#[tokio::test]
async fn every_refusal_of_the_description_is_told_by_what_was_applied() {
    let server = MockServer::start().await;
    let client = client(&format!("{}/v1", server.uri()));
    let request = create_request();
    for (status, code, message, for_create, for_delete) in DESCRIBED {
        for body in bodies(code, message) {
            server.reset().await;
            let answer = ResponseTemplate::new(status).set_body_json(&body).insert_header("x-correlation-id", "7c2a9f");
            Mock::given(any()).respond_with(answer).mount(&server).await;
            let create = client.create(&request, &context()).await.unwrap_err();
            let delete = client.delete(&id(), &context()).await.unwrap_err();
            assert_eq!((create.kind, delete.kind), (for_create, for_delete), "{status} {body}");
            for error in [create, delete] {
                let is_unsure = matches!(error.kind, Kind::Unknown | Kind::AlreadyExists);
                assert_eq!(error.retryability() == Retryability::OutcomeUnknown, is_unsure, "{status} {code}");
                assert_eq!((error.code.as_str(), error.correlation_id.as_deref()), (code, Some("7c2a9f")));
            }
            assert_eq!(server.received_requests().await.unwrap().len(), 2, "{status} {code}: each was sent once");
        }
    }
}

#[tokio::test]
async fn a_read_that_is_forbidden_is_a_word_about_the_token() {
    let server = MockServer::start().await;
    let client = client(&server.uri());
    let body = json!({"error": {"code": "forbidden", "message": "insufficient permissions"}});
    Mock::given(any()).respond_with(ResponseTemplate::new(403).set_body_json(body)).mount(&server).await;
    let errors = [
        client.get(&id(), &context()).await.unwrap_err(),
        client.find(&name(), &context()).await.unwrap_err(),
        client.inventory(owner(), 1, &context()).await.unwrap_err(),
        client.catalog(&context()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind, error.code.as_str()), (Kind::Unauthorized, "forbidden"));
    }
}

#[tokio::test]
async fn an_unknown_server_is_no_error_and_an_unknown_route_is_ours() {
    let server = MockServer::start().await;
    let body = json!({"error": {"code": "not_found", "message": "api route not found"}});
    Mock::given(any()).respond_with(ResponseTemplate::new(404).set_body_json(body)).mount(&server).await;
    let client = client(&server.uri());
    assert_eq!(client.create(&create_request(), &context()).await.unwrap_err().kind, Kind::Bug);
    assert_eq!(client.get(&id(), &context()).await.unwrap(), None);
}

#[tokio::test]
async fn unknown_fields_and_words_of_a_later_version_are_tolerated() {
    let server = MockServer::start().await;
    let mut body = super::created();
    for place in ["", "/server", "/action"] {
        let object = body.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert("invented_later".to_owned(), json!({"a": [null, 1.5, "words"]}));
    }
    *body.pointer_mut("/server/status").unwrap() = json!("hibernating");
    *body.pointer_mut("/action/status").unwrap() = json!("queued");
    Mock::given(any()).respond_with(ResponseTemplate::new(201).set_body_json(body)).mount(&server).await;
    let created = client(&server.uri()).create(&create_request(), &context()).await.unwrap();
    assert_eq!((created.server.id, created.server.status), (id(), ServerStatus::Other));
}
