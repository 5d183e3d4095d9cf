//! Who waits for an operation: one tenant has its places, and leaves some to the others.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use vip_core::Provisioner;
use vip_core::memory::memory_backend;
use vip_http::limits;
use vip_tests::site::{pause, spec};

use crate::app::{Key, StillApp};

/// Orders a server that nobody makes; returns where to wait for it.
async fn ordered(app: &StillApp, tenant: &str) -> String {
    let order = app.provisioner.tenant(tenant).create_server(spec("web-1")).await.unwrap();
    format!("/v1/operations/{}", order.id())
}

/// Returns how long a request was kept.
async fn kept(app: &StillApp, key: &Key, path: &str) -> Duration {
    let began = Instant::now();
    let answer = app.get(key, path).await;
    assert_eq!((answer.status.as_u16(), answer.text("/status")), (200, "pending"));
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_waits_as_often_as_there_are_places_keeps_nobody_else_from_waiting() {
    let app = StillApp::of(Provisioner::builder(memory_backend())).await;
    let (of_acme, of_other) = (ordered(&app, "acme").await, ordered(&app, "other").await);
    let (many, short) = (format!("{of_acme}?wait=30"), format!("{of_other}?wait=2"));
    let acme = join_all((0..limits::WAITING_REQUESTS).map(|_| kept(&app, &app.acme, &many)));
    let other = async {
        // By then whoever gets a place has it.
        pause(limits::NO_PLACE / 2).await;
        kept(&app, &app.other, &short).await
    };
    let (acme, other) = tokio::join!(acme, other);
    assert!(other >= Duration::from_secs(2), "{other:?}");
    let waited = acme.iter().filter(|kept| **kept >= Duration::from_secs(30)).count();
    assert_eq!(waited, limits::WAITING_OF_TENANT);
    let paused = acme.iter().filter(|kept| (limits::NO_PLACE..Duration::from_secs(2)).contains(*kept)).count();
    assert_eq!(paused, limits::WAITING_REQUESTS - waited, "whoever asks again without a pause is no busy loop");
    app.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_whoever_waits_and_who_begins_to_wait_afterwards_is_no_busy_loop() {
    let app = StillApp::of(Provisioner::builder(memory_backend())).await;
    let order = ordered(&app, "acme").await;
    let long = format!("{order}?wait=30");
    let drain = async {
        pause(limits::NO_PLACE / 2).await;
        app.api.drain();
    };
    let (before, ()) = tokio::join!(kept(&app, &app.acme, &long), drain);
    assert!(before < limits::NO_PLACE, "a drain waits for nobody: {before:?}");
    for path in [long, format!("{order}?wait=1")] {
        let took = kept(&app, &app.acme, &path).await;
        assert!((limits::NO_PLACE..2 * limits::NO_PLACE).contains(&took), "{path}: {took:?}");
    }
    let unasked = kept(&app, &app.acme, &order).await;
    assert!(unasked < limits::NO_PLACE, "who asks for no wait has none: {unasked:?}");
    app.end().await;
}
