//! What the loops and the attempts of one worker share; it survives a panic in any of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::attempt::{Hold, Signals};
use super::config::WorkerConfig;
use super::counters::Counters;
use super::registry::Registry;
use crate::model::{AccountId, JobKind, Timing};
use crate::ports::{JobQueue, LeaseRef, Randomness, Settlement};

/// Most halvings of a batch of settlements: then each goes alone.
const HALVINGS_MOST: u32 = 9;

/// Is the state of a worker.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) queue: Arc<dyn JobQueue>,
    pub(super) registry: Registry,
    pub(super) kinds: Vec<JobKind>,
    pub(super) config: WorkerConfig,
    pub(super) timing: Timing,
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) signals: Arc<Signals>,
    pub(super) attempts: TaskTracker,
    pub(super) holds: Holds,
    pub(super) outbox: Outbox,
    pub(super) counters: Counters,
    /// Rings when an attempt has ended and there is room again.
    pub(super) room: Notify,
    /// Calls of the queue in a row that had no answer.
    pub(super) silence: AtomicU32,
}

impl Core {
    /// Returns how many more attempts may begin.
    pub(super) fn room(&self) -> u32 {
        let running = u32::try_from(self.counters.running()).unwrap_or(u32::MAX);
        self.config.concurrency.saturating_sub(running)
    }

    /// Claims nothing until a job that is due after `delay` was in reach of every other worker's polls.
    pub(super) fn leave_to_others(&self, account: Option<AccountId>, delay: Duration) {
        self.signals.rest.begin(account, delay, self.config.poll_interval);
    }

    /// Returns how long other workers' claims come first; none when they do not.
    pub(super) fn others_come_first(&self) -> Option<Duration> {
        self.signals.rest.left()
    }

    pub(super) fn heard(&self) {
        self.silence.store(0, Ordering::SeqCst);
    }

    /// Notes a call without an answer; returns how many there were in a row before it.
    pub(super) fn not_heard(&self) -> u32 {
        self.silence.fetch_add(1, Ordering::SeqCst)
    }
}

/// Holds all leases of the worker until they are settled.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<BTreeMap<LeaseRef, Arc<Hold>>>);

impl Holds {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseRef, Arc<Hold>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, hold: Arc<Hold>) {
        self.lock().insert(hold.reference(), hold);
    }

    pub(super) fn remove(&self, lease: &LeaseRef) {
        self.lock().remove(lease);
    }

    pub(super) fn contains(&self, lease: &LeaseRef) -> bool {
        self.lock().contains_key(lease)
    }

    /// Returns the leases that are worth a heartbeat.
    pub(super) fn alive(&self) -> Vec<Arc<Hold>> {
        self.lock().values().filter(|hold| hold.left().is_some()).cloned().collect()
    }
}

/// Is a settlement that the queue has not answered.
#[derive(Debug, Clone)]
pub(super) struct Unsettled {
    pub(super) settlement: Settlement,
    pub(super) since: Instant,
}

/// Holds settlements until the queue has answered them: they leave it by their answer, not by being sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<VecDeque<Unsettled>>,
    /// How often the size of a batch was halved: one settlement that the queue cannot take now must not hold up all others.
    halvings: AtomicU32,
    /// Rings when there is something to look at.
    pub(super) bell: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Unsettled>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, and returns how many there are; the caller rings when it has counted the end of the attempt.
    pub(super) fn push(&self, settlement: Settlement) -> usize {
        let mut waiting = self.lock();
        waiting.push_back(Unsettled { settlement, since: Instant::now() });
        waiting.len()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns since when the oldest waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().front().map(|unsettled| unsettled.since)
    }

    /// Shows those whose turn it is, at most so many, and fewer after batches without an answer.
    pub(super) fn first(&self, most: usize) -> Vec<Unsettled> {
        let most = most.checked_shr(self.halvings.load(Ordering::SeqCst)).unwrap_or(0).max(1);
        self.lock().iter().take(most).cloned().collect()
    }

    /// Notes that a batch was answered.
    pub(super) fn answered(&self) {
        let halvings = self.halvings.load(Ordering::SeqCst);
        self.halvings.store(halvings.saturating_sub(1), Ordering::SeqCst);
    }

    /// Puts a batch without an answer behind all others, and makes the next ones smaller.
    pub(super) fn put_back(&self, batch: &[Unsettled]) {
        let halvings = self.halvings.load(Ordering::SeqCst);
        self.halvings.store((halvings + 1).min(HALVINGS_MOST), Ordering::SeqCst);
        let sent: BTreeSet<&LeaseRef> = batch.iter().map(|unsettled| &unsettled.settlement.lease).collect();
        let mut waiting = self.lock();
        let (back, mut front): (VecDeque<_>, VecDeque<_>) =
            waiting.drain(..).partition(|unsettled| sent.contains(&unsettled.settlement.lease));
        front.extend(back);
        *waiting = front;
    }

    /// Takes out what was answered or given up; says whether it was still there.
    pub(super) fn remove(&self, lease: &LeaseRef) -> bool {
        let mut waiting = self.lock();
        let place = waiting.iter().position(|unsettled| &unsettled.settlement.lease == lease);
        place.and_then(|place| waiting.remove(place)).is_some()
    }
}
