//! What is read out of bodies: all of it, or nothing at all.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use vip_core::model::ProviderActionId;
use vip_core::ports::{ActionStatus, ProviderErrorKind as Kind, ServerStatus, ServerView};

use super::super::call::Call;
use super::super::error::CallError;
use super::super::{answer, lists, mapping, wire};
use super::{action, created, name, owner, page, response, server, server_id};

/// Reads an answer to any call and says whether there was one.
fn read(call: Call, response: &Response<Bytes>) -> Result<(), CallError> {
    match call {
        Call::Create => answer::read(call, response, mapping::created).map(drop),
        Call::Get => answer::read_if_there(call, response, mapping::only_server).map(drop),
        Call::Delete => answer::read_if_there(call, response, |_: wire::Deleted| Ok(())).map(drop),
        Call::Actions => answer::read_if_there(call, response, mapping::actions).map(drop),
        Call::Find => answer::read(call, response, |body| lists::named(body, &name())).map(drop),
        Call::FindLabelled => {
            answer::read(call, response, |body| lists::labelled(body, 1, owner(), server_id())).map(drop)
        }
        Call::Inventory => answer::read(call, response, |body| lists::inventory(body, 1, owner())).map(drop),
        Call::ServerTypes => answer::read(call, response, |body| mapping::server_types(body, 1)).map(drop),
        Call::Locations => answer::read(call, response, |body| mapping::locations(body, 1)).map(drop),
        Call::Images => answer::read(call, response, |body| mapping::images(body, 1)).map(drop),
        Call::Pricing => answer::read(call, response, mapping::pricing).map(drop),
    }
}

fn good_body(call: Call) -> Value {
    match call {
        Call::Create => created(),
        Call::Get => json!({"server": server(42, "running")}),
        Call::Delete => json!({"action": action(9, "running")}),
        Call::Actions => json!({"actions": [action(1, "success")]}),
        Call::Find | Call::FindLabelled | Call::Inventory => page("servers", &[server(42, "running")], None),
        Call::ServerTypes => page("server_types", &[json!({"name": "cpx22"})], None),
        Call::Locations => page("locations", &[json!({"name": "fsn1"})], None),
        Call::Images => page("images", &[json!({"name": null})], None),
        Call::Pricing => json!({"pricing": {"currency": "EUR", "server_types": []}}),
    }
}

fn view(server: Value) -> ServerView {
    mapping::server_view(serde_json::from_value(server).unwrap()).unwrap()
}

fn with(mut server: Value, pointer: &str, value: Value) -> Value {
    *server.pointer_mut(pointer).unwrap() = value;
    server
}

#[test]
fn a_body_that_is_cut_anywhere_is_unknown_and_never_an_empty_answer() {
    for call in Call::ALL {
        let body = good_body(call).to_string();
        assert!(read(call, &response(200, &body)).is_ok(), "{}", call.as_str());
        for length in 0..body.len() {
            let cut = response(200, body.get(..length).unwrap());
            let error = vip_core::ports::ProviderError::from(read(call, &cut).unwrap_err());
            assert_eq!((error.kind, error.code.as_str()), (Kind::Unknown, "unreadable"), "{} {length}", call.as_str());
        }
    }
}

#[test]
fn a_refusal_that_is_cut_anywhere_is_unknown_and_never_a_proof_of_absence() {
    let body = r#"{"error":{"code":"not_found","message":"server not found","details":null}}"#;
    for call in Call::ALL {
        for length in 0..body.len() {
            let error = read(call, &response(404, body.get(..length).unwrap())).unwrap_err();
            assert_eq!(vip_core::ports::ProviderError::from(error).kind, Kind::Unknown, "{} {length}", call.as_str());
        }
    }
    assert!(read(Call::Get, &response(404, body)).is_ok() && read(Call::Delete, &response(404, body)).is_ok());
    assert!(read(Call::Find, &response(404, body)).is_err() && read(Call::Inventory, &response(404, body)).is_err());
}

#[test]
fn the_body_of_another_call_is_no_answer() {
    let is_alike = |one: Call, other: Call| good_body(one) == good_body(other);
    for call in Call::ALL {
        for other in Call::ALL.into_iter().filter(|other| !is_alike(call, *other)) {
            // The answer to a create has a server and an action, and so is one to a look and to a delete as well.
            let contains = other == Call::Create && matches!(call, Call::Get | Call::Delete);
            let result = read(call, &response(200, &good_body(other).to_string()));
            assert_eq!(result.is_ok(), contains, "{} reads {}", call.as_str(), other.as_str());
        }
    }
}

#[test]
fn what_a_decision_rests_on_must_be_there() {
    let server = || json!({"server": server(42, "running")});
    for field in ["/server/id", "/server/name", "/server/status", "/server/labels"] {
        let body = with(server(), field, Value::Null).to_string();
        assert!(read(Call::Get, &response(200, &body)).is_err(), "{field}");
    }
    for id in [json!(0), json!(-1), json!(1.5), json!("42"), json!(9_007_199_254_740_992_u64)] {
        assert!(read(Call::Get, &response(200, &with(server(), "/server/id", id).to_string())).is_err());
    }
    for end in [
        json!({}),
        json!({"pagination": {}}),
        json!({"pagination": {"next_page": 1}}),
        json!([[null]]),
        json!({"pagination": [null]}),
        Value::Null,
    ] {
        let body = with(good_body(Call::Inventory), "/meta", end).to_string();
        assert!(read(Call::Inventory, &response(200, &body)).is_err(), "{body}");
    }
}

#[test]
fn a_body_that_is_no_text_is_no_answer() {
    let body = r#"{"error":{"code":"not_found","message":"X"}}"#.to_owned().into_bytes();
    let broken = body.iter().map(|byte| if *byte == b'X' { 0xff } else { *byte }).collect::<Vec<u8>>();
    let mut answer = response(404, "");
    *answer.body_mut() = body.into();
    assert!(read(Call::Get, &answer).is_ok());
    *answer.body_mut() = broken.into();
    assert!(read(Call::Get, &answer).is_err());
}

#[test]
fn what_is_only_shown_may_be_missing() {
    let mut bare = server(42, "running");
    for field in ["public_net", "server_type", "location"] {
        bare.as_object_mut().unwrap().remove(field);
    }
    let view = view(bare);
    assert_eq!((view.addresses, view.server_type.as_str(), view.location.as_str()), (Default::default(), "", ""));
}

#[test]
fn a_server_is_shown_in_our_terms() {
    let shown = view(server(42, "running"));
    assert_eq!((shown.id.as_str(), shown.name.as_str()), ("42", name().as_str()));
    assert_eq!((shown.server_type.as_str(), shown.location.as_str()), ("cpx22", "fsn1"));
    assert!(shown.is_ours(owner(), server_id()));
    assert_eq!(shown.addresses.ipv4, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(shown.addresses.ipv6, Some("2001:db8:1:2::1".parse().unwrap()));
}

#[test]
fn each_status_has_its_word() {
    for (word, status) in [
        ("initializing", ServerStatus::Starting),
        ("starting", ServerStatus::Starting),
        ("running", ServerStatus::Running),
        ("off", ServerStatus::Off),
        ("deleting", ServerStatus::Deleting),
        ("stopping", ServerStatus::Other),
        ("rebuilding", ServerStatus::Other),
        ("migrating", ServerStatus::Other),
        ("unknown", ServerStatus::Other),
        ("invented_later", ServerStatus::Other),
    ] {
        assert_eq!(view(server(1, word)).status, status, "{word}");
    }
}

#[test]
fn an_address_is_the_first_of_its_network_or_none() {
    for (text, address) in [
        ("2001:db8::/64", Some("2001:db8::1")),
        ("2001:db8::7", Some("2001:db8::7")),
        ("2001:db8::8/128", Some("2001:db8::8")),
        ("2001:db8::/129", None),
        ("2001:db8::/x", None),
        ("nothing", None),
        ("", None),
    ] {
        let shown = view(with(server(1, "off"), "/public_net/ipv6/ip", json!(text)));
        assert_eq!(shown.addresses.ipv6, address.map(|it| it.parse().unwrap()), "{text}");
    }
    for none in [json!(null), json!({}), json!({"ip": null})] {
        assert_eq!(view(with(server(1, "off"), "/public_net/ipv4", none)).addresses.ipv4, None);
    }
}

#[test]
fn an_action_is_final_in_two_words_only() {
    let error = json!({"code": "action_failed", "message": "words"});
    let body = json!({"actions": [
        action(1, "running"), action(2, "success"), action(3, "invented_later"), action(4, "error"),
        with(action(5, "error"), "/error", error),
        with(action(6, "error"), "/error", json!({"code": "Words with the token"})),
    ]});
    let views = mapping::actions(serde_json::from_value(body).unwrap()).unwrap().views;
    let failed = |code: &str| ActionStatus::Failed { code: code.to_owned() };
    let statuses: Vec<ActionStatus> = views.iter().map(|it| it.status.clone()).collect();
    let running = ActionStatus::Running;
    let wanted =
        [running.clone(), ActionStatus::Succeeded, running, failed("other"), failed("action_failed"), failed("other")];
    assert_eq!(statuses, wanted);
    assert_eq!(views.first().unwrap().id, ProviderActionId::new("1").unwrap());
}
