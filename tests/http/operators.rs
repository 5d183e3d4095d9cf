//! What an operator sees and does: jobs, accounts, sweeps, audits, health.

use serde_json::{Value, json};
use vip_adapters::hetzner::simulator::DEFAULT_TOKEN;
use vip_core::model::{AccountId, Gate, JobKey, JobKind, NewJob, Payload, TokenDigest};
use vip_core::ports::Enqueued;
use vip_http::axum::http::StatusCode;
use vip_tests::site::until;

use crate::app::{App, json_request, order};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_by_state_and_one_that_is_not_dead_is_not_replayed() {
    let app = App::accepting().await;
    app.order(&app.acme, "order-1", &order("web-1")).await;
    let jobs = app.get(&app.operator, "/v1/operator/jobs?state=waiting").await;
    let item = &jobs.body["items"][0];
    assert_eq!((item["tenant"].as_str(), item["state"].as_str()), (Some("acme"), Some("waiting")), "{jobs:?}");
    assert!(item.get("payload").is_none());
    assert_eq!(app.get(&app.operator, "/v1/operator/jobs").await.body["items"], json!([]));
    let path = format!("/v1/operator/jobs/{}/replay", item["id"].as_str().unwrap());
    let answer = app.post(&app.operator, &path, &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "not_replayable"));
    assert_eq!(app.get(&app.operator, "/v1/operator/jobs?state=broken").await.code(), "invalid_query");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_jobs_are_listed_and_replayed_by_a_sample_first() {
    let app = App::working().await;
    let operator = app.provisioner.operator();
    let kind = JobKind::new("vip.converge").unwrap();
    // No handler can read this: after its attempts it is dead.
    let mut job = NewJob::new(operator.job_id(), JobKey::new("odd").unwrap(), kind, Payload::from_text("7").unwrap());
    job.max_attempts = 1;
    assert_eq!(operator.enqueue(job).await.unwrap(), Enqueued::Inserted);
    let mut dead = Value::Null;
    until("the job is dead", async || {
        dead = app.get(&app.operator, "/v1/operator/jobs?state=dead").await.body;
        dead["items"].as_array().is_some_and(|items| !items.is_empty())
    })
    .await;
    let report = app.post(&app.operator, "/v1/operator/jobs/replay", &json!({ "sample": 1 })).await;
    assert_eq!((report.status, report.text("/sample/0/fate")), (StatusCode::OK, "failed_again"), "{report:?}");
    assert_eq!(report.body["went_on"], false);
    let path = format!("/v1/operator/jobs/{}/replay", dead["items"][0]["id"].as_str().unwrap());
    assert_eq!(app.post(&app.operator, &path, &json!({})).await.status, StatusCode::NO_CONTENT);
    let wrong = app.post(&app.operator, "/v1/operator/jobs/replay", &json!({ "sample": 21 })).await;
    assert_eq!((wrong.code(), wrong.text("/errors/0/field")), ("invalid", "sample"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_show_their_gates_and_breakers_and_a_breaker_is_told_how_to_behave() {
    let app = App::working().await;
    let accounts = app.get(&app.operator, "/v1/operator/accounts").await;
    assert_eq!((accounts.text("/items/0/id"), accounts.text("/items/0/gates/0/gate")), ("default", "open"));
    let path = "/v1/operator/accounts/default/breaker";
    let set = json_request("PUT", path, Some(&app.operator), &json!({ "mode": "forced_open" }));
    assert_eq!(app.send(set).await.status, StatusCode::NO_CONTENT);
    let accounts = app.get(&app.operator, "/v1/operator/accounts").await;
    assert_eq!(accounts.text("/items/0/breaker/mode"), "forced_open");
    // The store answers, the provider is not asked: who reads this looks in the right place.
    let swept = app.post(&app.operator, "/v1/operator/accounts/default/sweep", &json!({})).await;
    assert_eq!((swept.status.as_u16(), swept.code()), (503, "provider_unavailable"));
    for (path, mode) in [(path, "no_such_mode"), ("/v1/operator/accounts/nobody/breaker", "automatic")] {
        let answer = app.send(json_request("PUT", path, Some(&app.operator), &json!({ "mode": mode }))).await;
        assert!(["malformed_body", "not_found"].contains(&answer.code()), "{answer:?}");
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_reports_and_an_account_that_is_not_ours_is_not_found() {
    let app = App::working().await;
    let accepted = app.order(&app.acme, "order-1", &order("web-1")).await;
    app.get(&app.acme, &format!("{}?wait=20", accepted.header("location"))).await;
    let report = app.post(&app.operator, "/v1/operator/accounts/default/sweep", &json!({})).await;
    assert_eq!(
        (report.status, &report.body["listed"], &report.body["recorded"]),
        (StatusCode::OK, &json!(1), &json!(1))
    );
    assert_eq!(report.body["findings"], json!([]), "{report:?}");
    let sightings = app.get(&app.operator, "/v1/operator/accounts/default/sightings").await;
    assert_eq!(sightings.body["items"], json!([]));
    assert_eq!(app.post(&app.operator, "/v1/operator/accounts/nobody/sweep", &json!({})).await.code(), "not_found");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_is_listed_and_verified_against_its_exported_head() {
    let app = App::accepting().await;
    for number in 0..3 {
        app.order(&app.acme, &format!("order-{number}"), &order("web-1")).await;
    }
    let verify = "/v1/operator/tenants/acme/audit/verify";
    let whole = app.post(&app.operator, verify, &json!({})).await;
    assert_eq!((&whole.body["whole"], &whole.body["records"]), (&json!(true), &json!(3)), "{whole:?}");
    let head = whole.body["head"].clone();
    assert_eq!(app.post(&app.operator, verify, &json!({ "exported": head })).await.body["whole"], true);
    let mut longer = head.clone();
    longer["sequence"] = json!(4);
    for hash in ["0".repeat(63), "0".repeat(65), "g".repeat(64), "A".repeat(64)] {
        let odd = app.post(&app.operator, verify, &json!({ "exported": { "sequence": 0, "hash": hash } })).await;
        assert_eq!((odd.code(), odd.text("/errors/0/field")), ("invalid", "exported.hash"), "{odd:?}");
    }
    let cut = app.post(&app.operator, verify, &json!({ "exported": longer })).await;
    assert!(cut.body["whole"] == false && cut.text("/fault").contains("missing"), "{cut:?}");
    let records = app.get(&app.operator, "/v1/operator/tenants/acme/audit?after=1").await;
    let numbers: Vec<u64> =
        records.body["items"].as_array().unwrap().iter().map(|it| it["sequence"].as_u64().unwrap()).collect();
    assert_eq!((numbers, &records.body["head"]), (vec![2, 3], &head));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_every_part_and_what_the_process_costs_and_tells_when_the_store_is_gone() {
    let app = App::working().await;
    let health = app.get(&app.operator, "/healthz").await;
    let names: Vec<&str> =
        health.body["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    for part in ["store", "records", "queue", "account:default", "breaker:default", "budget:default", "worker"] {
        assert!(names.iter().any(|name| name.starts_with(part)), "{part} is missing in {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("loop")), "no background loop in {names:?}");
    assert!(health.body["process"]["tasks"].as_u64().unwrap() > 3, "{health:?}");
    assert!(health.body["process"]["memory_bytes"].as_u64().unwrap() > 1_000_000, "{health:?}");
    app.lose_store().await;
    vip_tests::site::pause(vip_http::limits::HEALTH_KEPT).await;
    let health = app.get(&app.operator, "/healthz").await;
    assert_eq!((health.status, health.text("/status")), (StatusCode::OK, "down"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_token_is_vouched_for_by_its_digest_and_one_that_nobody_knows_is_not_found() {
    let app = App::accepting().await;
    let digest = TokenDigest::of(DEFAULT_TOKEN);
    let store = &app.backend.store;
    let account = store.account(&AccountId::default_account()).await.unwrap();
    let suspect = Gate::Suspect { why: "of a test".to_owned() };
    store.save_account(&account.with_gate(&digest, suspect, 0)).await.unwrap();
    let accounts = app.get(&app.operator, "/v1/operator/accounts").await;
    assert_eq!(accounts.text("/items/0/gates/0/gate"), "suspect");
    let of = |digest: &str| format!("/v1/operator/accounts/default/tokens/{digest}/confirm");
    let vouched = json!({ "missing": accounts.body["items"][0]["missing"] });
    assert_eq!(app.post(&app.operator, &of("0123456789abcdef"), &vouched).await.code(), "not_found");
    let nobody = of(digest.as_str()).replace("default", "nobody");
    assert_eq!(app.post(&app.operator, &nobody, &vouched).await.code(), "not_found");
    let confirm = of(accounts.text("/items/0/gates/0/token_digest"));
    assert_eq!(app.post(&app.operator, &confirm, &json!({})).await.status, StatusCode::BAD_REQUEST);
    let confirmed = app.post(&app.operator, &confirm, &vouched).await;
    assert_eq!(confirmed.status, StatusCode::NO_CONTENT);
    let opened = app.get(&app.operator, "/v1/operator/accounts").await;
    assert_eq!(opened.text("/items/0/gates/0/gate"), "open");
    assert_eq!(
        (accounts.body["items"][0]["gates"][0]["vouched_by"].as_str(), opened.text("/items/0/gates/0/vouched_by")),
        (None, "root")
    );
    assert!(opened.text("/items/0/gates/0/vouched_at").starts_with("20"), "{opened:?}");

    // A sweep has found two missing since the account was shown.
    let mut account = store.account(&AccountId::default_account()).await.unwrap();
    account.missing_seen = 2;
    store.save_account(&account).await.unwrap();
    let refused = app.post(&app.operator, &confirm, &vouched).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "more_missing"));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_server_goes_on_when_an_operator_says_so_and_one_that_is_not_parked_is_409() {
    let app = App::accepting().await;
    let accepted = app.order(&app.acme, "order-1", &order("web-1")).await;
    let resume = format!("/v1/operator/tenants/acme/servers/{}/resume", accepted.text("/server_id"));
    let answer = app.post(&app.operator, &resume, &json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "not_parked"));
    let actor = vip_core::model::Actor::Operator { name: "root".to_owned() };
    app.provisioner.operator().mark_restored(&actor).await.unwrap();
    let path = format!("/v1/servers/{}", accepted.text("/server_id"));
    assert_eq!(app.get(&app.acme, &path).await.text("/state"), "parked");
    assert_eq!(app.post(&app.operator, &resume.replace("acme", "other"), &json!({})).await.code(), "not_found");
    assert_eq!(app.post(&app.operator, &resume, &json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.get(&app.acme, &path).await.text("/state"), "requested");
    assert_eq!(app.post(&app.operator, &resume, &json!({})).await.code(), "not_parked");
    app.end().await;
}
