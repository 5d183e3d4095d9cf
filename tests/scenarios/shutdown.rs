//! A shutdown under load leaves no task, no lease and no socket, burns no attempt, and its orders go on afterwards; an end
//! without one is told.

use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{Simulator, SimulatorServer};
use vip_core::Provisioner;
use vip_core::memory::{MemoryProvider, memory_backend};
use vip_core::model::{JobState, PageLimit, PageRequest};
use vip_core::runtime::ShutdownReport;
use vip_tests::lines::Lines;
use vip_tests::site::{Site, pause, spec};
use vip_tests::truth;

use crate::cloud::{PROJECT, TENANT, names};

const ORDERS: usize = 40;
/// Creates that have arrived when the shutdown begins: the worker is busy, and most orders are still to come.
const UNDER_WAY: u64 = 10;

/// Answers so slowly that requests are under way at any moment.
fn slow_cloud() -> Simulator {
    Simulator::builder()
        .create_time(Duration::from_millis(50))
        .delete_time(Duration::from_millis(20))
        .answer_time(Duration::from_millis(200))
        .rate_limit_per_hour(1_000_000)
        .project(PROJECT.0, PROJECT.1)
        .build()
}

async fn start(site: &Site, server: &SimulatorServer) -> Provisioner {
    site.start(HetznerClient::at(server.url(), PROJECT.1).unwrap()).await
}

/// Orders, waits until the work is in full swing, and shuts down.
async fn shut_down_under_load(site: &Site, simulator: &Simulator, server: &SimulatorServer, deadline: Duration) {
    let provisioner = start(site, server).await;
    for name in names("web", ORDERS) {
        drop(provisioner.tenant(TENANT).create_server(spec(name)).await.unwrap());
    }
    let busy = async || simulator.ledger().requests_of("POST", "/servers") >= UNDER_WAY;
    site.until("ten creates are under way", busy).await;
    assert!(server.open_connections() > 0);
    let report = provisioner.shutdown(deadline).await;
    demand_all_accounted_for(&report, deadline);
    drop(provisioner);
    demand_no_sockets(server).await;
    demand_no_leases(site).await;
}

fn demand_all_accounted_for(report: &ShutdownReport, deadline: Duration) {
    println!("{report}");
    assert_eq!((report.tasks_left, report.settlements_lost), (0, 0), "{report}");
    assert_eq!(report.claimed, report.finished + report.handed_back + report.cancelled, "{report}");
    assert!(report.within_deadline && report.is_clean() && report.claimed > 0, "{report}");
    if deadline.is_zero() {
        assert!(report.handed_back + report.cancelled > 0, "nothing was under way: {report}");
    }
}

/// Looks a bounded number of times: the other end of a socket learns of its end a moment later.
async fn demand_no_sockets(server: &SimulatorServer) {
    for _ in 0..200 {
        if server.open_connections() == 0 {
            return;
        }
        pause(Duration::from_millis(10)).await;
    }
    panic!("{} sockets stay open", server.open_connections());
}

/// Asks through another backend, because the first is closed; the clock has not moved since.
async fn demand_no_leases(site: &Site) {
    let observer = site.builder().await.client_only().await.unwrap();
    let operator = observer.operator();
    let stats = operator.queue_stats().await.unwrap();
    assert_eq!((stats.leased, stats.dead), (0, 0));
    let waiting = operator.jobs(JobState::Waiting, &PageRequest::first(PageLimit::most())).await.unwrap().items;
    assert!(!waiting.is_empty(), "nothing was left to do");
    for job in waiting {
        assert_eq!((job.counts.attempts, job.counts.rescues), (0, 0), "{job:?}");
    }
    drop(observer.shutdown(Duration::from_secs(1)).await);
}

async fn story(deadline: Duration) {
    let (simulator, site) = (slow_cloud(), Site::default());
    let server = simulator.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    shut_down_under_load(&site, &simulator, &server, deadline).await;

    let again = start(&site, &server).await;
    site.until_settled(&again, TENANT).await;
    truth::demand_agreement(&again, &[TENANT], &simulator.ledger()).await;
    assert_eq!(simulator.ledger().live(PROJECT.0).count(), ORDERS);
    assert!(again.shutdown(Duration::from_secs(5)).await.is_clean());
    drop(again);
    demand_no_sockets(&server).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_with_ten_seconds_leaves_nothing_behind_and_all_orders_converge_later() {
    story(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_with_300_ms_leaves_nothing_behind_and_all_orders_converge_later() {
    story(Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_without_time_leaves_nothing_behind_and_all_orders_converge_later() {
    story(Duration::ZERO).await;
}

#[tokio::test]
async fn a_second_shutdown_says_nothing_untrue_of_the_store_that_the_first_has_closed() {
    let ((lines, _on_this_thread), site) = (Lines::listen(), Site::default());
    let provisioner = site.builder().await.provider(MemoryProvider::default()).start().await.unwrap();
    for _ in 0..2 {
        drop(provisioner.shutdown(Duration::from_secs(5)).await);
    }
    assert_eq!(lines.told("stay unsealed"), 0, "{}", lines.text());
}

#[tokio::test(start_paused = true)]
async fn workers_that_end_with_the_last_clone_and_without_a_shutdown_are_told_of() {
    let (lines, _on_this_thread) = Lines::listen();
    let told = || lines.told("dropped without a shutdown");
    let working =
        async || Provisioner::builder(memory_backend()).provider(MemoryProvider::default()).start().await.unwrap();

    let provisioner = working().await;
    let (tenant, clone) = (provisioner.tenant(TENANT), provisioner.clone());
    drop(provisioner);
    assert_eq!(told(), 0, "a clone keeps them");
    drop(clone);
    assert_eq!(told(), 1, "{}", lines.text());
    assert!(tenant.create_server(spec("web-1")).await.is_ok(), "it is accepted, and nobody here works on it");

    let ended = working().await;
    drop(ended.shutdown(Duration::ZERO).await);
    drop(ended);
    drop(Provisioner::builder(memory_backend()).client_only().await.unwrap());
    assert_eq!(told(), 1, "ended in order, and without workers: {}", lines.text());
}
