//! The life of an order over HTTP: accepted, repeated, followed, cancelled, deleted.

use std::time::Duration;

use serde_json::json;
use vip_http::axum::body::Body;
use vip_http::axum::http::StatusCode;
use vip_http::limits;

use crate::app::{App, json_request, order, request};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_accepted_followed_shown_and_deleted() {
    let app = App::working().await;
    let accepted = app.order(&app.acme, "order-1", &order("web-1")).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let location = accepted.header("location").to_owned();
    assert_eq!(location, format!("/v1/operations/{}", accepted.text("/id")));

    let done = app.get(&app.acme, &format!("{location}?wait=20")).await;
    assert_eq!((done.status, done.text("/status")), (StatusCode::OK, "succeeded"), "{done:?}");
    let server_path = format!("/v1/servers/{}", done.text("/server_id"));
    let server = app.get(&app.acme, &server_path).await;
    assert_eq!((server.text("/state"), server.text("/name")), ("running", "web-1"));
    assert!(server.body["ipv4"].is_string() && server.body.get("user_data").is_none(), "{server:?}");
    assert_eq!(app.get(&app.acme, &format!("{location}/why")).await.text("/why"), "Done: the server has run.");

    let deletion = app.delete(&app.acme, &server_path).await;
    assert_eq!(deletion.status, StatusCode::ACCEPTED);
    let gone = app.get(&app.acme, &format!("{}?wait=20", deletion.header("location"))).await;
    assert_eq!((gone.text("/verb"), gone.text("/status")), ("delete", "succeeded"));
    let again = app.delete(&app.acme, &server_path).await;
    assert_eq!((again.status, again.text("/id")), (StatusCode::OK, gone.text("/id")));
    assert_eq!(again.header("idempotency-replayed"), "true");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_which_of_the_ordered_types_and_locations_it_has() {
    let app = App::working().await;
    let mut either = order("web-1");
    // In the first location there is no server of the first type.
    either["server_types"] = json!(["cx23", "cpx22"]);
    either["locations"] = json!(["ash", "fsn1"]);
    let accepted = app.order(&app.acme, "order-1", &either).await;
    let server_path = format!("/v1/servers/{}", accepted.text("/server_id"));
    let done = app.get(&app.acme, &format!("{}?wait=20", accepted.header("location"))).await;
    assert_eq!(done.text("/status"), "succeeded", "{done:?}");
    let server = app.get(&app.acme, &server_path).await;
    assert_eq!((server.text("/server_type"), server.text("/location")), ("cpx22", "ash"));
    assert_eq!(server.body["server_types"], either["server_types"], "beside what was ordered");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_the_same_key_is_the_same_order_even_after_its_server_is_gone() {
    let app = App::working().await;
    let first = app.order(&app.acme, "order-1", &order("web-1")).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let repeat = app.order(&app.acme, "\"order-1\"", &order("web-1")).await;
    assert_eq!((repeat.text("/id"), repeat.header("idempotency-replayed")), (first.text("/id"), "true"));
    let location = first.header("location").to_owned();
    assert_eq!(app.get(&app.acme, &format!("{location}?wait=20")).await.text("/status"), "succeeded");

    let other_command = app.order(&app.acme, "order-1", &order("web-2")).await;
    assert_eq!((other_command.status.as_u16(), other_command.code()), (422, "idempotency_conflict"));
    let other_tenant = app.order(&app.other, "order-1", &order("web-1")).await;
    assert!(other_tenant.status == StatusCode::ACCEPTED && other_tenant.text("/id") != first.text("/id"));

    let deletion = app.delete(&app.acme, &format!("/v1/servers/{}", first.text("/server_id"))).await;
    app.get(&app.acme, &format!("{}?wait=20", deletion.header("location"))).await;
    let late = app.order(&app.acme, "order-1", &order("web-1")).await;
    assert_eq!((late.status, late.text("/id")), (StatusCode::OK, first.text("/id")), "it buys nothing");
    assert_eq!(app.get(&app.acme, "/v1/servers").await.body["items"].as_array().unwrap().len(), 1);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_key_or_with_a_wrong_one_is_refused() {
    let app = App::accepting().await;
    let missing = app.post(&app.acme, "/v1/servers", &order("web-1")).await;
    assert_eq!((missing.status.as_u16(), missing.code()), (400, "idempotency_key_missing"));
    for wrong in ["", "two words", &"k".repeat(256)] {
        let answer = app.order(&app.acme, wrong, &order("web-1")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "idempotency_key_invalid"), "{wrong}");
    }
    let mut twice = json_request("POST", "/v1/servers", Some(&app.acme), &order("web-1"));
    twice.headers_mut().append("idempotency-key", "a".parse().unwrap());
    twice.headers_mut().append("idempotency-key", "a".parse().unwrap());
    assert_eq!(app.send(twice).await.code(), "idempotency_key_invalid");
    assert_eq!(app.get(&app.acme, "/v1/servers").await.body["items"], json!([]));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_has_not_run_is_cancelled_once_and_one_that_has_is_not() {
    let app = App::accepting().await;
    let first = app.order(&app.acme, "order-1", &order("web-1")).await;
    let location = first.header("location").to_owned();
    let waiting = app.get(&app.acme, &format!("{location}/why")).await;
    assert!(waiting.text("/why").starts_with("Not done yet, because no worker has taken it up yet;"), "{waiting:?}");

    let cancel = format!("{location}/cancel");
    let cancelled = app.post(&app.acme, &cancel, &json!({})).await;
    assert_eq!((cancelled.status, cancelled.text("/verb")), (StatusCode::ACCEPTED, "delete"));
    let again = app.post(&app.acme, &cancel, &json!({})).await;
    assert_eq!((again.text("/id"), again.header("idempotency-replayed")), (cancelled.text("/id"), "true"));
    assert_eq!(app.get(&app.acme, &location).await.text("/status"), "superseded");
    let of_deletion = app.post(&app.acme, &format!("{}/cancel", cancelled.header("location")), &json!({})).await;
    assert_eq!((of_deletion.status.as_u16(), of_deletion.code()), (409, "not_cancellable"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_wrong_fields_are_named_at_once_and_the_key_stays_good() {
    let app = App::accepting().await;
    let mut wrong = order("Not A Host");
    wrong["ssh_keys"] = json!([]);
    let answer = app.order(&app.acme, "order-1", &wrong).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"));
    let fields: Vec<&str> =
        answer.body["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "ssh_keys"]);
    assert_eq!(app.order(&app.acme, "order-1", &order("web-1")).await.status, StatusCode::ACCEPTED);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_full_of_wrong_labels_has_a_short_answer() {
    let app = App::accepting().await;
    let mut wrong = order("web-1");
    wrong["labels"] = (0..18_000).map(|n| (format!("-{n}"), "-")).collect();
    let sent = wrong.to_string().len();
    assert!(sent > limits::BODY_BYTES / 2 && sent <= limits::BODY_BYTES, "{sent} bytes");
    let answer = app.order(&app.acme, "order-1", &wrong).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"));
    let answered = answer.body.to_string().len();
    assert!(answered < 64 * 1024, "{answered} bytes");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_an_id_is_refused_as_any_wrong_field_is() {
    let app = App::accepting().await;
    let mut by_id = order("web-1");
    by_id["image"] = json!("161547269");
    let answer = app.order(&app.acme, "order-1", &by_id).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (422, "invalid"));
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1, "{answer:?}");
    assert_eq!((answer.text("/errors/0/field"), answer.text("/errors/0/value")), ("image", "161547269"));
    assert_eq!(app.get(&app.acme, "/v1/servers").await.body["items"], json!([]));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_beyond_the_quota_is_refused_and_changes_nothing() {
    let app = App::accepting().await;
    for number in 0..20 {
        let answer = app.order(&app.acme, &format!("order-{number}"), &order("web")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    let answer = app.order(&app.acme, "one-more", &order("web")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "quota_exceeded"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_answered_as_soon_as_the_process_begins_to_end() {
    let app = App::accepting().await;
    let location = app.order(&app.acme, "order-1", &order("web-1")).await.header("location").to_owned();
    let path = format!("{location}?wait=30");
    let waiting = app.get(&app.acme, &path);
    let both = async { tokio::join!(waiting, async { app.api.drain() }) };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert_eq!((answer.status, answer.text("/status")), (StatusCode::OK, "pending"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_shows_what_can_be_ordered_with_its_age() {
    let app = App::working().await;
    let catalog = app.get(&app.acme, "/v1/catalog").await;
    assert_eq!(catalog.status, StatusCode::OK, "{catalog:?}");
    let types = catalog.body["server_types"].as_array().unwrap();
    assert!(types.iter().any(|it| it["name"] == "cpx22") && catalog.body["stale"] == false);
    assert!(!catalog.body["prices"].as_array().unwrap().is_empty());
    assert_eq!(app.get(&app.acme, "/v1/catalog?account=nobody").await.code(), "not_found");
    assert_eq!(app.get(&app.acme, "/v1/catalog?account=%20").await.code(), "invalid_query");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_to_wait_is_not_cut_at_the_limit_of_handlers_however_it_asks() {
    let mut app = App::accepting().await;
    let accepted = app.order(&app.acme, "order-1", &order("web-1")).await;
    let path = accepted.header("location").to_owned();
    app.router = app.api.clone().handler_limit(Duration::from_millis(500)).application();
    for (method, query) in [("GET", "wait=1"), ("GET", "w%61it=1"), ("HEAD", "wait=1")] {
        let began = tokio::time::Instant::now();
        let asked = request(method, &format!("{path}?{query}"), Some(&app.acme)).body(Body::empty()).unwrap();
        let answer = app.send(asked).await;
        assert_eq!(answer.status.as_u16(), 200, "{method} {query}");
        assert!(began.elapsed() >= Duration::from_secs(1), "it waited: {method} {query}");
    }
    app.end().await;
}
