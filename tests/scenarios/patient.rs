//! Patient: an outage of two hours in the middle of a thousand orders, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{DEFAULT_PROJECT, DEFAULT_TOKEN, Effect, Failure, Fault, FaultRule, Simulator};
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, VirtualClock};
use vip_core::model::{InstallationId, JobState, PageLimit, PageRequest, ServerState, Timestamp};
use vip_core::ports::SeededRandomness;
use vip_tests::site::{pause, spec};
use vip_tests::truth;

use crate::cloud::TENANT;

const ORDERS: usize = 1_000;
const OUTAGE: Duration = Duration::from_secs(2 * 3600);
/// Time into the orders at which the outage begins: half of them are not there yet.
const OUTAGE_AT: Duration = Duration::from_secs(50);
/// Time between two readings of the ledger.
const STEP: Duration = Duration::from_secs(5);
/// Readings in a minute.
const MINUTE: usize = 12;
/// A fifth of the requests that come back in a minute.
const FIRST_MINUTE_MOST: u64 = 12;

/// Returns the number of the reading at a time.
fn reading(at: Duration) -> usize {
    usize::try_from(at.as_secs() / STEP.as_secs()).unwrap()
}

struct Site {
    simulator: Simulator,
    product: Provisioner,
    began: Instant,
}

async fn site() -> Site {
    let simulator = Simulator::builder()
        .create_time(Duration::from_secs(11))
        .answer_time(Duration::from_millis(100))
        .rate_limit_per_hour(3_600)
        .build();
    let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let backend = MemoryBackend::new(clock.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(7)));
    let product = Provisioner::builder(backend)
        .provider(HetznerClient::in_process(&simulator, DEFAULT_TOKEN).unwrap())
        .clock(*clock)
        .randomness(SeededRandomness::new(7))
        .start()
        .await
        .unwrap();
    Site { simulator, product, began: Instant::now() }
}

/// Orders ten servers a second.
async fn order_all(product: &Provisioner) {
    for number in 0..ORDERS {
        drop(product.tenant(TENANT).create_server(spec(format!("web-{number}"))).await.unwrap());
        pause(Duration::from_millis(100)).await;
    }
}

/// Reads every five seconds how many requests there were, until a time.
async fn watch(site: &Site, until: Duration) -> Vec<u64> {
    let mut totals = Vec::new();
    while site.began.elapsed() < until {
        totals.push(site.simulator.ledger().request_total());
        let next = site.began + STEP * u32::try_from(totals.len()).unwrap();
        pause(next.saturating_duration_since(Instant::now())).await;
    }
    totals
}

async fn burned(product: &Provisioner) -> u32 {
    let mut attempts = 0;
    for state in [JobState::Waiting, JobState::Leased, JobState::Dead] {
        let page = PageRequest::first(PageLimit::most());
        attempts +=
            product.operator().jobs(state, &page).await.unwrap().items.iter().map(|it| it.counts.attempts).sum::<u32>();
    }
    attempts
}

#[tokio::test(start_paused = true)]
async fn two_hours_without_the_provider_fail_no_order_and_it_comes_back_gently() {
    let site = site().await;
    let failing = Fault::Fail { failure: Failure::Unavailable, effect: Effect::None };
    site.simulator.add_fault(FaultRule::outage(OUTAGE_AT, OUTAGE, failing)).unwrap();
    let (from, to) = (reading(OUTAGE_AT), reading(OUTAGE_AT + OUTAGE));
    let during = async {
        pause(OUTAGE_AT + OUTAGE - Duration::from_secs(1)).await;
        burned(&site.product).await
    };
    let end = OUTAGE_AT + OUTAGE + Duration::from_secs(600);
    let ((), totals, burned_during) = tokio::join!(order_all(&site.product), watch(&site, end), during);

    let in_outage = totals[to] - totals[from];
    // Once it is noticed: never two requests within 30 s.
    let densest = (from + 2..to - 6).map(|at| totals[at + 6] - totals[at]).max().unwrap();
    let first_minute = totals[to + MINUTE] - totals[to];
    let per_minute: Vec<u64> =
        (0..9).map(|minute| totals[to + MINUTE * (minute + 1)] - totals[to + MINUTE * minute]).collect();
    println!("requests: {} before, {in_outage} during, {first_minute} in the first minute after", totals[from]);
    println!("minutes after: {per_minute:?}; at most {densest} within 30 s of the outage");

    let servers = truth::all_servers(&site.product, TENANT).await;
    let running = servers.iter().filter(|it| it.state == ServerState::Running).count();
    let ledger = site.simulator.ledger();
    let live = ledger.live(DEFAULT_PROJECT).count();
    println!("{} orders, {running} running, {live} live, {} requests in all", servers.len(), ledger.request_total());
    for count in &ledger.requests {
        println!("  {} {} {:?}: {}", count.method, count.route, count.status, count.count);
    }
    assert_eq!((servers.len(), running, live), (ORDERS, ORDERS, ORDERS));
    assert!(ledger.duplicates().is_empty() && ledger.servers.len() == ORDERS);
    assert_eq!((burned_during, burned(&site.product).await), (0, 0));
    assert_eq!(ledger.answered_with(Some(429)), 0);
    assert!(in_outage <= OUTAGE.as_secs() / 30, "{in_outage} requests during the outage");
    assert!(densest <= 1, "{densest} requests within 30 s during the outage");
    assert!(first_minute <= FIRST_MINUTE_MOST, "{first_minute} requests in the first minute after the outage");
    // At the full rate, one a second, within three minutes; what was saved up meanwhile may go at once.
    let later = per_minute[1].max(per_minute[2]);
    assert!(later >= 60, "{per_minute:?}");
}
