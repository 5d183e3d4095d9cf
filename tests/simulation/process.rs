//! Processes: each starts the product as a host does, dies or is stopped as the plan says, and starts again.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, MemoryCache};
use vip_core::model::{AccountId, ServerId, Timing};
use vip_core::ports::Backend;
use vip_core::worker::WorkerConfig;

use crate::cloud::Cloud;
use crate::faulty::{Delivered, FaultyCache, FaultyProvider, FaultyQueue, FaultySink, FaultyStore, Link, Reads};
use crate::incarnation::{End, Incarnation};
use crate::layout::Layout;
use crate::observed::{History, ObservedQueue, ObservedStore};
use crate::world::{Draws, SkewedClock, World, pause};

/// Time until a dead process is started again.
const RESTART: Duration = Duration::from_millis(100);
/// Time that the last shutdown has.
const GOODBYE: Duration = Duration::from_secs(5);

/// Is what all processes share.
#[derive(Debug, Clone)]
pub struct Site {
    /// The world.
    pub world: Arc<World>,
    /// Store and queue.
    pub memory: MemoryBackend,
    /// What reached them.
    pub history: History,
    /// The accounts, in order of preference.
    pub clouds: Vec<(AccountId, Cloud)>,
    /// Durations.
    pub timing: Timing,
    /// Last answers of the store, for stale reads.
    pub reads: Reads,
    /// Seed of what processes draw.
    pub seed: u64,
    /// Servers that each tenant may have.
    pub quota: Option<u32>,
    /// Dead jobs that there must be in the end.
    pub dead_jobs: u64,
    /// Whether audit records are delivered, and a cache is shared.
    pub has_sink: bool,
    /// What the audit sink was given.
    pub delivered: Delivered,
    /// The cache that processes share.
    pub cache: MemoryCache,
    /// Orders that a restored store knows nothing of.
    pub forgotten: Arc<Mutex<BTreeSet<ServerId>>>,
    /// Another project, that a wrong token opens.
    pub other_project: Cloud,
    /// Servers without a record that must stay: a restored backup knows nothing of them.
    pub unrecorded: Arc<Mutex<BTreeSet<String>>>,
    misled: Arc<Mutex<BTreeSet<usize>>>,
    lives: Arc<AtomicU32>,
}

impl Site {
    /// Makes a site.
    #[must_use]
    pub fn new(world: Arc<World>, memory: MemoryBackend, layout: Layout, seed: u64) -> Self {
        let history = History::new(world.clone(), layout.clouds.clone());
        let timing = crate::run::timing(layout.sweep_interval);
        let cache = MemoryCache::new(Arc::new(world.clock()));
        Self {
            world,
            memory,
            history,
            clouds: layout.clouds,
            timing,
            reads: Reads::default(),
            seed,
            quota: layout.quota,
            dead_jobs: layout.dead_jobs,
            has_sink: layout.has_sink,
            delivered: Delivered::default(),
            cache,
            forgotten: Arc::default(),
            other_project: Cloud::new("other"),
            unrecorded: Arc::default(),
            misled: Arc::default(),
            lives: Arc::default(),
        }
    }

    /// Gives a process, from its next life on, a token of another project.
    pub fn mislead(&self, place: usize) {
        self.misled.lock().unwrap().insert(place);
    }

    /// Makes a product without workers, on ports that do not fail: an operator's.
    pub async fn client_only(&self) -> Provisioner {
        let number = self.lives.fetch_add(1, Ordering::Relaxed);
        Provisioner::builder(self.memory.clone())
            .timing(self.timing.clone())
            .clock(self.world.clock())
            .randomness(self.draws(number))
            .client_only()
            .await
            .unwrap()
    }

    fn draws(&self, number: u32) -> Draws {
        Draws::new(self.seed.wrapping_add(u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn cloud_of(&self, place: usize, usual: &Cloud) -> Cloud {
        if self.misled.lock().unwrap().contains(&place) { self.other_project.clone() } else { usual.clone() }
    }

    #[cfg(not(vip_seeded_bugs))]
    fn truth(&self, _ahead: Duration) -> Backend {
        Backend::from(self.memory.clone())
    }

    #[cfg(vip_seeded_bugs)]
    fn truth(&self, ahead: Duration) -> Backend {
        self.memory.ports_with_local_clock(Arc::new(SkewedClock { clock: self.world.clock(), ahead }))
    }

    async fn start(&self, life: &Arc<Incarnation>, place: usize, ahead: Duration) -> Option<Provisioner> {
        let link = Link { world: self.world.clone(), life: life.clone() };
        let truth = self.truth(ahead);
        let store = Arc::new(ObservedStore::new(self.history.clone(), truth.store));
        let queue = Arc::new(ObservedQueue::new(self.history.clone(), truth.queue));
        let store = FaultyStore::new(link.clone(), store, self.reads.clone());
        let backend = Backend::new(Arc::new(store), Arc::new(FaultyQueue::new(link.clone(), queue)));
        let mut config = WorkerConfig::default();
        config.concurrency = 4;
        // So that two claims are under way at once.
        config.claim_most = 2;
        config.poll_interval = Duration::from_secs(2);
        config.reap_interval = Duration::from_millis(700);
        config.retry_first = Duration::from_millis(50);
        config.retry_most = Duration::from_millis(500);
        let mut builder = Provisioner::builder(backend)
            .timing(self.timing.clone())
            .worker(config)
            .clock(SkewedClock { clock: self.world.clock(), ahead })
            .randomness(self.draws(life.number));
        if self.has_sink {
            builder = builder.audit_sink(FaultySink::new(link.clone(), self.delivered.clone()));
            builder = builder.cache(FaultyCache::new(link.clone(), self.cache.clone()));
        }
        if let Some(quota) = self.quota {
            builder = builder.quota(quota);
        }
        for (account, cloud) in &self.clouds {
            builder = builder.account(account.clone(), FaultyProvider::new(link.clone(), self.cloud_of(place, cloud)));
        }
        AssertUnwindSafe(builder.start()).catch_unwind().await.ok()?.ok()
    }

    /// Lives one life after the other until told to stop.
    async fn live(self, slot: watch::Sender<Slot>, place: usize, ahead: Duration) {
        loop {
            let life = Arc::new(Incarnation::new(self.lives.fetch_add(1, Ordering::Relaxed)));
            if slot.borrow().stops {
                return;
            }
            slot.send_modify(|slot| slot.life = Some(life.clone()));
            let started = tokio::select! {
                biased;
                _ = life.ended() => None,
                started = self.start(&life, place, ahead) => started,
            };
            if let Some(provisioner) = started {
                slot.send_modify(|slot| slot.provisioner = Some(provisioner.clone()));
                let end = tokio::select! {
                    biased;
                    end = life.ended() => end,
                    // What a host does when a part that is needed cannot be kept up.
                    _ = provisioner.failed() => End::Cancelled,
                };
                slot.send_modify(|slot| slot.provisioner = None);
                let deadline = if end == End::Stopped { GOODBYE } else { Duration::ZERO };
                tokio::select! {
                    biased;
                    () = life.crashed() => {}
                    report = AssertUnwindSafe(provisioner.shutdown(deadline)).catch_unwind(), if end != End::Crashed => {
                        match report.map(|report| report.tasks_left) {
                            Ok(0) => {}
                            Ok(left) => self.world.violated(format!("P8: {left} tasks left by a shutdown")),
                            Err(_panic) => self.world.violated("P8: a shutdown panicked"),
                        }
                    }
                }
            }
            // Whatever of this life is still under way may act no more.
            life.end(End::Crashed);
            pause(RESTART).await;
        }
    }
}

/// Shows what a process is now.
#[derive(Debug, Default)]
pub struct Slot {
    provisioner: Option<Provisioner>,
    life: Option<Arc<Incarnation>>,
    stops: bool,
}

/// Is a number of processes.
#[derive(Debug)]
pub struct Processes {
    slots: Vec<watch::Sender<Slot>>,
    tasks: JoinSet<()>,
}

impl Processes {
    /// Starts as many processes as there are skews.
    #[must_use]
    pub fn start(site: &Site, skews: &[Duration]) -> Self {
        let mut tasks = JoinSet::new();
        let slots = skews.iter().enumerate().map(|(place, ahead)| {
            let slot = watch::Sender::new(Slot::default());
            tasks.spawn(site.clone().live(slot.clone(), place, *ahead));
            slot
        });
        Self { slots: slots.collect(), tasks }
    }

    /// Waits for a process to be up, and returns it and its life.
    pub async fn up(&self, which: usize) -> (Provisioner, Arc<Incarnation>) {
        let mut slot = self.slots[which % self.slots.len()].subscribe();
        let up = slot.wait_for(|slot| slot.provisioner.is_some()).await.expect("slots live as long as processes");
        (up.provisioner.clone().unwrap(), up.life.clone().unwrap())
    }

    /// Ends the present life of a process.
    pub fn end(&self, which: usize, how: End) {
        if let Some(life) = &self.slots[which % self.slots.len()].borrow().life {
            life.end(how);
        }
    }

    /// Ends the present lives of all processes.
    pub fn end_all(&self, how: End) {
        (0..self.slots.len()).for_each(|which| self.end(which, how));
    }

    /// Waits until no process stands still.
    pub async fn moving(&self) {
        for slot in &self.slots {
            let life = slot.borrow().life.clone();
            if let Some(life) = life {
                life.moving().await;
            }
        }
    }

    /// Ends all, in order.
    pub async fn stop(&mut self) {
        for slot in &self.slots {
            slot.send_modify(|slot| slot.stops = true);
            if let Some(life) = &slot.borrow().life {
                life.end(End::Stopped);
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a process of the simulation does not panic");
        }
    }
}
