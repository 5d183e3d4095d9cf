//! What wakes somebody up: the gauges that the alerts of `docs/how-to/on-call.md` read get to the values that they are compared with.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, MemoryProvider, ProviderFault, ProviderMethod, VirtualClock};
use vip_core::model::{
    AccountId, Actor, ClaimId, InstallationId, JobId, JobKey, JobKind, NewJob, Payload, Timestamp, Timing,
};
use vip_core::ports::{Backend, ClaimRequest, JobQueue, ProviderErrorKind, Settled, Settlement, Verdict};
use vip_core::provisioning::TokenCheck;
use vip_http::axum::http::StatusCode;
use vip_http::refresh_metrics;
use vip_tests::site::{pause, spec};

use crate::app::{App, json_request};
use crate::metrics::{demand, exporting};

const HOUR: Duration = Duration::from_secs(3600);
/// More failures than a test has time for.
const ALL: usize = 1000;

fn memory() -> MemoryBackend {
    let clock = VirtualClock::new(Timestamp::from_micros(1_800_000_000_000_000));
    MemoryBackend::new(Arc::new(clock), InstallationId::from_uuid(Uuid::from_u128(1)))
}

/// Lets a job fail for good.
async fn kill(queue: &dyn JobQueue) {
    let (key, kind) = (JobKey::new("mail:1").unwrap(), JobKind::new("shop.mail").unwrap());
    let job = NewJob::new(JobId::from_uuid(Uuid::from_u128(2)), key, kind.clone(), Payload::from_text("1").unwrap());
    queue.enqueue(&[job]).await.unwrap();
    let claim = ClaimId::from_uuid(Uuid::from_u128(3));
    let request = ClaimRequest { kinds: vec![kind], most: 1, lease: Duration::from_secs(5), claim };
    let lease = queue.claim(&request).await.unwrap().remove(0).lease.reference;
    let verdict = Verdict::Dead { code: "bad".to_owned() };
    assert_eq!(queue.settle(&[Settlement { lease, verdict }]).await.unwrap(), [Settled::Died]);
}

#[test]
fn what_is_parked_dead_due_or_not_removed_is_counted_and_its_age_is_told() {
    exporting(async |handle| {
        tokio::time::pause();
        let memory = memory();
        let queue = Backend::from(memory.clone()).queue;
        let provisioner = Provisioner::builder(memory).client_only().await.unwrap();
        refresh_metrics(&provisioner).await;
        let lines = [
            "vip_parked_servers",
            r#"vip_jobs{state="dead"}"#,
            "vip_oldest_removal_seconds",
            "vip_oldest_due_job_seconds",
        ];
        let demand_all = |values: [u32; 4]| {
            for (line, value) in lines.into_iter().zip(values) {
                demand(&handle.render(), &[format!("{line} {value}").as_str()]);
            }
        };
        demand_all([0, 0, 0, 0]);
        let tenant = provisioner.tenant("acme");
        drop(tenant.create_server(spec("web-1")).await.unwrap());
        provisioner.operator().mark_restored(&Actor::Operator { name: "root".to_owned() }).await.unwrap();
        let removed = tenant.create_server(spec("web-2")).await.unwrap().server_id();
        drop(tenant.delete_server(removed).await.unwrap());
        kill(&*queue).await;
        tokio::time::advance(HOUR).await;
        refresh_metrics(&provisioner).await;
        demand_all([1, 1, 3600, 3600]);
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    });
}

#[test]
fn a_provider_that_fails_opens_the_breaker_and_its_gauge_says_so() {
    exporting(async |handle| {
        tokio::time::pause();
        let (provider, account) = (MemoryProvider::default(), AccountId::default_account());
        let provisioner = Provisioner::builder(memory()).provider(provider.clone()).client_only().await.unwrap();
        refresh_metrics(&provisioner).await;
        demand(&handle.render(), &[r#"vip_breaker_state{account="default"} 0"#]);
        for method in [ProviderMethod::Inventory, ProviderMethod::Find] {
            fail(&provider, method, ProviderErrorKind::Unknown);
        }
        // A token of which nothing is known is asked for each time; five failures in a row are an outage.
        for _ in 0..5 {
            assert_eq!(provisioner.operator().check_token(&account).await.unwrap(), TokenCheck::Unanswered);
        }
        refresh_metrics(&provisioner).await;
        demand(&handle.render(), &[r#"vip_breaker_state{account="default"} 3"#]);
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    });
}

#[test]
fn an_account_whose_sweeps_fail_for_half_an_hour_was_swept_that_long_ago() {
    exporting(async |handle| {
        tokio::time::pause();
        let provider = MemoryProvider::default();
        let provisioner = Provisioner::builder(memory()).provider(provider.clone()).start().await.unwrap();
        let age = async || {
            refresh_metrics(&provisioner).await;
            let shown = handle.render();
            let line = shown.lines().find_map(|line| line.strip_prefix(r#"vip_sweep_age_seconds{account="default"} "#));
            line.unwrap_or_else(|| panic!("no age in {shown}")).parse::<f64>().unwrap()
        };
        // The first sweep is made at once, and the next ones follow.
        let interval = Timing::default().sweep_interval;
        pause(interval * 3).await;
        let young = age().await;
        assert!(young < interval.as_secs_f64() * 1.1, "{young}");
        fail(&provider, ProviderMethod::Inventory, ProviderErrorKind::Busy);
        pause(Duration::from_secs(1801)).await;
        let old = age().await;
        assert!(old > 1800.0 && old < 1801.0 + interval.as_secs_f64() * 1.1, "{old}");
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    });
}

fn fail(provider: &MemoryProvider, method: ProviderMethod, kind: ProviderErrorKind) {
    for _ in 0..ALL {
        provider.fail_next(method, ProviderFault::Refuse(kind));
    }
}

/// `vip_breaker_state` tells what the provider does, and stays as it is: of a mode that somebody has forgotten health tells alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_accepts_is_degraded_while_its_breaker_is_held_open() {
    let app = App::accepting().await;
    let path = "/v1/operator/accounts/default/breaker";
    let set = json_request("PUT", path, Some(&app.operator), &json!({ "mode": "forced_open" }));
    assert_eq!(app.send(set).await.status, StatusCode::NO_CONTENT);
    let health = app.get(&app.operator, "/healthz").await;
    let parts = health.body["parts"].as_array().unwrap().iter();
    let not_well = parts.filter(|part| part["status"] != "ok").map(|part| part["name"].as_str().unwrap());
    let not_well: Vec<&str> = not_well.collect();
    assert_eq!((health.text("/status"), not_well), ("degraded", vec!["breaker:default"]), "{health:?}");
    app.end().await;
}
