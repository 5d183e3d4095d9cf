//! Random schedules: several processes with clocks apart, several tenants, faults by chance, restarts, a wiped queue.

use std::time::Duration;

use std::sync::Arc;

use tokio::time::{Instant, timeout};
use uuid::Uuid;
use vip_core::memory::MemoryBackend;
use vip_core::model::{AccountId, InstallationId};

use crate::cloud::Cloud;
use crate::incarnation::End;
use crate::oracle;
use crate::orders::{Accepted, Client, spec};
use crate::plan::Plan;
use crate::process::{Processes, Site};
use crate::run::{Outcome, Trace, collect, paused, timing};
use crate::world::{LATE_MOST, Rates, STALL, Scope, World, pause};

/// Time in which all orders must converge after the faults.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes a random run.
#[must_use]
pub fn run(seed: u64, trace: Trace) -> Outcome {
    paused(simulate(seed, trace))
}

async fn simulate(seed: u64, trace: Trace) -> Outcome {
    let begin = Instant::now();
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5EED);
    let rates = Rates { share: f64::from(rng.u32(0..=12)) / 100.0, processes: rng.bool() };
    let world = World::new(seed, Plan::default(), Scope::Sweep, rates);
    if trace != Trace::Off {
        world.trace(trace == Trace::Lines);
    }
    let installation = InstallationId::from_uuid(Uuid::from_u128(u128::from(seed) + 1));
    let memory = MemoryBackend::new(Arc::new(world.clock()), installation);
    let clouds = vec![(AccountId::default_account(), Cloud::new("token"))];
    let site = Site::new(world.clone(), memory, clouds, timing(Duration::from_secs(3)), seed);
    let workers = rng.usize(1..=4);
    let skews: Vec<Duration> = (0..workers).map(|_| Duration::from_secs(rng.u64(0..=120))).collect();
    let mut processes = Processes::start(&site, &skews);

    let mut accepted = Vec::new();
    let given = timeout(PATIENCE, give(&site, &processes, &mut rng, &mut accepted)).await;
    if given.is_err() {
        world.violated("O4: the commands were not answered in time");
    }
    pause(Duration::from_millis(rng.u64(0..3_000))).await;
    world.heal();
    pause(LATE_MOST.max(STALL)).await;
    if timeout(PATIENCE, oracle::ended(&site, &accepted)).await.is_err() {
        world.violated(format!("O4: not converged:{}", oracle::describe(&site, &accepted).await));
    }
    processes.stop().await;
    let mut outcome = collect(&site, &accepted).await;
    outcome.took = begin.elapsed();
    outcome
}

async fn give(site: &Site, processes: &Processes, rng: &mut fastrand::Rng, accepted: &mut Vec<Accepted>) {
    let tenants = ["acme", "globex", "initech"];
    let (tenants, orders) = (rng.usize(1..=tenants.len()), rng.usize(1..=10));
    let names = ["acme", "globex", "initech"];
    for number in 0..orders {
        let client = Client { processes, first: rng.usize(0..4) };
        let tenant = names[number % tenants];
        let mut order = client.create(tenant, &format!("k{number}"), &spec(&format!("web-{number}"))).await;
        if rng.u32(0..3) == 0 {
            pause(Duration::from_millis(rng.u64(0..1_500))).await;
            client.delete(&mut order).await;
        }
        accepted.push(order);
        match rng.u32(0..40) {
            0 => processes.end(rng.usize(0..4), End::Crashed),
            1 => processes.end(rng.usize(0..4), End::Cancelled),
            2 => {
                site.history.queue_lost();
                site.memory.lose_jobs();
            }
            _ => pause(Duration::from_millis(rng.u64(0..200))).await,
        }
    }
}
