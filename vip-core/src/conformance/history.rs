//! Histories of 32 callers at once: what each was answered, and when, is checked against the contracts.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use tokio::task::JoinSet;

use super::fixture::{BackendFixture, claim_id, seconds};
use super::job_queue::{job, kind};
use super::samples::{accepted, change, holder, key_of, load, order, server, takeover, tenant};
use crate::model::{
    ChainHead, ChangeId, ClaimId, JobKey, Server, ServerState, Timestamp, verify_chain, verify_versions,
};
use crate::ports::{
    Backend, ClaimRequest, Guard, LeaseRef, Note, QuotaChange, Settled, Settlement, Store, StoreError, Verdict,
};

/// Callers at once.
const CALLERS: u64 = 32;
/// Calls of each of them.
const CALLS: u64 = 12;
/// Keys that they fight over.
const KEYS: u64 = 4;
/// How long leases hold in the histories.
const LEASE: u64 = 10;
/// Rounds after which a queue has to be empty, when nothing is enqueued any more.
const DRAINED_AFTER: u32 = 1000;

/// Is when a call began and ended, counted over all callers: `a.end < b.begin` means that `a` came first for sure.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: u64,
    end: u64,
}

#[derive(Debug, Clone)]
enum Event {
    Enqueued { key: String },
    Claimed { key: String, lease: LeaseRef, until: Timestamp },
    Prolonged { lease: LeaseRef },
    Settled { lease: LeaseRef },
    Reaped,
}

type History = Vec<(Span, Event)>;

#[derive(Debug)]
struct Worker {
    backend: Backend,
    ticks: Arc<AtomicU64>,
    random: Rng,
    held: Vec<LeaseRef>,
    history: History,
}

impl Worker {
    fn new(fixture: &dyn BackendFixture, ticks: &Arc<AtomicU64>, number: u64) -> Self {
        let (backend, ticks) = (fixture.backend().clone(), Arc::clone(ticks));
        Self { backend, ticks, random: Rng::with_seed(number), held: Vec::new(), history: Vec::new() }
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&mut self, begin: u64, event: Event) {
        let span = Span { begin, end: self.tick() };
        self.history.push((span, event));
    }

    async fn step(&mut self) {
        match self.random.u32(0..10) {
            0..3 => self.enqueue().await,
            3..6 => self.claim(2).await,
            6..9 => self.use_lease().await,
            _ => self.reap().await,
        }
    }

    async fn enqueue(&mut self) {
        let key = format!("key-{}", self.random.u64(0..KEYS));
        let begin = self.tick();
        self.backend.queue.enqueue(&[job(&key)]).await.unwrap();
        self.note(begin, Event::Enqueued { key });
    }

    async fn claim(&mut self, most: u32) {
        let request = ClaimRequest { kinds: vec![kind("test")], most, lease: seconds(LEASE), claim: claim_id() };
        let begin = self.tick();
        let claimed = self.backend.queue.claim(&request).await.unwrap();
        for one in claimed {
            let (key, lease) = (one.job.key.to_string(), one.lease.reference);
            self.held.push(lease);
            let until = one.job.lease_until.expect("a claimed job says until when");
            self.note(begin, Event::Claimed { key, lease, until });
        }
    }

    /// Settles or prolongs one of its leases, which may have expired or been settled before.
    async fn use_lease(&mut self) {
        let Some(lease) = self.random.choice(&self.held).copied() else { return };
        let begin = self.tick();
        if self.random.u32(0..3) == 0 {
            if self.backend.queue.heartbeat(&[lease], seconds(LEASE)).await.unwrap() == [true] {
                self.note(begin, Event::Prolonged { lease });
            }
            return;
        }
        let verdict = match self.random.u32(0..3) {
            0 => Verdict::Done,
            1 => Verdict::Release,
            _ => Verdict::Snooze { delay: seconds(1) },
        };
        if self.backend.queue.settle(&[Settlement { lease, verdict }]).await.unwrap() != [Settled::Stale] {
            self.note(begin, Event::Settled { lease });
        }
    }

    async fn reap(&mut self) {
        let begin = self.tick();
        if self.backend.queue.reap(u32::MAX, 10).await.unwrap() > 0 {
            self.note(begin, Event::Reaped);
        }
    }
}

pub async fn many_workers_never_share_a_job(fixture: &dyn BackendFixture) {
    let ticks = Arc::new(AtomicU64::new(0));
    let mut history = History::new();
    // The clock moves between the rounds only, so that each answer has one time.
    for round in 0..3 {
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let mut worker = Worker::new(fixture, &ticks, round * CALLERS + number);
            worker.held = leases(&history).map(|(_, _, lease, _)| lease).collect();
            callers.spawn(async move {
                for _ in 0..CALLS {
                    worker.step().await;
                }
                worker.history
            });
        }
        callers.join_all().await.into_iter().for_each(|part| history.extend(part));
        check_round(&history, fixture.now().await);
        fixture.advance(seconds(LEASE / 2 + 1)).await;
    }
    drain(fixture, &ticks, &mut history).await;
    check_leases(&history);
    no_wake_is_lost(&history);
}

/// Claims and settles until nothing is left.
async fn drain(fixture: &dyn BackendFixture, ticks: &Arc<AtomicU64>, history: &mut History) {
    let mut worker = Worker::new(fixture, ticks, 0);
    for _ in 0..DRAINED_AFTER {
        fixture.advance(seconds(LEASE)).await;
        fixture.queue().reap(u32::MAX, 100).await.unwrap();
        worker.claim(100).await;
        if worker.held.is_empty() {
            history.append(&mut worker.history);
            return;
        }
        for lease in worker.held.drain(..) {
            fixture.queue().settle(&[Settlement { lease, verdict: Verdict::Done }]).await.unwrap();
        }
    }
    panic!("the queue never gets empty");
}

fn leases(history: &History) -> impl Iterator<Item = (Span, &str, LeaseRef, Timestamp)> {
    history.iter().filter_map(|(span, event)| match event {
        Event::Claimed { key, lease, until } => Some((*span, key.as_str(), *lease, *until)),
        Event::Enqueued { .. } | Event::Prolonged { .. } | Event::Settled { .. } | Event::Reaped => None,
    })
}

fn settled(history: &History, wanted: LeaseRef) -> Vec<Span> {
    let is_wanted = |event: &Event| matches!(event, Event::Settled { lease } if *lease == wanted);
    history.iter().filter(|(_, event)| is_wanted(event)).map(|(span, _)| *span).collect()
}

/// Of one key, no more leases are unexpired and unsettled than one.
fn check_round(history: &History, now: Timestamp) {
    let mut live: BTreeMap<&str, LeaseRef> = BTreeMap::new();
    for (_, key, lease, until) in leases(history) {
        if until > now && settled(history, lease).is_empty() {
            let other = live.insert(key, lease);
            assert_eq!(other, None, "two unexpired leases on {key}: the other is {lease:?}");
        }
    }
}

fn check_leases(history: &History) {
    let mut claims: Vec<_> = leases(history).collect();
    claims.sort_by_key(|(_, _, lease, _)| lease.epoch);
    let epochs: BTreeSet<u64> = claims.iter().map(|(_, _, lease, _)| lease.epoch).collect();
    assert_eq!(epochs.len(), claims.len(), "an epoch is given once");
    for (at, (span, key, lease, _)) in claims.iter().enumerate() {
        assert!(settled(history, *lease).len() <= 1, "a lease ends once: {lease:?}");
        for (later, its_key, successor, _) in &claims[at + 1..] {
            assert!(later.end > span.begin, "the epoch of {successor:?} is above that of {lease:?}, which came later");
            if its_key != key {
                continue;
            }
            let used = history.iter().filter(|(_, event)| match event {
                Event::Settled { lease: used } | Event::Prolonged { lease: used } => used == lease,
                Event::Enqueued { .. } | Event::Claimed { .. } | Event::Reaped => false,
            });
            for (when, event) in used {
                assert!(when.begin < later.end, "{event:?} at {when:?}, when {successor:?} was there since {later:?}");
            }
        }
    }
}

/// Whatever was enqueued, and never cancelled, is claimed after it.
fn no_wake_is_lost(history: &History) {
    let claims: Vec<_> = leases(history).collect();
    for (span, event) in history {
        if let Event::Enqueued { key } = event {
            let is_after = claims.iter().any(|(later, its_key, ..)| its_key == key && later.end > span.begin);
            assert!(is_after, "{key} was enqueued at {span:?} and is claimed never again");
        }
    }
}

/// Is a write that a store accepted.
#[derive(Debug, Clone)]
struct Written {
    span: Span,
    server: Server,
    read: ChangeId,
    guard: Guard,
}

/// Writes to a few records as everybody does: reads, decides, commits under a guard.
async fn write(backend: Backend, records: Vec<Server>, number: u64, ticks: Arc<AtomicU64>) -> Vec<Written> {
    let (mut random, claim, mut written) = (Rng::with_seed(number), claim_id(), Vec::new());
    for _ in 0..CALLS {
        let record = random.choice(&records).unwrap();
        let mut read = load(&*backend.store, record).await.server;
        let stamp = read.stamp;
        read.state = if random.bool() { ServerState::Creating } else { ServerState::Confirming };
        let guard = match random.u32(0..6) {
            0..3 => takeover(stamp, claim, random.u64(1..1_000)),
            3..5 => holder(stamp, claim),
            _ => Guard::Command { stamp },
        };
        let begin = ticks.fetch_add(1, Ordering::SeqCst);
        let change = change(read.clone(), guard.clone());
        let is_note = random.u32(0..4) == 0 && !matches!(guard, Guard::Command { .. });
        let answer = if is_note {
            let note = Note { tenant: read.tenant.clone(), guard: guard.clone(), server: read.clone() };
            backend.store.note(&note).await.map(|()| None)
        } else {
            backend.store.commit(&change).await.map(|committed| Some(committed.server))
        };
        let span = Span { begin, end: ticks.fetch_add(1, Ordering::SeqCst) };
        match answer {
            Ok(server) => written.push(Written { span, server: server.unwrap_or(read), read: stamp, guard }),
            Err(StoreError::Conflict) => {}
            Err(error) => panic!("a refusal is a conflict: {error}"),
        }
    }
    written
}

pub async fn many_writers_are_fenced(fixture: &dyn BackendFixture) {
    let records = [accepted(fixture, "acme").await, accepted(fixture, "acme").await];
    let ticks = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(write(fixture.backend().clone(), records.to_vec(), number, Arc::clone(&ticks)));
    }
    let written: Vec<Written> = callers.join_all().await.into_iter().flatten().collect();
    for record in &records {
        let of_record = || written.iter().filter(|one| one.server.id == record.id);
        let mut commits: Vec<&Written> = of_record().filter(|one| one.server.stamp != one.read).collect();
        commits.sort_by_key(|one| one.server.version);
        let mut last = (record.version, record.stamp);
        for one in &commits {
            assert_eq!((one.server.version, one.read), (last.0 + 1, last.1), "each commit is built on the last one");
            last = (one.server.version, one.server.stamp);
        }
        let stored = load(fixture.store(), record).await.server;
        assert_eq!((stored.version, stored.stamp), last);
        check_fence(&of_record().collect::<Vec<_>>());
    }
    check_audit(fixture.store(), &records[0]).await;
}

/// Once a successor has written, nothing that an earlier claim begins afterwards is accepted.
fn check_fence(written: &[&Written]) {
    let taken = |one: &Written| match one.guard {
        Guard::Takeover { claim, epoch, .. } => Some((claim, epoch)),
        Guard::New | Guard::Command { .. } | Guard::Holder { .. } | Guard::Operator { .. } => None,
    };
    let mut highest: BTreeMap<ClaimId, u64> = BTreeMap::new();
    for one in written.iter().filter_map(|one| taken(one)) {
        let epoch = highest.entry(one.0).or_default();
        *epoch = one.1.max(*epoch);
    }
    for successor in written {
        let Some((claim, epoch)) = taken(successor) else { continue };
        for late in written.iter().filter(|one| one.span.begin > successor.span.end) {
            match late.guard {
                Guard::Takeover { epoch: its, .. } => assert!(its > epoch, "{late:?} came after {successor:?}"),
                Guard::Holder { claim: its, .. } => {
                    let is_newer = its == claim || highest.get(&its).is_some_and(|its| *its > epoch);
                    assert!(is_newer, "{late:?} came after {successor:?}");
                }
                Guard::New | Guard::Command { .. } | Guard::Operator { .. } => {}
            }
        }
    }
}

async fn check_audit(store: &dyn Store, record: &Server) {
    let versions = store.versions(&record.tenant, None, u32::MAX).await.unwrap();
    verify_versions(&versions.current, &versions.recorded).unwrap();
    while store.seal(50).await.unwrap().more {}
    let sealed = store.sealed(&record.tenant, 0, 10_000).await.unwrap();
    let head = verify_chain(&ChainHead::empty(&record.tenant), &sealed).unwrap();
    assert_eq!(head, store.chain_head(&record.tenant).await.unwrap());
    assert_eq!(head.sequence, versions.current.values().sum::<u64>(), "one audit record per version");
}

pub async fn first_orders_at_once_fill_the_quota(fixture: &dyn BackendFixture) {
    let limit = u32::try_from(CALLERS).unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let backend = fixture.backend().clone();
        callers.spawn(async move {
            let mut whole = order(server(&tenant("acme")));
            whole.quota = Some(QuotaChange::Take { limit: Some(limit) });
            backend.store.commit(&whole).await.map(drop)
        });
    }
    let answers = callers.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "the quota has room for all of them: {answers:?}");
}

pub async fn many_orders_keep_key_and_quota(fixture: &dyn BackendFixture) {
    let limit = 5;
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let backend = fixture.backend().clone();
        callers.spawn(async move {
            let mut whole = order(server(&tenant("acme")));
            // Half of them fight for one key, the others for what is left of the quota.
            let key = if number % 2 == 0 { "same".to_owned() } else { format!("key-{number}") };
            whole.key = Some(key_of(&whole.server, &key));
            whole.quota = Some(QuotaChange::Take { limit: Some(limit) });
            let answer = backend.store.commit(&whole).await;
            match answer {
                Ok(committed) => Some((key, committed.server.id)),
                Err(StoreError::KeyTaken | StoreError::QuotaExceeded { .. }) => None,
                Err(error) => panic!("neither key nor quota: {error}"),
            }
        });
    }
    let won: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 5, "as many as the quota allows, and no more: {won:?}");
    let keys: BTreeSet<_> = won.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), won.len(), "a key has one winner");
    for (_, server) in &won {
        assert!(fixture.queue().find(&JobKey::new(format!("server:{server}")).unwrap()).await.unwrap().is_some());
    }
    let versions = fixture.store().versions(&tenant("acme"), None, u32::MAX).await.unwrap();
    assert_eq!(versions.current.len(), won.len(), "who lost left nothing");
}
