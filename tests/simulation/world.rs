//! One run's world: its seed, its plan of faults, what happened so far, and what is still to happen.

use std::fmt::Debug;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use vip_core::memory::VirtualClock;
use vip_core::model::Timestamp;
use vip_core::ports::{Clock, Randomness};

use crate::method::{Kind, Method};
use crate::plan::{Fault, Plan};

/// How long a lasting fault lasts.
const LASTS: Duration = Duration::from_secs(3);
/// Most calls that one lasting fault hits: fewer panics than burn all attempts of a job.
const LASTS_CALLS: u32 = 8;
/// How long a stalled process stands still: longer than a lease, and with the lag of reads shorter than request deadline
/// and landing allowance.
pub const STALL: Duration = Duration::from_millis(2_500);
/// Longest delay of a late effect: within the landing allowance.
pub const LATE_MOST: Duration = Duration::from_millis(1_900);
/// Time between two looks whether everything has landed.
const LANDED_LOOK: Duration = Duration::from_millis(50);
/// Most calls of a run; whatever needs more turns in circles. The longest run without a seeded bug made a tenth of them.
const CALLS_MOST: u64 = 100_000;
/// When every run begins, by its own clock.
const BEGIN: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// Says which calls the plan counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those on an order's path.
    Order,
    /// Those of sweeps and token checks too.
    Sweep,
}

/// Is how often calls go wrong by chance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Share of calls that go wrong.
    pub share: f64,
    /// Whether processes may crash, stall or be cancelled.
    pub processes: bool,
}

/// Is what a run is made of.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    late: Mutex<JoinSet<()>>,
    late_writes: Mutex<JoinSet<()>>,
    clock: VirtualClock,
    origin: Instant,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    plan: Plan,
    scope: Scope,
    rates: Rates,
    ordinal: u32,
    methods: Vec<Method>,
    lasting: Vec<Lasting>,
    fired: Vec<(Method, Kind)>,
    path: DefaultHasher,
    trace: Option<DefaultHasher>,
    lines: Option<Vec<String>>,
    calls: u64,
    violations: Vec<String>,
    /// Whether the process that claims next stands still before it acts.
    suspends: bool,
}

#[derive(Debug, Clone, Copy)]
struct Lasting {
    method: Method,
    kind: Kind,
    until: Instant,
    calls: u32,
}

impl World {
    /// Makes a world.
    #[must_use]
    pub fn new(seed: u64, plan: Plan, scope: Scope, rates: Rates) -> Arc<Self> {
        let state = State {
            rng: fastrand::Rng::with_seed(seed),
            plan,
            scope,
            rates,
            ordinal: 0,
            methods: Vec::new(),
            lasting: Vec::new(),
            fired: Vec::new(),
            path: DefaultHasher::new(),
            trace: None,
            lines: None,
            calls: 0,
            violations: Vec::new(),
            suspends: false,
        };
        let clock = VirtualClock::new(BEGIN);
        let late = Mutex::default();
        Arc::new(Self { state: Mutex::new(state), late, late_writes: Mutex::default(), clock, origin: Instant::now() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the clock that store, queue and cloud go by.
    #[must_use]
    pub const fn clock(&self) -> VirtualClock {
        self.clock
    }

    /// Notes every call from now on, and keeps the lines if asked to.
    pub fn trace(&self, lines: bool) {
        let mut state = self.lock();
        state.trace = Some(DefaultHasher::new());
        state.lines = lines.then(Vec::new);
    }

    /// Returns the hash of all that was noted, and the lines.
    #[must_use]
    pub fn traced(&self) -> (u64, Vec<String>) {
        let state = self.lock();
        (state.trace.as_ref().map_or(0, Hasher::finish), state.lines.clone().unwrap_or_default())
    }

    /// Notes a call.
    pub fn note(&self, process: u32, method: Method, args: &dyn Debug, answer: &dyn Debug) {
        let at = self.origin.elapsed();
        let mut state = self.lock();
        if let Some(trace) = &mut state.trace {
            let line = format!("{at:?} {process} {} {args:?} -> {answer:?}", method.as_str());
            line.hash(trace);
            if let Some(lines) = &mut state.lines {
                lines.push(line);
            }
        }
    }

    /// Says whether calls are noted.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.lock().trace.is_some()
    }

    /// Notes how a call on the path ended, to compare paths of runs.
    pub fn walked(&self, method: Method, is_ok: bool) {
        let mut state = self.lock();
        state.calls += 1;
        if state.calls == CALLS_MOST {
            state.violations.push(format!("O4: more than {CALLS_MOST} calls: the run turns in circles"));
        }
        if method.is_on_the_path() {
            (method, is_ok).hash(&mut state.path);
        }
    }

    /// Decides whether the call that begins now goes wrong.
    pub fn fault(&self, method: Method) -> Option<Kind> {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let lasting = state.lasting.iter_mut().find(|it| it.method == method && it.until > now && it.calls > 0);
        let mut kind = lasting.map(|it| {
            it.calls -= 1;
            it.kind
        });
        let counted = method.is_on_the_path() || (state.scope == Scope::Sweep && method.is_of_the_sweep());
        if counted {
            let planned = state.plan.0.get(&state.ordinal).copied().filter(|fault| method.can(fault.kind));
            state.ordinal += 1;
            state.methods.push(method);
            if let Some(Fault { kind: planned, lasting }) = planned {
                kind = Some(planned);
                if lasting {
                    let calls = if matches!(planned, Kind::Panic | Kind::Malformed) { 2 } else { LASTS_CALLS };
                    state.lasting.push(Lasting { method, kind: planned, until: now + LASTS, calls });
                }
            }
        }
        if kind.is_none() && state.rates.share > 0.0 && state.rng.f64() < state.rates.share {
            kind = by_chance(&mut state.rng, method, state.rates);
        }
        if let Some(kind) = kind {
            state.fired.push((method, kind));
        }
        kind
    }

    /// Says whether a run has made more calls than any run needs.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.lock().calls >= CALLS_MOST
    }

    /// Lets the process that claims a server's job next stand still before it acts.
    pub fn suspend_next(&self) {
        self.lock().suspends = true;
    }

    /// Says whether the process that has just claimed stands still now; says so once.
    #[must_use]
    pub fn suspends(&self) -> bool {
        std::mem::take(&mut self.lock().suspends)
    }

    /// Ends all faults.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.rates = Rates::default();
        state.plan = Plan::default();
        state.lasting.clear();
    }

    /// Returns a delay of 1 to 20 ms.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.lock().rng.u64(1..=20))
    }

    /// Returns a number below `end`.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.lock().rng.u64(0..end.max(1))
    }

    /// Lets something happen after a while, whoever is alive then.
    pub fn later(&self, after: Duration, effect: impl Future<Output = ()> + Send + 'static) {
        let at = Instant::now() + after;
        self.late.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            sleep_until(at).await;
            effect.await;
        });
    }

    /// Lets a write of store or queue happen after a while, whoever is alive then.
    pub fn write_later(&self, after: Duration, effect: impl Future<Output = ()> + Send + 'static) {
        let at = Instant::now() + after;
        self.late_writes.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            sleep_until(at).await;
            effect.await;
        });
    }

    /// Lets no write arrive that was on its way to store or queue.
    pub fn forget_writes(&self) {
        self.late_writes.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Returns a random while within the landing allowance.
    #[must_use]
    pub fn lateness(&self) -> Duration {
        let most = u64::try_from(LATE_MOST.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(50 + self.below(most - 50))
    }

    /// Waits until nothing is in the air any more.
    pub async fn landed(&self) {
        let is_empty = |set: &Mutex<JoinSet<()>>| {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            while set.try_join_next().is_some() {}
            set.is_empty()
        };
        while !is_empty(&self.late) || !is_empty(&self.late_writes) {
            sleep(LANDED_LOOK).await;
        }
    }

    /// Notes a broken promise.
    pub fn violated(&self, what: impl Into<String>) {
        self.lock().violations.push(what.into());
    }

    /// Returns the broken promises.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Returns what went wrong, in order.
    #[must_use]
    pub fn fired(&self) -> Vec<(Method, Kind)> {
        self.lock().fired.clone()
    }

    /// Returns the calls that the plan counted, in order.
    #[must_use]
    pub fn counted(&self) -> Vec<Method> {
        self.lock().methods.clone()
    }

    /// Returns how many calls there were in all, and the hash of the path.
    #[must_use]
    pub fn walk(&self) -> (u64, u64) {
        let state = self.lock();
        (state.calls, state.path.finish())
    }
}

fn by_chance(rng: &mut fastrand::Rng, method: Method, rates: Rates) -> Option<Kind> {
    let kind = *rng.choice(Kind::ALL)?;
    let of_process = matches!(
        kind,
        Kind::CrashBefore | Kind::CrashAfter | Kind::Cancel | Kind::Stall | Kind::Panic | Kind::Malformed
    );
    // A process that dies at every other call gets nowhere, and a panic burns an attempt.
    let rare = !of_process || (rates.processes && rng.f64() < 0.1);
    (method.can(kind) && rare).then_some(kind)
}

/// Waits, for a call that takes its time.
pub async fn pause(time: Duration) {
    sleep(time).await;
}

/// Is the clock of one process: the world's, a little off.
#[derive(Debug, Clone, Copy)]
pub struct SkewedClock {
    /// The world's.
    pub clock: VirtualClock,
    /// How far ahead it is.
    pub ahead: Duration,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        self.clock.now().plus(self.ahead)
    }
}

/// Draws from a seed of its own, so that what one process draws does not change what another draws.
#[derive(Debug)]
pub struct Draws(Mutex<fastrand::Rng>);

impl Draws {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Randomness for Draws {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }
}
