//! A process of the suites: a simulator, a worker, or the guard of a database server; it ends when its standard input closes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code fails by panicking")]

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, FaultPlan, Simulator};
use vip_core::Provisioner;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["simulator", seed, mood] => simulator(seed.parse().unwrap(), mood).await,
        ["postgres", settings @ ..] => {
            vip_tests::postgres::guard(settings.iter().map(ToString::to_string).collect()).await;
        }
        ["pgbouncer", server, mode] => vip_tests::postgres::guard_pooler(server, mode).await,
        ["installation", store] => installation(store).await,
        ["worker", store, endpoint] => worker(store, endpoint).await,
        other => panic!("unknown role: {other:?}"),
    }
}

async fn simulator(seed: u64, mood: &str) {
    let simulator = Simulator::builder()
        .seed(seed)
        .create_time(Duration::from_millis(400))
        .delete_time(Duration::from_millis(200))
        .build();
    match mood {
        "calm" => {}
        "rough" => simulator.add_plan(FaultPlan::rough(seed)).unwrap(),
        other => panic!("unknown mood: {other}"),
    }
    let server = simulator.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    say(&server.url());
    let address: SocketAddr = server.url().trim_start_matches("http://").parse().unwrap();
    let mut server = Some(server);
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await.unwrap() {
        match (order.as_str(), server.take()) {
            ("leave", Some(running)) => running.shutdown().await,
            ("come back", None) => server = Some(simulator.serve(address).await.unwrap()),
            other => panic!("unknown order: {other:?}"),
        }
        say("done");
    }
    if let Some(server) = server {
        server.shutdown().await;
    }
}

/// Waits for a line, so that many begin at one moment; then opens the store and says which installation it is.
async fn installation(store: &str) {
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let backend = vip_adapters::connect(store).await.unwrap();
    println!("{}", backend.store.installation().await.unwrap());
    backend.store.close().await.unwrap();
}

async fn worker(store: &str, endpoint: &str) {
    let backend = vip_adapters::connect(store).await.unwrap();
    let provisioner = Provisioner::builder(backend)
        .provider(HetznerClient::at(endpoint, DEFAULT_TOKEN).unwrap())
        .timing(vip_tests::timing::quick())
        .start()
        .await
        .unwrap();
    say("ready");
    let failed = tokio::select! {
        () = until_input_closes() => None,
        why = provisioner.failed() => Some(why),
    };
    let report = provisioner.shutdown(Duration::from_secs(10)).await;
    assert!(failed.is_none() && report.within_deadline, "{failed:?} {report}");
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

async fn until_input_closes() {
    let mut input = tokio::io::stdin();
    let mut nothing = [0; 1];
    while input.read(&mut nothing).await.unwrap() > 0 {}
}
