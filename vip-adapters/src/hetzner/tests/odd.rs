//! A server that cannot be read takes nothing from the others, and is never taken for one that is not there. Nor does an action, whose
//! server is looked at instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use vip_core::model::{OWNER_LABEL, ProviderActionId, ProviderServerId, SERVER_LABEL, Timing};
use vip_core::ports::{
    ActionStatus, ActionView, InventoryPage, ProviderClient, ProviderError, ProviderErrorKind as Kind, Service,
};
use vip_core::resilience::Batched;

use super::super::apart::Apart;
use super::super::lists::{APART_MOST, Inventory, inventory};
use super::super::wire;
use super::{Script, Step, action, context, name, ok, owner, page, server, server_id};

fn id(number: u64) -> ProviderServerId {
    ProviderServerId::new(number.to_string()).unwrap()
}

fn with(mut server: Value, pointer: &str, value: Value) -> Value {
    *server.pointer_mut(pointer).unwrap() = value;
    server
}

/// A server whose status cannot be read.
fn odd(id: u64) -> Value {
    with(server(id, "running"), "/status", json!(7))
}

fn labels(owner: &str, server: &str) -> Value {
    json!({OWNER_LABEL: owner, SERVER_LABEL: server})
}

/// A page as text: of bodies that no JSON value can hold.
fn text(servers: &str) -> Step {
    Step::Answer(200, format!(r#"{{"servers": [{servers}], "meta": {{"pagination": {{"next_page": null}}}}}}"#))
}

fn assert_unreadable(error: &ProviderError) {
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "unreadable_server"));
    assert_eq!(error.service, Service::Answering, "the API has answered");
}

/// Reads the first page of an inventory.
async fn listed(step: Step) -> Result<Vec<String>, ProviderError> {
    let (client, _) = Script::client([step]);
    let page = client.inventory(owner(), 1, &context()).await?;
    Ok(page.servers.iter().map(|view| view.id.to_string()).collect())
}

#[tokio::test]
async fn an_inventory_shows_the_others_beside_a_server_that_cannot_be_read() {
    for (pointer, value) in [
        ("/status", json!(null)),
        ("/name", json!(7)),
        ("/labels", json!(null)),
        ("/labels/env", json!(null)),
        ("/public_net", json!("192.0.2.1")),
        ("/server_type", json!("cpx22")),
    ] {
        let servers = [server(9, "off"), with(server(42, "running"), pointer, value), server(8, "off")];
        assert_eq!(listed(ok(&page("servers", &servers, None))).await.unwrap(), ["8", "9"], "{pointer}");
    }
    // What is not looked at may be what it wants.
    let strange = server(8, "off").to_string().replace("\"cores\":2.5", r#""cores":1e999,"word":"\ud800""#);
    assert!(strange.contains("1e999"));
    assert_eq!(listed(text(&strange)).await.unwrap(), ["8"]);
}

#[tokio::test]
async fn an_inventory_is_no_answer_if_a_server_on_it_may_be_anyones() {
    let good = server(8, "off");
    let twice = odd(42).to_string().replace("\"id\":42", "\"id\":42,\"id\":43");
    assert!(twice.contains("43"));
    let mut unknown = vec![twice, "null".to_owned(), "[]".to_owned(), "42".to_owned(), "{}".to_owned()];
    let nobody = with(odd(42), "/labels", json!(null));
    for id in [json!(null), json!(0), json!(-1), json!("42"), json!(1.5), json!([42])] {
        unknown.push(with(odd(42), "/id", id.clone()).to_string());
        unknown.push(with(nobody.clone(), "/id", id).to_string());
    }
    for one in unknown {
        let error = listed(text(&format!("{good}, {one}"))).await.unwrap_err();
        assert_unreadable(&error);
    }
    // That it is another's is said by its labels, whatever its id is.
    let others = with(with(odd(42), "/id", json!(null)), "/labels", labels("somebody", "1"));
    assert_eq!(listed(ok(&page("servers", &[good.clone(), others], None))).await.unwrap(), ["8"]);
    let bare = with(with(odd(42), "/id", json!(null)), "/labels", json!({}));
    assert_eq!(listed(ok(&page("servers", &[good, bare], None))).await.unwrap(), ["8"]);
}

#[tokio::test]
async fn an_inventory_of_which_much_cannot_be_read_is_no_answer() {
    let most = u64::try_from(APART_MOST).unwrap();
    let list = |odds: u64, good: &[u64], next: Option<u32>| {
        let odds = (100..100 + odds).map(odd);
        page("servers", &good.iter().map(|id| server(*id, "off")).chain(odds).collect::<Vec<_>>(), next)
    };
    assert_eq!(listed(ok(&list(most, &[8], None))).await.unwrap(), ["8"]);
    assert_unreadable(&listed(ok(&list(most + 1, &[8], None))).await.unwrap_err());
    // Taken for what the account holds, a first page without a server would say that it is empty.
    assert_unreadable(&listed(ok(&list(1, &[], None))).await.unwrap_err());
    let others = with(odd(42), "/labels", labels("somebody", "1"));
    assert_eq!(listed(ok(&page("servers", &[others], None))).await.unwrap(), Vec::<String>::new());
    // On a later one the newest server may stand alone.
    let (client, _) = Script::client([ok(&list(1, &[], None)), ok(&list(1, &[], Some(3)))]);
    for next in [None, Some(3)] {
        let second = client.inventory(owner(), 2, &context()).await.unwrap();
        assert_eq!(second, InventoryPage { servers: Vec::new(), next });
    }
}

#[tokio::test]
async fn a_look_never_says_that_there_is_none_if_it_may_be_the_one_that_cannot_be_read() {
    let by_name = async |servers: &[Value]| {
        let (client, _) = Script::client([ok(&page("servers", servers, None))]);
        client.find(&name(), &context()).await.unwrap_err()
    };
    assert_unreadable(&by_name(&[odd(42)]).await);
    assert_unreadable(&by_name(&[server(41, "off"), odd(42)]).await);
    assert_unreadable(&by_name(&[with(odd(42), "/name", json!(null))]).await);
    // A list that was asked for one name and shows another was not filtered.
    assert_unreadable(&by_name(&[with(odd(42), "/name", json!("other"))]).await);

    let by_labels = async |servers: &[Value]| {
        let (client, _) = Script::client([ok(&page("servers", servers, None))]);
        let found = client.find_labelled(owner(), server_id(), &context()).await;
        found.map(|views| views.into_iter().map(|view| view.id).collect::<Vec<_>>())
    };
    let (ours, it) = (owner().to_string(), server_id().to_string());
    for labels in [json!(null), json!({"env": 1}), labels(&ours, &it), json!([])] {
        let one = with(odd(42), "/labels", labels);
        assert_unreadable(&by_labels(&[server(41, "off"), one.clone()]).await.unwrap_err());
        assert_unreadable(&by_labels(&[one]).await.unwrap_err());
    }
    for labels in [labels("somebody", &it), labels(&ours, "1"), json!({}), json!({OWNER_LABEL: ours})] {
        let one = with(odd(42), "/labels", labels);
        assert_eq!(by_labels(&[server(41, "off"), one.clone()]).await.unwrap(), [id(41)]);
        assert_eq!(by_labels(&[one]).await.unwrap(), Vec::<ProviderServerId>::new());
    }

    let (client, _) = Script::client([ok(&json!({"server": odd(42)})), ok(&json!({"server": [42]}))]);
    for _ in 0..2 {
        assert_unreadable(&client.get(&id(42), &context()).await.unwrap_err());
    }
}

#[tokio::test]
async fn what_is_around_a_server_has_to_be_right_all_the_same() {
    for body in ["null", "{}", r#"{"server": }"#, r#"{"servers": {}, "meta": {"pagination": {"next_page": null}}}"#] {
        let steps = || Step::Answer(200, body.to_owned());
        let (client, _) = Script::client([steps(), steps()]);
        let errors = [
            client.get(&id(42), &context()).await.unwrap_err(),
            client.inventory(owner(), 1, &context()).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.code.as_str(), error.service), ("unreadable", Service::Failing), "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_looks_that_share_a_list_only_that_at_the_odd_server_fails() {
    let list = || ok(&page("servers", &[odd(7), server(42, "running"), server(43, "off")], None));
    let (client, script) = Script::client([list(), list(), ok(&json!({"server": odd(7)}))]);
    let shared = Batched::new(Arc::new(client), owner(), &Timing::default());
    let (context, ids) = (context(), [id(42), id(43), id(7)]);
    let (one, other) = tokio::join!(shared.get(&ids[0], &context), shared.get(&ids[1], &context));
    assert_eq!((one.unwrap().unwrap().id, other.unwrap().unwrap().id), (id(42), id(43)));
    assert_eq!(script.paths().len(), 1);
    let (one, odd) = tokio::join!(shared.get(&ids[0], &context), shared.get(&ids[2], &context));
    assert_eq!(one.unwrap().unwrap().id, id(42));
    let error = odd.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "unreadable_server"));
    assert_eq!(script.paths().last().unwrap(), "GET /v1/servers/7");
}

fn action_id(number: u64) -> ProviderActionId {
    ProviderActionId::new(number.to_string()).unwrap()
}

fn succeeded(number: u64) -> ActionView {
    ActionView { id: action_id(number), status: ActionStatus::Succeeded }
}

#[tokio::test]
async fn an_action_that_cannot_be_read_is_left_out_and_takes_nothing_from_the_others() {
    let seen = async |actions: String| {
        let (client, _) = Script::client([Step::Answer(200, format!(r#"{{"actions": {actions}}}"#))]);
        client.actions(&[action_id(1), action_id(2)], &context()).await
    };
    let mut odds: Vec<String> = ["null", "{}", "2", r#"[2, null, "running"]"#].map(str::to_owned).to_vec();
    for (pointer, value) in [
        ("/status", json!(null)),
        ("/status", json!(7)),
        ("/error", json!("text")),
        ("/command", json!(7)),
        ("/id", json!(null)),
        ("/id", json!("2")),
        ("/id", json!(0)),
    ] {
        odds.push(with(action(2, "running"), pointer, value).to_string());
    }
    for odd in odds {
        let views = seen(format!("[{odd}, {}]", action(1, "success"))).await;
        assert_eq!(views.unwrap(), [succeeded(1)], "{odd}");
        assert_eq!(seen(format!("[{odd}]")).await.unwrap(), [], "{odd}");
    }
    for list in ["null", "{}", "7", r#"[{"id": 1,]"#] {
        let error = seen(list.to_owned()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.service), ("unreadable", Service::Failing), "{list}");
    }
}

#[tokio::test]
async fn an_action_that_cannot_be_read_is_told_once_also_if_its_id_cannot_be_read_either() {
    let actions = |odd: Value| ok(&json!({"actions": [odd, action(1, "success")]}));
    let odds = [with(action(2, "running"), "/status", json!(null)), json!({})];
    let (client, _) = Script::client(odds.map(actions));
    let id = |number: u64| wire::Id::try_from(number).unwrap();
    for (asked, told) in [(2, id(2)), (3, id(3))] {
        client.actions(&[action_id(1), action_id(asked)], &context()).await.unwrap();
        // It is known by now; the one that can be read is not.
        assert_eq!(client.apart_actions.saw([], [told]), []);
    }
    assert_eq!(client.apart_actions.saw([], [id(1)]), [id(1)]);
}

#[tokio::test(start_paused = true)]
async fn of_looks_that_share_a_request_for_actions_none_fails_for_an_odd_one() {
    let odd = with(action(2, "running"), "/status", json!(null));
    let (client, script) = Script::client([ok(&json!({"actions": [odd, action(1, "success")]}))]);
    let shared = Batched::new(Arc::new(client), owner(), &Timing::default());
    let (context, one, two) = (context(), [action_id(1)], [action_id(2)]);
    let (first, second) = tokio::join!(shared.actions(&one, &context), shared.actions(&two, &context));
    assert_eq!(first.unwrap(), [succeeded(1)]);
    assert_eq!(second.unwrap(), [], "nothing is known of it, so that its server is looked at");
    assert_eq!(script.paths(), ["GET /v1/actions?id=1&id=2"]);
}

/// Reads a page of an inventory with the odd servers of these numbers, and a good one.
fn read(odds: &[u64], good: u64) -> Inventory {
    let servers: Vec<Value> = odds.iter().copied().map(odd).chain([server(good, "off")]).collect();
    inventory(serde_json::from_value(page("servers", &servers, None)).unwrap(), 1, owner()).unwrap()
}

#[test]
fn a_server_is_reported_when_it_is_set_apart_and_not_with_every_look() {
    let apart = Apart::default();
    let news = |odds: &[u64], good: u64| -> BTreeSet<String> {
        let Inventory { page, apart: odd } = read(odds, good);
        let whole = page.servers.iter().filter_map(|view| wire::Id::parse(view.id.as_str()));
        apart.saw(whole, odd).iter().map(wire::Id::to_string).collect()
    };
    let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(news(&[], 1), set(&[]));
    assert_eq!(news(&[7, 8], 1), set(&["7", "8"]));
    assert_eq!(news(&[7, 8], 1), set(&[]));
    assert_eq!(news(&[7, 9], 1), set(&["9"]));
    // It can be read again, and then it cannot.
    assert_eq!(news(&[], 7), set(&[]));
    assert_eq!(news(&[7, 8, 9], 1), set(&["7"]));
}
