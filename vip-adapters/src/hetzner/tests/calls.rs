//! Whole calls: deadlines, lost answers, answers about something else, lists without an end.

use std::time::Duration;

use serde_json::json;
use vip_core::model::ProviderServerId;
use vip_core::ports::{
    ActionStatus, Deletion, ProviderClient, ProviderError, ProviderErrorKind as Kind, RequestContext, Retryability,
};

use super::super::HetznerClient;
use super::super::provider_client::PAGES;
use super::{Script, Step, action, context, create_request, created, name, ok, owner, page, server, server_id};

fn id() -> ProviderServerId {
    ProviderServerId::new("42").unwrap()
}

/// Makes every call once and returns the errors.
async fn every_error(client: &HetznerClient, context: &RequestContext) -> Vec<ProviderError> {
    let action = vip_core::model::ProviderActionId::new("1").unwrap();
    vec![
        client.create(&create_request(), context).await.unwrap_err(),
        client.find(&name(), context).await.unwrap_err(),
        client.find_labelled(owner(), server_id(), context).await.unwrap_err(),
        client.get(&id(), context).await.unwrap_err(),
        client.delete(&id(), context).await.unwrap_err(),
        client.actions(&[action], context).await.unwrap_err(),
        client.inventory(owner(), 1, context).await.unwrap_err(),
        client.catalog(context).await.unwrap_err(),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_and_leaves_its_outcome_unknown() {
    let (client, script) = Script::client((0..8).map(|_| Step::Never));
    let started = tokio::time::Instant::now();
    for error in every_error(&client, &RequestContext::new(Duration::from_secs(3))).await {
        assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "deadline"));
    }
    assert_eq!((started.elapsed().as_secs(), script.paths().len()), (24, 8));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_for_all_requests_of_a_call() {
    let (client, script) = Script::client([ok(&page("server_types", &[], Some(2))), Step::Never]);
    let started = tokio::time::Instant::now();
    let error = client.catalog(&RequestContext::new(Duration::from_secs(3))).await.unwrap_err();
    assert_eq!((error.kind, started.elapsed().as_secs(), script.paths().len()), (Kind::Unknown, 3, 2));
}

#[tokio::test]
async fn a_call_without_time_is_not_sent() {
    let (client, script) = Script::client([]);
    for error in every_error(&client, &RequestContext::new(Duration::ZERO)).await {
        assert_eq!((error.kind, error.code.as_str()), (Kind::NotSent, "deadline"));
    }
    assert_eq!(script.paths().len(), 0);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_nothing_is_sent_again() {
    let (client, script) = Script::client((0..8).map(|_| Step::Lost));
    for error in every_error(&client, &context()).await {
        assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "lost"));
        assert_eq!(error.retryability(), Retryability::OutcomeUnknown);
    }
    assert_eq!(script.paths().len(), 8);
}

#[tokio::test]
async fn what_was_not_sent_is_told_apart() {
    let (client, script) = Script::client((0..8).map(|_| Step::NotSent));
    for error in every_error(&client, &context()).await {
        assert_eq!((error.kind, error.code.as_str()), (Kind::NotSent, "not_sent"));
    }
    assert_eq!(script.paths().len(), 8);
}

#[tokio::test]
async fn a_create_answers_with_the_server_and_all_of_its_actions() {
    let (client, _) = Script::client([Step::Answer(201, created().to_string())]);
    let created = client.create(&create_request(), &context()).await.unwrap();
    assert_eq!(created.server.id, id());
    assert_eq!(created.actions.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(created.server.is_ours(owner(), server_id()));
}

#[tokio::test]
async fn a_create_that_is_answered_with_anything_else_is_unknown() {
    let mut other = created();
    *other.pointer_mut("/server/name").unwrap() = json!("web-2-0123456789ab");
    let mut halves = created();
    halves.as_object_mut().unwrap().remove("action");
    for body in [other.to_string(), halves.to_string(), String::new(), "null".to_owned(), "<html>".to_owned()] {
        for status in [200, 201, 202, 204] {
            let (client, script) = Script::client([Step::Answer(status, body.clone())]);
            let error = client.create(&create_request(), &context()).await.unwrap_err();
            assert_eq!((error.kind, script.paths().len()), (Kind::Unknown, 1), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn a_look_by_name_believes_only_an_answer_about_this_name() {
    let look = async |servers: &[serde_json::Value]| {
        let (client, _) = Script::client([ok(&page("servers", servers, None))]);
        client.find(&name(), &context()).await.map(|found| found.map(|view| view.id))
    };
    assert_eq!(look(&[]).await.unwrap(), None);
    assert_eq!(look(&[server(42, "running")]).await.unwrap(), Some(id()));
    let mut other = server(7, "running");
    *other.pointer_mut("/name").unwrap() = json!("other");
    // A list that was not filtered says nothing about the name.
    assert_eq!(look(&[other.clone()]).await.unwrap_err().kind, Kind::Unknown);
    assert_eq!(look(&[server(42, "running"), other]).await.unwrap_err().kind, Kind::Unknown);
    // Two of one name are told one after the other: whoever adopts or removes the first finds the second.
    assert_eq!(look(&[server(42, "running"), server(43, "off")]).await.unwrap(), Some(id()));
}

#[tokio::test]
async fn an_empty_page_with_more_behind_it_proves_no_absence_and_is_not_followed() {
    let (client, script) = Script::client((0..3).map(|_| ok(&page("servers", &[], Some(2)))));
    let errors = [
        client.find(&name(), &context()).await.unwrap_err(),
        client.find_labelled(owner(), server_id(), &context()).await.unwrap_err(),
        client.inventory(owner(), 1, &context()).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind == Kind::Unknown), "{errors:?}");
    assert_eq!(script.paths().len(), 3);
}

#[tokio::test]
async fn a_look_by_id_believes_only_an_answer_about_this_id() {
    let (client, _) = Script::client([ok(&json!({"server": server(43, "running")}))]);
    assert_eq!(client.get(&id(), &context()).await.unwrap_err().kind, Kind::Unknown);
}

#[tokio::test]
async fn an_id_of_another_provider_is_refused_and_not_sent() {
    let (client, script) = Script::client([]);
    for odd in ["i-0abc", "../42", "42/actions/poweroff", "0", "042"] {
        let odd = ProviderServerId::new(odd).unwrap();
        assert_eq!(client.get(&odd, &context()).await.unwrap_err().kind, Kind::InvalidInput);
        assert_eq!(client.delete(&odd, &context()).await.unwrap_err().kind, Kind::InvalidInput);
    }
    assert_eq!(script.paths().len(), 0);
}

#[tokio::test]
async fn only_the_api_itself_can_say_that_a_server_is_gone() {
    let gone = r#"{"error":{"code":"not_found","message":"server not found"}}"#;
    let (client, _) = Script::client([Step::Answer(404, gone.to_owned()), Step::Answer(404, gone.to_owned())]);
    assert_eq!(client.get(&id(), &context()).await.unwrap(), None);
    assert_eq!(client.delete(&id(), &context()).await.unwrap(), Deletion::AlreadyGone);
    for body in ["<html>404 page not found</html>", "", "{}"] {
        let (client, _) = Script::client([Step::Answer(404, body.to_owned()), Step::Answer(404, body.to_owned())]);
        assert_eq!(client.get(&id(), &context()).await.unwrap_err().kind, Kind::Unknown, "{body}");
        assert_eq!(client.delete(&id(), &context()).await.unwrap_err().kind, Kind::Unknown, "{body}");
    }
}

#[tokio::test]
async fn a_delete_is_accepted_only_with_an_action() {
    let (client, _) = Script::client([ok(&json!({"action": action(9, "running")})), Step::Answer(204, String::new())]);
    assert_eq!(client.delete(&id(), &context()).await.unwrap(), Deletion::Accepted);
    assert_eq!(client.delete(&id(), &context()).await.unwrap_err().kind, Kind::Unknown);
}

#[tokio::test]
async fn actions_that_the_api_has_forgotten_are_left_out() {
    let gone = r#"{"error":{"code":"not_found","message":"action not found"}}"#;
    let (client, _) = Script::client([ok(&json!({"actions": []})), Step::Answer(404, gone.to_owned())]);
    let ids = [vip_core::model::ProviderActionId::new("7").unwrap()];
    assert_eq!(client.actions(&ids, &context()).await.unwrap(), []);
    assert_eq!(client.actions(&ids, &context()).await.unwrap(), []);
}

/// An action of a create that is not the create itself.
fn follow_up(id: u64, status: &str, command: &serde_json::Value) -> serde_json::Value {
    let mut action = action(id, status);
    *action.pointer_mut("/command").unwrap() = command.clone();
    *action.pointer_mut("/error").unwrap() = json!({"code": "action_failed", "message": "no host"});
    action
}

#[tokio::test]
async fn a_follow_up_that_fails_is_not_told_as_a_create_that_failed() {
    let ids = ["1", "2"].map(|id| vip_core::model::ProviderActionId::new(id).unwrap());
    let seen = async |actions: [serde_json::Value; 2]| {
        let (client, _) = Script::client([ok(&json!({"actions": actions}))]);
        let views = client.actions(&ids, &context()).await.unwrap();
        views.into_iter().map(|view| (view.id.to_string(), view.status)).collect::<Vec<_>>()
    };
    let status = |id: &str, status: ActionStatus| vec![(id.to_owned(), status)];
    for command in [json!("start_server"), json!("attach_to_network"), json!("Words with a token"), json!(null)] {
        // It has ended, and whether there is a server is told by the server.
        let done = seen([action(1, "success"), follow_up(2, "error", &command)]).await;
        assert_eq!(done, status("1", ActionStatus::Succeeded), "{command}");
        let works = seen([action(1, "running"), follow_up(2, "error", &command)]).await;
        assert_eq!(works, status("1", ActionStatus::Running), "{command}");
        let both = seen([action(1, "success"), follow_up(2, "running", &command)]).await;
        assert_eq!(both.len(), 2, "what runs is waited for: {command}");
    }
    let failed = ActionStatus::Failed { code: "action_failed".to_owned() };
    let create = json!("create_server");
    let start = json!("start_server");
    let none = seen([follow_up(1, "error", &create), follow_up(2, "error", &start)]).await;
    assert_eq!(none, status("1", failed), "without the create there is no server");
}

#[tokio::test]
async fn a_server_that_somebody_took_the_labels_from_is_still_shown_and_deleted_by_its_id() {
    let mut bare = server(42, "running");
    *bare.pointer_mut("/labels").unwrap() = json!({});
    let gone = r#"{"error":{"code":"not_found","message":"server not found"}}"#;
    let (client, script) = Script::client([
        ok(&page("servers", &[bare.clone()], None)),
        ok(&json!({"server": bare})),
        ok(&json!({"action": action(9, "running")})),
        ok(&json!({"server": bare})),
        Step::Answer(404, gone.to_owned()),
    ]);
    let named = client.find(&name(), &context()).await.unwrap().unwrap();
    assert_eq!((named.id.clone(), named.is_ours(owner(), server_id())), (id(), false));
    assert!(client.get(&id(), &context()).await.unwrap().is_some());
    // Nothing is looked at before the delete, so that nothing but the API itself can say that the server is gone.
    assert_eq!(client.delete(&id(), &context()).await.unwrap(), Deletion::Accepted);
    assert!(client.get(&id(), &context()).await.unwrap().is_some(), "accepted is not gone");
    assert_eq!(client.get(&id(), &context()).await.unwrap(), None);
    let by_id = "/v1/servers/42";
    let (get, delete) = (format!("GET {by_id}"), format!("DELETE {by_id}"));
    assert_eq!(script.paths()[1..], [get.clone(), delete, get.clone(), get]);
}

#[tokio::test]
async fn an_inventory_holds_the_owners_servers_in_order_and_says_where_it_goes_on() {
    let mut foreign = server(8, "running");
    *foreign.pointer_mut("/labels/vip-owner").unwrap() = json!("somebody");
    let servers = [server(100, "off"), foreign, server(9, "running")];
    let (client, _) = Script::client([ok(&page("servers", &servers, Some(2)))]);
    let inventory = client.inventory(owner(), 1, &context()).await.unwrap();
    assert_eq!(inventory.servers.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["9", "100"]);
    assert_eq!(inventory.next, Some(2));
    let (client, _) = Script::client([ok(&page("servers", &servers, Some(2)))]);
    assert_eq!(client.inventory(owner(), 2, &context()).await.unwrap_err().kind, Kind::Unknown, "a page without end");
}

#[tokio::test]
async fn a_list_ends_or_is_thrown_away() {
    let pages = |count: u32| {
        let next = move |at: u32| (at < count).then_some(at + 1);
        (1..=count).map(move |at| ok(&page("servers", &[server(u64::from(at), "off")], next(at))))
    };
    let (client, script) = Script::client(pages(PAGES));
    let views = client.find_labelled(owner(), server_id(), &context()).await.unwrap();
    assert_eq!((views.len(), script.paths().len()), (20, 20));
    let (client, script) = Script::client(pages(PAGES + 1));
    let error = client.find_labelled(owner(), server_id(), &context()).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "too_many_pages"));
    assert_eq!(script.paths().len(), 20);
    let (client, _) = Script::client(pages(3).take(2).chain([Step::Answer(503, String::new())]));
    assert_eq!(client.find_labelled(owner(), server_id(), &context()).await.unwrap_err().kind, Kind::Unknown);
}
