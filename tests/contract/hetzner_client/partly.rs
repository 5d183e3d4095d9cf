//! Answers of the API in which one thing cannot be read, or one action has failed, and the rest is as it should be.

use serde_json::{Value, json};
use vip_core::model::ProviderActionId;
use vip_core::ports::{ActionStatus, ProviderClient, ProviderError, ProviderErrorKind as Kind, Service};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{client, context, create_request, created, id, name, owner};

/// Answers a path with a body.
async fn show(server: &MockServer, at: &str, body: &Value) {
    let answer = ResponseTemplate::new(200).set_body_json(body);
    Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(server).await;
}

fn page(servers: &[Value]) -> Value {
    json!({"servers": servers, "meta": {"pagination": {"page": 1, "next_page": null}}})
}

/// The server of the usual order under another id, with a field that is not what it should be.
fn with(id: u64, field: &str, value: Value) -> Value {
    let mut server = created().get("server").and_then(Value::as_object).cloned().unwrap();
    server.insert("id".to_owned(), json!(id));
    server.insert(field.to_owned(), value);
    Value::Object(server)
}

fn assert_unreadable(error: &ProviderError) {
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "unreadable_server"));
    assert_eq!(error.service, Service::Answering);
}

#[tokio::test]
async fn one_server_that_cannot_be_read_hides_no_other_and_is_not_called_absent() {
    let server = MockServer::start().await;
    let client = client(&server.uri());
    let record = create_request().labels["vip-server"].parse().unwrap();
    let good = with(41, "status", json!("running"));
    for (field, value) in [("status", json!(null)), ("name", json!(1)), ("labels", json!([])), ("public_net", json!(1))]
    {
        server.reset().await;
        let odd = with(42, field, value);
        show(&server, "/servers", &page(&[odd.clone(), good.clone()])).await;
        show(&server, "/servers/42", &json!({"server": odd})).await;
        let listed = client.inventory(owner(), 1, &context()).await.unwrap();
        assert_eq!(listed.servers.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["41"], "{field}");
        assert_unreadable(&client.get(&id(), &context()).await.unwrap_err());
        assert_unreadable(&client.find(&name(), &context()).await.unwrap_err());
        assert_unreadable(&client.find_labelled(owner(), record, &context()).await.unwrap_err());
    }
    server.reset().await;
    show(&server, "/servers", &page(&[good, with(42, "id", json!("42"))])).await;
    assert_unreadable(&client.inventory(owner(), 1, &context()).await.unwrap_err());
}

#[tokio::test]
async fn what_fails_after_the_create_is_not_told_as_its_failure() {
    let server = MockServer::start().await;
    let client = client(&server.uri());
    let action = |id: u64, command: &str, status: &str| {
        let error = (status == "error").then(|| json!({"code": "action_failed", "message": "words"}));
        json!({"id": id, "command": command, "status": status, "progress": 100, "error": error})
    };
    let ids = ["1", "2"].map(|id| ProviderActionId::new(id).unwrap());
    let failed = ActionStatus::Failed { code: "action_failed".to_owned() };
    for (create, start, told) in [("success", "error", ActionStatus::Succeeded), ("error", "error", failed)] {
        server.reset().await;
        let actions = [action(1, "create_server", create), action(2, "start_server", start)];
        show(&server, "/actions", &json!({"actions": actions})).await;
        let views = client.actions(&ids, &context()).await.unwrap();
        let seen: Vec<_> = views.into_iter().map(|view| (view.id, view.status)).collect();
        assert_eq!(seen, [(ids[0].clone(), told)], "{create} {start}");
    }
}
