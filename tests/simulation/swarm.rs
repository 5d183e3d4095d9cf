//! Random schedules: several processes with clocks apart, several tenants, faults by chance, restarts, a wiped queue, a
//! restored backup.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};
use uuid::Uuid;
use vip_core::memory::{MemoryBackend, MemoryBackup};
use vip_core::model::{AccountId, InstallationId};

use crate::cloud::Cloud;
use crate::incarnation::End;
use crate::layout::Layout;
use crate::mishaps;
use crate::oracle;
use crate::orders::{Accepted, Client, spec};
use crate::plan::Plan;
use crate::process::{Processes, Site};
use crate::run::{Outcome, Trace, caught, collect, paused, settle};
use crate::world::{Rates, Scope, World, pause};

/// Time in which all orders must converge after the faults.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes a random run.
#[must_use]
pub fn run(seed: u64, trace: Trace) -> Outcome {
    caught(|| paused(simulate(seed, trace)))
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
    let workers = rng.usize(1..=4);
    let skews: Vec<Duration> = (0..workers).map(|_| Duration::from_secs(rng.u64(0..=120))).collect();
    let mut layout = Layout::of_schedules(skews.clone());
    layout.has_sink = rng.u32(0..3) == 0;
    if rng.u32(0..4) == 0 {
        layout.clouds[0].1.leave_one("here");
        layout.clouds.push((AccountId::new("second").unwrap(), Cloud::new("second")));
    }
    if rng.u32(0..4) == 0 {
        layout.quota = Some(rng.u32(1..=3));
    }
    let site = Site::new(world.clone(), memory, layout, seed);
    let mut processes = Processes::start(&site, &skews);

    let mut accepted = Vec::new();
    let given = timeout(PATIENCE, give(&site, &processes, &mut rng, &mut accepted)).await;
    if given.is_err() {
        world.violated("O4: the commands were not answered in time");
    }
    pause(Duration::from_millis(rng.u64(0..3_000))).await;
    world.heal();
    settle(&world, &processes).await;
    if timeout(PATIENCE, oracle::ended(&site, &accepted)).await.is_err() {
        world.violated(format!("O4: not converged:{}", oracle::describe(&site, &accepted).await));
    }
    timeout(PATIENCE, oracle::tidied(&site, &accepted)).await.unwrap_or_default();
    // Whoever ended while a sink failed has left it the rest: the next process delivers it.
    drop(processes.up(0).await);
    processes.stop().await;
    let mut outcome = collect(&site, &accepted).await;
    outcome.took = begin.elapsed();
    outcome
}

async fn give(site: &Site, processes: &Processes, rng: &mut fastrand::Rng, accepted: &mut Vec<Accepted>) {
    let tenants = ["acme", "globex", "initech"];
    let (tenants, orders) = (rng.usize(1..=tenants.len()), rng.usize(1..=10));
    let names = ["acme", "globex", "initech"];
    let backup_at = if rng.u32(0..8) == 0 { rng.usize(0..orders) } else { orders };
    let mut backup = None;
    for number in 0..orders {
        let client = Client { processes, first: rng.usize(0..4) };
        let tenant = names[number % tenants];
        let order = client.create_within_quota(tenant, &format!("k{number}"), &spec(&format!("web-{number}"))).await;
        // Who has as many as allowed gets no more; the oracle counts.
        let Some(mut order) = order else { continue };
        if rng.u32(0..3) == 0 {
            pause(Duration::from_millis(rng.u64(0..1_500))).await;
            client.delete(&mut order).await;
        }
        accepted.push(order);
        if number == backup_at {
            backup = Some((site.memory.backup(), accepted.len()));
        }
        match rng.u32(0..40) {
            0 => processes.end(rng.usize(0..4), End::Crashed),
            1 => processes.end(rng.usize(0..4), End::Cancelled),
            2 => {
                site.history.queue_lost();
                site.memory.lose_jobs();
            }
            3..10 if site.has_sink => ask_for_the_catalog(site, processes, rng.usize(0..4)).await,
            _ => pause(Duration::from_millis(rng.u64(0..200))).await,
        }
    }
    if let Some((backup, known)) = backup {
        restore(site, processes, accepted, &backup, known).await;
    }
}

/// Puts a backup back: later orders are forgotten, and deletes are given once more.
async fn restore(
    site: &Site,
    processes: &Processes,
    accepted: &mut Vec<Accepted>,
    backup: &MemoryBackup,
    known: usize,
) {
    processes.end_all(End::Crashed);
    mishaps::restore(site, backup);
    let forgotten = accepted.split_off(known);
    site.forgotten.lock().unwrap().extend(forgotten.iter().map(|order| order.server));
    mishaps::mark_restored(site, accepted).await;
    let client = Client { processes, first: 0 };
    for order in accepted.iter_mut().filter(|order| order.delete.is_some()) {
        client.delete(order).await;
    }
}

async fn ask_for_the_catalog(site: &Site, processes: &Processes, which: usize) {
    let (provisioner, life) = processes.up(which).await;
    let account = &site.clouds[0].0;
    tokio::select! {
        biased;
        // A catalog may be missing while its provider fails; no order waits for one. A host asks for it in a task of its own.
        catalog = AssertUnwindSafe(provisioner.catalog(account)).catch_unwind() => drop(catalog),
        _ = life.ended() => {}
    }
    tokio::select! {
        biased;
        forgotten = AssertUnwindSafe(async { provisioner.operator().forget_catalog(account).await }).catch_unwind() => {
            drop(forgotten);
        }
        _ = life.ended() => {}
    }
}
