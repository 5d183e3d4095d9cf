//! How many orders a second become durable: accepted in the process, and over HTTP by a loader, on both kinds of store.
//!
//! Both run in turn, so that whatever else the machine does falls on both. The loader shares the cores with what it
//! measures, so the part of the server is better than what is shown.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vip_core::Provisioner;
use vip_core::model::{ServerState, TenantId};
use vip_http::{Api, ApiKeys, NewApiKey, Scope, Server, ServerSettings};
use vip_tests::loader::Loader;
use vip_tests::postgres;
use vip_tests::site::spec;
use vip_tests::truth;

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// Callers at once: each a tenant of its own, so that none waits for the quota of another.
const CALLERS: u32 = 50;
/// Orders of one caller in one round.
const ORDERS: u32 = 40;
/// Rounds of each; their median is the result. One more warms both up.
const ROUNDS: u32 = 5;
/// Least part of the rate in the process that the rate over HTTP is.
const RATIO_LEAST: f64 = 0.5;

#[tokio::main]
async fn main() {
    let mut ratios = Vec::new();
    let server = postgres::Server::start(Path::new(ACTOR));
    let database = server.new_database().await;
    ratios.push(measure("PostgreSQL", &server.url(&database)).await);
    server.stop();
    let folder = tempfile::tempdir().unwrap();
    ratios.push(measure("SQLite", &format!("sqlite://{}", folder.path().join("vip.db").display())).await);
    let worst = ratios.into_iter().fold(f64::INFINITY, f64::min);
    assert!(worst >= RATIO_LEAST, "over HTTP it is {worst:.2} of the rate in the process, {RATIO_LEAST} is allowed");
}

fn tenant(caller: u32) -> String {
    format!("tenant-{caller}")
}

/// Takes both rates on one store; returns how much of the first the second is.
async fn measure(store: &str, url: &str) -> f64 {
    let backend = vip_adapters::connect(url).await.unwrap();
    let builder = Provisioner::builder(backend).quota(u32::MAX);
    let provisioner = builder.client_only().await.unwrap();
    let key = |caller: u32| {
        let tenant = TenantId::new(tenant(caller)).unwrap();
        NewApiKey::generate(&format!("k{caller}"), Some(tenant), [Scope::TenantRead, Scope::TenantWrite]).unwrap()
    };
    let keys: Vec<NewApiKey> = (0..CALLERS).map(key).collect();
    let api = Api::new(&provisioner, ApiKeys::new(keys.iter().map(|key| key.entry.clone())).unwrap()).unwrap();
    let server = Server::bind(([127, 0, 0, 1], 0).into(), ServerSettings::default()).await.unwrap();
    let url = format!("http://{}", server.local_address().unwrap());
    let stop = CancellationToken::new();
    let mut serving = JoinSet::new();
    serving.spawn(server.serve(api.application(), stop.clone(), Duration::from_secs(5)));
    let loaders: Vec<Loader> =
        keys.iter().map(|key| Loader::new(vec![url.clone()], key.key.expose_secret().to_owned())).collect();

    let (mut inside, mut over_http) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let first = round * 2 * ORDERS;
        inside.push(in_the_process(&provisioner, first..first + ORDERS).await);
        over_http.push(by_loaders(&loaders, first + ORDERS..first + 2 * ORDERS).await);
    }
    // What warmed up does not count.
    let (inside, over_http) = (median(inside.split_off(1)), median(over_http.split_off(1)));
    let ratio = over_http / inside;
    println!(
        "{store}: {inside:.0} orders a second in the process, {over_http:.0} over HTTP, {ratio:.2} times; {CALLERS} callers, \
         median of {ROUNDS} rounds of {} orders",
        CALLERS * ORDERS
    );
    stop.cancel();
    let report = serving.join_next().await.unwrap().unwrap();
    let connections = u64::from(CALLERS);
    assert!(report.accepted <= connections, "connections were not kept: {report:?}");
    all_are_there(&provisioner).await;
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    ratio
}

fn rate(began: Instant) -> f64 {
    f64::from(CALLERS * ORDERS) / began.elapsed().as_secs_f64()
}

async fn in_the_process(provisioner: &Provisioner, numbers: Range<u32>) -> f64 {
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for caller in 0..CALLERS {
        let (tenant, numbers) = (provisioner.tenant(&tenant(caller)), numbers.clone());
        callers.spawn(async move {
            for number in numbers {
                let order = tenant.create_server(spec(format!("web-{number}")));
                let accepted = order.idempotency_key(format!("order-{number}")).await.unwrap();
                assert!(!accepted.is_replayed());
            }
        });
    }
    callers.join_all().await;
    rate(began)
}

async fn by_loaders(loaders: &[Loader], numbers: Range<u32>) -> f64 {
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for loader in loaders {
        let (loader, numbers) = (loader.clone(), numbers.clone());
        callers.spawn(async move {
            for number in numbers {
                loader.order(number).await;
            }
        });
    }
    callers.join_all().await;
    rate(began)
}

/// Demands that every order of every caller is in the store, and has not moved: nobody works.
async fn all_are_there(provisioner: &Provisioner) {
    for caller in 0..CALLERS {
        let servers = truth::all_servers(provisioner, &tenant(caller)).await;
        assert!(servers.iter().all(|server| server.state == ServerState::Requested));
        assert_eq!(servers.len(), usize::try_from(2 * ORDERS * (ROUNDS + 1)).unwrap());
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}
