//! What comes between two commits of one attempt: commands, successors, answers that are lost.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;

use super::relabelled::{relabel, running};
use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::mocks::MockStore;
use crate::model::{Desired, ServerState};
use crate::ports::{ChangeSet, Committed, Guard, Loaded, ProviderErrorKind, Store, StoreError};

/// Commands after which an attempt gives up deciding again; so many are still met.
const MOST_COMMANDS: u32 = 8;

type Answer = Result<Committed, StoreError>;

/// Is the memory store, whose commits a test answers itself; they are numbered from one.
struct Meddled {
    product: Product,
    order: Operation,
    commits: Arc<AtomicU32>,
}

/// Every port of the memory backend answers at once.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn delete(context: &Context, server: ServerId) {
    drop(now(delete_server(context, &Product::caller(None), DeleteServer { server })).unwrap());
}

/// Lets a command come in between: it changes the stamp and leaves the holder.
fn touch(context: &Context, change: &ChangeSet) {
    let mut server = now(context.store.load(&change.server.tenant, change.server.id)).unwrap().unwrap().server;
    server.desired = Desired::Absent;
    let guard = Guard::Command { stamp: server.stamp };
    drop(now(context.store.commit(&ChangeSet::new(context.change_id(), server, guard, change.audit.clone()))).unwrap());
}

/// Lets another claim take over, as after the end of the lease.
fn take_over(store: &Arc<dyn Store>, change: &ChangeSet) {
    let server = now(store.load(&change.server.tenant, change.server.id)).unwrap().unwrap().server;
    let claim = ClaimId::from_uuid(uuid::Uuid::from_u128(77));
    let guard = Guard::Takeover { stamp: server.stamp, claim, epoch: server.holder_epoch + 1, lease: None };
    let id = crate::model::ChangeId::from_uuid(uuid::Uuid::from_u128(78));
    let successor = ChangeSet::new(id, server, guard, change.audit.clone());
    drop(now(store.commit(&successor)).unwrap());
}

impl Meddled {
    /// Runs the first attempt of an order; `commit` stands between it and the store.
    async fn run(commit: impl Fn(&Context, u32, &ChangeSet) -> Answer + Send + Sync + 'static) -> (Self, JobOutcome) {
        let product = Product::new().await;
        let order = product.order("web-1", None).await.unwrap().operation;
        Self::run_on(product, order, commit).await
    }

    /// The same for an order of a product that is there.
    async fn run_on(
        product: Product,
        order: Operation,
        commit: impl Fn(&Context, u32, &ChangeSet) -> Answer + Send + Sync + 'static,
    ) -> (Self, JobOutcome) {
        let attempt = product.claim().await.unwrap();
        let commits = Arc::new(AtomicU32::new(0));
        let (real, counted) = (product.context.clone(), commits.clone());
        let memory = product.context.store.clone();
        let mut store = MockStore::new();
        store
            .expect_commit()
            .returning(move |change| commit(&real, counted.fetch_add(1, Ordering::SeqCst) + 1, change));
        let loads = memory.clone();
        store.expect_load().returning(move |tenant, server| now(loads.load(tenant, server)));
        let notes = memory.clone();
        store.expect_note().returning(move |note| now(notes.note(note)));
        store.expect_references().returning(move |account| now(memory.references(account)));
        let context = Context { store: Arc::new(store), ..product.context.clone() };
        let payload = attempt.job().payload.decode().unwrap();
        let outcome = Converge::new(context).unwrap().run(payload, &attempt).await;
        (Self { product, order, commits }, outcome)
    }

    async fn loaded(&self) -> Loaded {
        self.product.context.store.load(&tenant(), self.order.server).await.unwrap().unwrap()
    }

    fn commits(&self) -> u32 {
        self.commits.load(Ordering::SeqCst)
    }

    fn creates(&self) -> u64 {
        self.product.provider.calls(ProviderMethod::Create)
    }
}

/// The answer of the create meets so many commands, each come in between.
async fn after_commands(count: u32) -> (Meddled, JobOutcome) {
    Meddled::run(move |context, number, change| {
        if (2..2 + count).contains(&number) {
            touch(context, change);
        }
        now(context.store.commit(change))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_recorded_on_what_commands_made_of_the_record() {
    for commands in [1, MOST_COMMANDS] {
        let (order, _outcome) = after_commands(commands).await;
        let server = order.loaded().await.server;
        assert!(server.provider_ref.is_some(), "after {commands}: {server:?}");
        assert_eq!((server.desired, server.unsettled), (Desired::Absent, None));
        assert!(order.product.provider.calls(ProviderMethod::Find) == 0, "nothing has to be looked for");
        assert_eq!(order.creates(), 1);
        assert!(order.commits() >= 2 + commands);
    }
}

#[tokio::test(start_paused = true)]
async fn after_one_command_more_the_next_attempt_looks_what_became_of_the_create() {
    let (order, outcome) = after_commands(MOST_COMMANDS + 1).await;
    assert!(matches!(outcome, JobOutcome::Snooze { .. }), "{outcome:?}");
    let server = order.loaded().await.server;
    assert!(server.intent.is_some() && server.provider_ref.is_none(), "{server:?}");
    assert_eq!(order.commits(), 2 + MOST_COMMANDS);
    order.product.settle_within(Duration::from_secs(7200)).await;
    assert_eq!(order.product.server(server.id).await.state, ServerState::Deleted);
    assert!(order.product.provider.servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_recorded_although_the_commit_was_not_answered_is_not_recorded_again() {
    let (order, _outcome) = Meddled::run(|context, number, change| match number {
        // Applied, and a command after it, before the same commit is repeated.
        2 => {
            drop(now(context.store.commit(change)).unwrap());
            delete(context, change.server.id);
            Err(StoreError::Conflict)
        }
        _ => now(context.store.commit(change)),
    })
    .await;
    now(crate::relay::seal_all(order.product.context.store.as_ref())).unwrap();
    let sealed = now(order.product.context.store.sealed(&tenant(), 0, 100)).unwrap();
    let of_create = sealed.iter().filter(|record| record.body.contains(r#""effect":"create""#)).count();
    assert_eq!(of_create, 2, "announced and recorded: {sealed:?}");
    assert!(order.loaded().await.server.provider_ref.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_lease_is_gone_or_whose_record_another_holds_stops_at_once() {
    let lease_gone = |context: &Context, number: u32, change: &ChangeSet| {
        if number >= 2 { Err(StoreError::Conflict) } else { now(context.store.commit(change)) }
    };
    let another_holds = |context: &Context, number: u32, change: &ChangeSet| {
        if number == 2 {
            take_over(&context.store, change);
        }
        now(context.store.commit(change))
    };
    for (order, outcome) in [Meddled::run(lease_gone).await, Meddled::run(another_holds).await] {
        assert!(matches!(outcome, JobOutcome::Snooze { .. }), "{outcome:?}");
        assert_eq!((order.commits(), order.creates()), (2, 1));
        assert_eq!(order.loaded().await.server.provider_ref, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_written_nothing_yet_leaves_a_conflict_to_the_next_one() {
    let (order, outcome) = Meddled::run(|context, number, change| {
        if number == 1 {
            delete(context, change.server.id);
        }
        now(context.store.commit(change))
    })
    .await;
    assert!(matches!(outcome, JobOutcome::Snooze { .. }), "{outcome:?}");
    assert_eq!((order.commits(), order.creates()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_whose_announcement_a_successor_holds_or_has_replaced() {
    let held_by_another = |context: &Context, _number: u32, change: &ChangeSet| {
        let mut committed = now(context.store.commit(change))?;
        committed.server.holder = Some(ClaimId::from_uuid(uuid::Uuid::from_u128(77)));
        Ok(committed)
    };
    let replaced = |context: &Context, _number: u32, change: &ChangeSet| {
        let mut committed = now(context.store.commit(change))?;
        if let Some(open) = committed.server.intent.as_mut() {
            open.id = crate::model::IntentId::from_uuid(uuid::Uuid::from_u128(79));
        }
        Ok(committed)
    };
    for (order, outcome) in [Meddled::run(held_by_another).await, Meddled::run(replaced).await] {
        assert!(matches!(outcome, JobOutcome::Snooze { .. }), "{outcome:?}");
        assert_eq!((order.commits(), order.creates()), (1, 0));
    }
}

/// The look found it while the order was wanted, and its answer is recorded when it is not.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_overtakes_a_look_does_not_take_the_server_of_another_record_along() {
    let product = Product::new().await;
    let one = running(&product, "web-1").await;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    let two = product.order("web-2", None).await.unwrap().operation;
    let held = relabel(&product, one, two.server).await;
    // After the announcement and the answer of the create comes what the look has found.
    let (order, _outcome) = Meddled::run_on(product, two, |context, number, change| {
        if number == 3 {
            assert_eq!(change.audit.effect.as_deref(), Some("look_by_name"));
            delete(context, change.server.id);
        }
        now(context.store.commit(change))
    })
    .await;
    let product = &order.product;
    assert_eq!(order.loaded().await.server.desired, Desired::Absent);
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
    product.settle_within(Duration::from_secs(7200)).await;
    assert_eq!(product.server(order.order.server).await.state, ServerState::Deleted);
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
    let first = product.server(one).await;
    assert_eq!((first.state, first.provider_ref.map(|own| own.id)), (ServerState::Running, Some(held.clone())));
    assert!(product.provider.servers().iter().any(|there| there.id == held));
}
