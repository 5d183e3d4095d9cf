//! Database, queue and cloud go away: probes tell the truth, who accepts goes on, and everything heals by itself.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};
use vip_core::resilience::BreakerSettings;
use vip_tests::loader::Heard;
use vip_tests::redis_server::RedisServer;
use vip_tests::site::pause;

use crate::{Scene, orders};

/// Longest time for anything to heal, or to be noticed where a probe of our own has to notice it.
const PATIENCE: Duration = Duration::from_secs(240);
/// Longest time that a probe may take: a part has a second, and this machine has others to serve.
const PROBE: Duration = Duration::from_secs(5);
/// Longest time until `/readyz` says what the store says: a report that is a second old, and one that is being made.
const NOTICED: Duration = Duration::from_secs(5);
/// Pause between two looks; the processes are others and cannot tell.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Longest jitter of a breaker's open time, as a part of it.
const OPEN_JITTER: f64 = 0.1;

/// Returns the longest time from the cloud's return until every breaker knows: the longest open time, for one that has probed
/// in vain before, then a probe, and what a busy machine takes for them.
fn cloud_is_noticed_within() -> Duration {
    let settings = BreakerSettings::default();
    settings.open_most.mul_f64(1.0 + OPEN_JITTER) + settings.probe_deadline + PROBE
}

/// Is who goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Database,
    Queue,
    Cloud,
}

/// Asks processes how they fare, and remembers how long they took.
struct Probes {
    client: reqwest::Client,
    operator: String,
    slowest: Duration,
}

impl Probes {
    async fn ask(&mut self, url: &str, path: &str) -> (u16, Value) {
        let began = Instant::now();
        let request = self.client.get(format!("{url}{path}")).bearer_auth(&self.operator);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let status = answer.status().as_u16();
        let body = answer.json().await.unwrap();
        self.slowest = self.slowest.max(began.elapsed());
        (status, body)
    }

    /// Waits until each process says something of a part in `/healthz`; `/livez` says meanwhile that it lives.
    async fn until(&mut self, urls: &[String], within: Duration, part: &str, holds: impl Fn(&str) -> bool) {
        for url in urls {
            let end = Instant::now() + within;
            loop {
                assert_eq!(self.ask(url, "/livez").await.0, 200, "it lives: {url}");
                let (status, health) = self.ask(url, "/healthz").await;
                assert_eq!(status, 200, "{health}");
                if holds(of_part(&health, part)) {
                    break;
                }
                assert!(Instant::now() < end, "{url} says of {part} after {within:?}: {health}");
                pause(LOOK_PAUSE).await;
            }
        }
    }

    /// Waits until each process answers `/readyz` with a status, as it has to soon.
    async fn until_ready_is(&mut self, urls: &[String], expected: u16) {
        for url in urls {
            let end = Instant::now() + NOTICED;
            while self.ask(url, "/readyz").await.0 != expected {
                assert_eq!(self.ask(url, "/livez").await.0, 200, "it lives: {url}");
                assert!(Instant::now() < end, "{url} is not {expected} after {NOTICED:?}");
                pause(LOOK_PAUSE).await;
            }
        }
    }
}

/// Returns how a part fares; a part that is not named is not known.
fn of_part<'a>(health: &'a Value, part: &str) -> &'a str {
    let parts = health["parts"].as_array().unwrap();
    let found = parts.iter().find(|it| it["name"].as_str().unwrap() == part);
    found.and_then(|it| it["status"].as_str()).unwrap_or("unknown")
}

#[tokio::test(flavor = "multi_thread")]
async fn database_queue_and_cloud_go_away_in_turn_and_everything_heals_by_itself() {
    let orders = orders() / 4;
    // What it has answered it has kept: what a queue loses is another test's.
    let mut redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let mut scene = Scene::with(Some(redis.url())).await;
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PROBE).build().unwrap();
    let mut probes = Probes { client, operator: scene.deployment.operator.clone(), slowest: Duration::ZERO };
    let (loader, began) = (scene.loader.clone(), Instant::now());
    let load = loader.run(orders);
    let disturb = async {
        for (who, number) in [Who::Database, Who::Queue, Who::Cloud].into_iter().zip(1..) {
            let part = |number: u32| orders * number / 4;
            scene.loader.release(part(number));
            scene.loader.accepted(part(number) - part(1) / 2).await;
            disturb(who, &mut scene, &mut redis, &mut probes, part(number + 1)).await;
            println!("{who:?} went away and came back: healed after {:.1?}", began.elapsed());
        }
        scene.loader.release(orders);
    };
    timeout(PATIENCE * 3, async { tokio::join!(load, disturb) }).await.expect("all are accepted");
    timeout(PATIENCE, loader.ended()).await.expect("all end");
    let heard = scene.heard();
    println!("{orders} orders ended after {:.1?}, slowest probe {:.1?}: {heard:?}", began.elapsed(), probes.slowest);
    for exchange in scene.loader.exchanges() {
        let is_documented = match &exchange.heard {
            Heard::Answer { status: 200 | 202, .. } => true,
            Heard::Answer { status: 503, retry_after: Some(1..), code } => {
                ["unavailable", "outcome_unknown", "timed_out"].contains(&code.as_str())
            }
            Heard::Answer { .. } | Heard::Refused | Heard::Broken => false,
        };
        assert!(is_documented, "{exchange:?}");
    }
    scene.demand_one_server_each(orders).await;
    scene.end().await;
}

/// Orders that are taken by processes that have started while the queue was away.
const WITHOUT_QUEUE: u32 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn who_only_accepts_starts_while_the_queue_is_away_and_its_orders_are_relayed() {
    let mut redis = RedisServer::start_with(&["--appendfsync", "always"]);
    let mut scene = Scene::with(Some(redis.url())).await;
    tokio::task::block_in_place(|| redis.kill());
    for api in &mut scene.processes[..2] {
        scene.deployment.end(api).await;
        scene.deployment.start_again(api).await;
    }
    scene.loader.release(WITHOUT_QUEUE);
    timeout(PATIENCE, scene.loader.run(WITHOUT_QUEUE)).await.expect("all are accepted");
    tokio::task::block_in_place(|| redis.restart());
    timeout(PATIENCE, scene.loader.ended()).await.expect("all end");
    scene.demand_one_server_each(WITHOUT_QUEUE).await;
    scene.end().await;
}

/// Takes one away, demands that all processes live and say so, and brings it back, while orders come in.
async fn disturb(who: Who, scene: &mut Scene, redis: &mut RedisServer, probes: &mut Probes, up_to: u32) {
    let urls: Vec<String> = scene.processes.iter().map(vip_tests::deployment::Process::url).collect();
    let workers = &urls[2..];
    let accepted_before = u32::try_from(scene.loader.told().len()).unwrap();
    match who {
        Who::Database => tokio::task::block_in_place(|| scene.postgres.crash()),
        Who::Queue => tokio::task::block_in_place(|| redis.kill()),
        Who::Cloud => scene.cloud.leave().await,
    }
    scene.loader.release(up_to);
    match who {
        Who::Database => {
            probes.until_ready_is(&urls, 503).await;
            probes.until(&urls, NOTICED, "store", |it| it == "down").await;
        }
        Who::Queue => {
            probes.until(&urls, NOTICED, "queue", |it| it == "down").await;
            probes.until_ready_is(&urls, 200).await;
            timeout(PATIENCE, scene.loader.accepted(accepted_before + 1)).await.expect("orders are accepted");
        }
        Who::Cloud => {
            probes.until_ready_is(&urls, 200).await;
            timeout(PATIENCE, scene.loader.accepted(accepted_before + 1)).await.expect("orders are accepted");
            // It is noticed by those who work, when they have something to ask.
            probes.until(workers, PATIENCE, "breaker:default", |it| it != "ok").await;
        }
    }
    match who {
        Who::Database => tokio::task::block_in_place(|| scene.postgres.restart()),
        Who::Queue => tokio::task::block_in_place(|| redis.restart()),
        Who::Cloud => scene.cloud.come_back().await,
    }
    let back = Instant::now();
    for part in ["store", "queue"] {
        probes.until(&urls, PATIENCE, part, |it| it != "down").await;
    }
    probes.until(workers, PATIENCE, "breaker:default", |it| it == "ok").await;
    let (took, most) = (back.elapsed(), cloud_is_noticed_within());
    println!("{who:?} was back and known to be after {took:.1?}; at most {most:.1?}");
    assert!(who != Who::Cloud || took <= most, "{took:?}");
    probes.until_ready_is(&urls, 200).await;
}
