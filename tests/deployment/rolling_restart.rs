//! A rolling restart of all processes under load: nobody is told a failure, and every order has one server.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use vip_tests::loader::{Exchange, Heard};

use crate::{Scene, orders};

/// Longest time for all orders to end.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_costs_no_order_and_doubles_none() {
    let orders = orders();
    let mut scene = Scene::new().await;
    let began = Instant::now();
    let loader = scene.loader.clone();
    let windows = {
        let load = loader.run(orders);
        let restarts = restart_all(&mut scene, orders);
        timeout(PATIENCE, async { tokio::join!(load, restarts).1 }).await.expect("all are accepted")
    };
    let accepted = began.elapsed();
    timeout(PATIENCE, scene.loader.ended()).await.expect("all end");
    let heard = scene.heard();
    println!("{orders} orders accepted in {accepted:.1?}, ended after {:.1?}: {heard:?}", began.elapsed());

    for exchange in scene.loader.exchanges() {
        demand_documented(&exchange, &windows);
    }
    let back: BTreeSet<usize> = scene
        .loader
        .exchanges()
        .into_iter()
        .filter(|it| it.time.start > windows[it.api].end && matches!(it.heard, Heard::Answer { status: 202, .. }))
        .map(|it| it.api)
        .collect();
    assert_eq!(back, BTreeSet::from([0, 1]), "who was started again accepts again");
    scene.demand_one_server_each(orders).await;
    scene.end().await;
}

/// Restarts one process after the other, each while orders come in; returns when each was away.
async fn restart_all(scene: &mut Scene, orders: u32) -> Vec<Range<Instant>> {
    let count = u32::try_from(scene.processes.len()).unwrap();
    let part = |number: u32| orders * number / (count + 2);
    let mut windows = Vec::new();
    scene.loader.release(part(1));
    for (place, number) in (1..=count).enumerate() {
        // Of the next part some are accepted already, and most are not.
        scene.loader.release(part(number + 1));
        scene.loader.accepted(part(number) + 1).await;
        let began = Instant::now();
        scene.deployment.end(&mut scene.processes[place]).await;
        scene.deployment.start_again(&mut scene.processes[place]).await;
        windows.push(began..Instant::now());
    }
    scene.loader.release(orders);
    windows
}

/// Only who is just being restarted may say no: with a 503 and when to come back, or by taking no connection.
fn demand_documented(exchange: &Exchange, windows: &[Range<Instant>]) {
    let window = &windows[exchange.api];
    let is_away = exchange.time.start <= window.end && exchange.time.end >= window.start;
    match &exchange.heard {
        Heard::Answer { status: 200 | 202, .. } => {}
        Heard::Answer { status: 503, retry_after: Some(1..), code } => {
            assert!(is_away && code == "shutting_down", "{exchange:?} {window:?}");
        }
        // A connection that rests may end while a request is on its way: no server can tell, and the key makes it harmless.
        Heard::Refused | Heard::Broken => assert!(is_away, "{exchange:?} {window:?}"),
        Heard::Answer { .. } => panic!("{exchange:?} {window:?}"),
    }
}
