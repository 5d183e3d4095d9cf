//! Calls of a store, drawn at random and made on two stores.

use fastrand::Rng;

use super::queue_calls::{QueueCall, view as view_of_queue};
use super::{Answers, Call, Side, Sides};
use crate::conformance::fixture::{claim_id, seconds};
use crate::conformance::samples::{change, job_of, key_of, operation, order, server, tenant};
use crate::model::{ClaimId, Desired, OperationStatus, PageLimit, PageRequest, Server, ServerState};
use crate::ports::{ChangeSet, Committed, Guard, Note, OperationChange, QuotaChange, Retention, SinkName, StoreError};

/// Orders that a sequence plays with; every second one is of another tenant.
const SLOTS: usize = 4;
const TENANTS: [&str; 2] = ["acme", "globex"];
const QUOTA: u32 = 1;
/// More rows of any kind than a sequence makes.
const ALL: u32 = 1000;
/// Claims that write; few, so that some of them are the holder.
const CLAIMS: usize = 3;

#[derive(Debug, Clone)]
pub(crate) enum StoreCall {
    Order { slot: usize, has_key: bool, has_quota: bool },
    Write { slot: usize, guard: Guarded, state: ServerState, extra: Extra, is_stale: bool },
    Note { slot: usize, guard: Guarded, is_stale: bool },
    Repeat { ago: usize },
    Seal,
    Deliver,
    Trim,
    Queue(QueueCall),
}

/// Says which guard a write has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guarded {
    Command,
    Takeover { claim: usize, epoch: u64, lease: Option<usize> },
    Holder { claim: usize, lease: Option<usize> },
    Operator,
}

/// Says what else a commit writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extra {
    Nothing,
    Job,
    Release,
    Operation(OperationStatus),
}

/// Remembers what both sides were told.
pub(crate) struct Made {
    slots: Vec<Server>,
    claims: Vec<ClaimId>,
    /// Changes with the lease that each side puts into its guard.
    changes: Vec<(ChangeSet, Option<usize>)>,
}

impl Default for Made {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|slot| server(&tenant(TENANTS[slot % TENANTS.len()]))).collect();
        Self { slots, claims: (0..CLAIMS).map(|_| claim_id()).collect(), changes: Vec::new() }
    }
}

impl Call for StoreCall {
    fn draw(random: &mut Rng) -> Self {
        let (slot, is_stale) = (random.usize(0..SLOTS), random.u32(0..8) == 0);
        match random.u32(0..24) {
            0..4 => Self::Order { slot, has_key: random.bool(), has_quota: random.bool() },
            4..13 => Self::Write { slot, guard: guard(random), state: state(random), extra: extra(random), is_stale },
            13..16 => Self::Note { slot, guard: guard(random), is_stale },
            16 => Self::Repeat { ago: random.usize(0..4) },
            17 => Self::Seal,
            18 => Self::Deliver,
            19 => Self::Trim,
            _ => Self::Queue(QueueCall::draw(random)),
        }
    }

    async fn make(&self, sides: &mut Sides<'_>) -> Answers {
        let (adapter, memory) = match self {
            Self::Order { slot, has_key, has_quota } => {
                let mut whole = order(sides.made.slots[*slot].clone());
                whole.key = has_key.then(|| key_of(&whole.server, "order-1"));
                whole.quota = has_quota.then_some(QuotaChange::Take { limit: Some(QUOTA) });
                commit(sides, whole, None).await
            }
            Self::Write { slot, guard, state, extra, is_stale } => {
                let mut read = read(sides, *slot, *is_stale).await;
                read.state = *state;
                read.desired = if state.is_final() { Desired::Absent } else { read.desired };
                let (guard, lease) = guard.of(&read, &sides.made.claims);
                let change = extra.added_to(change(read, guard));
                commit(sides, change, lease).await
            }
            Self::Note { slot, guard, is_stale } => {
                let mut read = read(sides, *slot, *is_stale).await;
                read.wake_at = Some(sides.memory.fixture.now().await.plus(seconds(5)));
                let (guard, lease) = guard.of(&read, &sides.made.claims);
                (note(&sides.adapter, &read, &guard, lease).await, note(&sides.memory, &read, &guard, lease).await)
            }
            Self::Repeat { ago } => match sides.made.changes.iter().rev().nth(*ago).cloned() {
                Some((change, lease)) => {
                    (commit_on(&sides.adapter, &change, lease).await, commit_on(&sides.memory, &change, lease).await)
                }
                None => (String::new(), String::new()),
            },
            Self::Seal => (seal(&sides.adapter).await, seal(&sides.memory).await),
            Self::Deliver => (deliver(&sides.adapter).await, deliver(&sides.memory).await),
            Self::Trim => (trim(&sides.adapter).await, trim(&sides.memory).await),
            Self::Queue(call) => return call.make(sides).await,
        };
        let slots = &sides.made.slots;
        Answers::new(&(adapter, view(&sides.adapter, slots).await), &(memory, view(&sides.memory, slots).await))
    }
}

fn guard(random: &mut Rng) -> Guarded {
    let (claim, ago) = (random.usize(0..CLAIMS), random.usize(0..3));
    let lease = (random.u32(0..3) == 0).then_some(ago);
    match random.u32(0..8) {
        0..2 => Guarded::Command,
        2..5 => Guarded::Takeover { claim, epoch: random.u64(1..20), lease },
        5..7 => Guarded::Holder { claim, lease },
        _ => Guarded::Operator,
    }
}

fn state(random: &mut Rng) -> ServerState {
    let states = [
        ServerState::Creating,
        ServerState::Confirming,
        ServerState::Running,
        ServerState::Parked,
        ServerState::Failed,
        ServerState::Deleted,
    ];
    states[random.usize(0..states.len())]
}

fn extra(random: &mut Rng) -> Extra {
    match random.u32(0..6) {
        0 => Extra::Job,
        1 => Extra::Release,
        2 => Extra::Operation(OperationStatus::Parked),
        3 => Extra::Operation(OperationStatus::Succeeded),
        _ => Extra::Nothing,
    }
}

impl Guarded {
    /// Returns the guard, and which lease each side puts into it.
    fn of(self, read: &Server, claims: &[ClaimId]) -> (Guard, Option<usize>) {
        let stamp = read.stamp;
        match self {
            Self::Command => (Guard::Command { stamp }, None),
            Self::Takeover { claim, epoch, lease } => {
                (Guard::Takeover { stamp, claim: claims[claim], epoch, lease: None }, lease)
            }
            Self::Holder { claim, lease } => (Guard::Holder { stamp, claim: claims[claim], lease: None }, lease),
            Self::Operator => (Guard::Operator { stamp, claim: claims[0] }, None),
        }
    }
}

impl Extra {
    fn added_to(self, mut change: ChangeSet) -> ChangeSet {
        match self {
            Self::Nothing => {}
            Self::Job => change.job = Some(job_of(&change.server)),
            Self::Release => change.quota = Some(QuotaChange::Release),
            Self::Operation(status) => {
                let id = operation(&change.server).id;
                change.operations.push(OperationChange::Status { id, status, code: None });
            }
        }
        change
    }
}

/// Puts the lease of a side into a guard.
fn leased(side: &Side<'_>, guard: &Guard, ago: Option<usize>) -> Guard {
    let found = ago.and_then(|ago| side.lease(ago));
    let mut guard = guard.clone();
    match &mut guard {
        Guard::Takeover { lease, .. } | Guard::Holder { lease, .. } => *lease = found,
        Guard::New | Guard::Command { .. } | Guard::Operator { .. } => {}
    }
    guard
}

/// Reads a record, or has an old one; what was never accepted is as it was ordered.
async fn read(sides: &Sides<'_>, slot: usize, is_stale: bool) -> Server {
    let ordered = &sides.made.slots[slot];
    if is_stale {
        return ordered.clone();
    }
    let loaded = sides.memory.fixture.store().load(&ordered.tenant, ordered.id).await.unwrap();
    loaded.map_or_else(|| ordered.clone(), |loaded| loaded.server)
}

async fn commit(sides: &mut Sides<'_>, change: ChangeSet, lease: Option<usize>) -> (String, String) {
    let adapter = commit_on(&sides.adapter, &change, lease).await;
    let memory = commit_on(&sides.memory, &change, lease).await;
    sides.made.changes.push((change, lease));
    (adapter, memory)
}

async fn commit_on(side: &Side<'_>, change: &ChangeSet, lease: Option<usize>) -> String {
    let change = ChangeSet { guard: leased(side, &change.guard, lease), ..change.clone() };
    match side.fixture.store().commit(&change).await {
        Ok(Committed { server, at, replayed }) => format!("{} {at:?} {replayed}", json(&server)),
        Err(error) => refusal(&error),
    }
}

async fn note(side: &Side<'_>, server: &Server, guard: &Guard, lease: Option<usize>) -> String {
    let note = Note { tenant: server.tenant.clone(), guard: leased(side, guard, lease), server: server.clone() };
    side.fixture.store().note(&note).await.map_or_else(|error| refusal(&error), |()| String::new())
}

fn refusal(error: &StoreError) -> String {
    match error {
        StoreError::Conflict | StoreError::KeyTaken | StoreError::QuotaExceeded { .. } => error.to_string(),
        StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. } | StoreError::Corrupt { .. } => {
            panic!("{error}: {error:?}")
        }
    }
}

async fn seal(side: &Side<'_>) -> String {
    format!("{:?}", side.fixture.store().seal(ALL).await.unwrap())
}

async fn deliver(side: &Side<'_>) -> String {
    let (store, sink) = (side.fixture.store(), SinkName::new("one").unwrap());
    let Some(delivery) = store.deliverable(&sink, ALL).await.unwrap() else { return String::new() };
    let numbers: Vec<u64> = delivery.records.iter().map(|record| record.sequence).collect();
    store.delivered(&sink, &delivery.tenant, *numbers.last().unwrap()).await.unwrap();
    format!("{} {numbers:?}", delivery.tenant)
}

async fn trim(side: &Side<'_>) -> String {
    let now = side.fixture.now().await;
    let retention = Retention { now, keys: seconds(10), records: seconds(20), most: ALL };
    format!("{:?}", side.fixture.store().trim(&retention).await.unwrap())
}

/// Writes a record whole, with what its `Debug` hides.
fn json(server: &Server) -> String {
    serde_json::to_string(server).unwrap()
}

/// Shows all that a store holds.
async fn view(side: &Side<'_>, slots: &[Server]) -> Vec<String> {
    let (store, mut view) = (side.fixture.store(), view_of_queue(side).await);
    for slot in slots {
        let loaded = store.load(&slot.tenant, slot.id).await.unwrap();
        view.extend(loaded.map(|loaded| format!("{} {:?}", json(&loaded.server), loaded.now)));
        view.push(format!("{:?}", store.operation(&slot.tenant, slot.create_operation).await.unwrap()));
        view.push(format!("{:?}", store.key(&slot.tenant, &key_of(slot, "order-1").key).await.unwrap()));
    }
    for tenant in TENANTS.map(tenant) {
        view.push(format!("{:?}", store.versions(&tenant, None, ALL).await.unwrap()));
        view.push(store.chain_head(&tenant).await.unwrap().sequence.to_string());
        // Across servers the order within a chain is open.
        let mut bodies: Vec<String> =
            store.sealed(&tenant, 0, ALL).await.unwrap().into_iter().map(|record| record.body).collect();
        bodies.sort();
        view.extend(bodies);
        let page = PageRequest::first(PageLimit::most());
        view.extend(store.servers(&tenant, &page).await.unwrap().items.iter().map(json));
    }
    view.push(format!("{:?}", store.stats().await.unwrap()));
    view.push(format!("{:?}", store.stalled(seconds(3), seconds(30), ALL).await.unwrap()));
    view
}
