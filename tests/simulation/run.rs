//! One run: a seed, a reference order and a plan; what broke, what was called, how it went.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;
use vip_core::memory::MemoryBackend;
use vip_core::model::{InstallationId, Timing};

use crate::layout::{Layout, NO_SWEEP};
use crate::method::{Kind, Method};
use crate::observed::Arm;
use crate::oracle;
use crate::orders::{self, Accepted, Order};
use crate::plan::Plan;
use crate::process::{Processes, Site};
use crate::world::{Rates, World, pause};

/// Time in which an order must converge, faults included, before the next sweep could help it.
const PATIENCE: Duration = Duration::from_secs(50);

/// Time in which whoever was late does what is left to do.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Is what a run is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Decides schedules, ids and delays.
    pub seed: u64,
    /// What is ordered.
    pub order: Order,
    /// What goes wrong.
    pub plan: Plan,
}

impl fmt::Display for Setup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "seed={} order={} faults={}", self.seed, self.order.as_str(), self.plan)
    }
}

impl std::str::FromStr for Setup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut setup = Self { seed: 0, order: Order::Create, plan: Plan::default() };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("seed", seed)) => setup.seed = seed.parse().map_err(|error| format!("{word}: {error}"))?,
                Some(("faults", faults)) => setup.plan = faults.parse()?,
                Some(("order", name)) => {
                    let found = Order::every().find(|order| order.as_str() == name);
                    setup.order = found.ok_or_else(|| format!("no order is named {name}"))?;
                }
                _ => return Err(format!("neither seed=, order= nor faults=: {word}")),
            }
        }
        Ok(setup)
    }
}

/// Says how a run went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Broken promises.
    pub violations: Vec<String>,
    /// What went wrong as planned, in order.
    pub fired: Vec<(Method, Kind)>,
    /// Calls that the plan counts, in order.
    pub counted: Vec<Method>,
    /// All calls.
    pub calls: u64,
    /// Hash of the calls on the path and how they ended.
    pub path: u64,
    /// Hash of all that was noted, if it was.
    pub trace: u64,
    /// What was noted, if it was.
    pub lines: Vec<String>,
    /// What commits recorded.
    pub arms: BTreeMap<Arm, u64>,
    /// Steps taken and answers absorbed; counted in the build with seeded bugs alone.
    pub reached: BTreeMap<String, u64>,
    /// Notes of waits.
    pub waits: u64,
    /// Jobs that were done.
    pub rests: u64,
    /// Where the orders ended, in words that hold for every run of this order.
    pub end_state: String,
    /// Everything that the first tenant can observe.
    pub seen_by_first: String,
    /// How long it took, by the run's own clock.
    pub took: Duration,
}

/// Says how much of a run is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// Nothing.
    Off,
    /// A hash of every call.
    Hash,
    /// Every call in words.
    Lines,
}

/// Returns sound timings in seconds, with the proportions of production.
#[must_use]
pub fn timing(sweep_interval: Duration) -> Timing {
    let millis = Duration::from_millis;
    let mut timing = Timing::default();
    timing.lease = millis(2_000);
    timing.heartbeat = millis(500);
    timing.request_deadline = millis(1_000);
    timing.commit_deadline = millis(250);
    timing.margin = millis(100);
    timing.landing_allowance = millis(3_000);
    timing.sweep_interval = sweep_interval;
    timing.sweep_grace = sweep_interval + millis(4_000);
    timing.stall_after = millis(2_500);
    timing.create_timeout = millis(60_000);
    timing.stock_patience = millis(60_000);
    timing.backoff_first = millis(50);
    timing.backoff_most = millis(1_000);
    timing.look_first = millis(300);
    timing.look_again = millis(200);
    timing.probe_first = millis(3_000);
    timing.park_recheck = millis(120_000);
    timing.max_rescues = 20;
    timing
}

/// Makes a run under the paused clock.
#[must_use]
pub fn run(setup: &Setup, trace: Trace) -> Outcome {
    caught(|| paused(simulate(setup, trace, "db")))
}

/// Makes a run in which the second tenant's data is another.
#[must_use]
pub fn run_twin(setup: &Setup, other: &str) -> Outcome {
    paused(simulate(setup, Trace::Off, other))
}

/// Makes a run, and a broken promise of a panic that nobody caught: the runs after it are made all the same.
pub fn caught(run: impl FnOnce() -> Outcome) -> Outcome {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_panic| Outcome {
        violations: vec!["P8: a panic that nobody caught ended the run".to_owned()],
        ..Outcome::default()
    })
}

/// Runs to the end under a paused clock of its own.
pub fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

async fn simulate(setup: &Setup, trace: Trace, other: &str) -> Outcome {
    let begin = Instant::now();
    let layout = Layout::of(setup.order);
    let world = World::new(setup.seed, setup.plan.clone(), layout.scope, Rates::default());
    if trace != Trace::Off {
        world.trace(trace == Trace::Lines);
    }
    let installation = InstallationId::from_uuid(Uuid::from_u128(u128::from(setup.seed) + 1));
    let memory = MemoryBackend::new(Arc::new(world.clock()), installation);
    let skews = layout.skews.clone();
    let site = Site::new(world.clone(), memory, layout, setup.seed);
    let mut processes = Processes::start(&site, &skews);

    let mut accepted = Vec::new();
    match timeout(4 * NO_SWEEP, orders::give(setup.order, &site, &processes, other)).await {
        Ok(orders) => accepted = orders,
        Err(_elapsed) => {
            world.violated("O4: the orders were not given, and those that others wait for not fulfilled, in time")
        }
    }
    if timeout(PATIENCE, oracle::ended(&site, &accepted)).await.is_err() {
        // The store's contract is a load of the present. One that shows the past may hide a wish: the record is then
        // woken by its time, through the sweep, and that is all that it costs.
        let is_excused = world.fired().contains(&(Method::Load, Kind::StaleRead));
        if !is_excused || timeout(2 * NO_SWEEP, oracle::ended(&site, &accepted)).await.is_err() {
            world.violated(format!("O4: not converged:{}", oracle::describe(&site, &accepted).await));
        }
    }
    // What is still in the air lands now; a fault that was not reached by now is not reached any more.
    settle(&world, &processes).await;
    world.heal();
    settle(&world, &processes).await;
    if timeout(PATIENCE, oracle::ended(&site, &accepted)).await.is_err() {
        world.violated(format!("O4: unsettled again:{}", oracle::describe(&site, &accepted).await));
    }
    // Whatever is not tidy by then is told below.
    timeout(PATIENCE, oracle::tidied(&site, &accepted)).await.unwrap_or_default();
    processes.stop().await;
    let mut outcome = collect(&site, &accepted).await;
    outcome.took = begin.elapsed();
    outcome
}

/// Waits until nothing is in the air and nobody stands still, and for what they do then.
pub async fn settle(world: &World, processes: &Processes) {
    world.landed().await;
    processes.moving().await;
    pause(AFTERMATH).await;
}

/// Demands the promises, and gathers what is known of a run that is over.
pub async fn collect(site: &Site, accepted: &[Accepted]) -> Outcome {
    let world = &site.world;
    let mut outcome = Outcome { violations: world.violations(), ..Outcome::default() };
    outcome.violations.extend(oracle::demand(site, accepted).await);
    outcome.end_state = oracle::end_state(site, accepted).await;
    outcome.seen_by_first = oracle::seen_by(site, "acme").await;
    outcome.fired = world.fired();
    outcome.counted = world.counted();
    #[cfg(vip_seeded_bugs)]
    outcome.reached.extend(vip_core::provisioning::converge::reached::take());
    (outcome.calls, outcome.path) = world.walk();
    (outcome.trace, outcome.lines) = world.traced();
    (outcome.arms, outcome.waits, outcome.rests) = site.history.arms();
    outcome
}

/// Silences the panics that plans ask for.
pub fn silence_planned_panics() {
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"simulated") {
            shown(info);
        }
    }));
}
