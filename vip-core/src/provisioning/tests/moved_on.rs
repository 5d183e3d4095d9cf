//! Commands whose record moves between two reads, and orders that are accepted with ids that were given before.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;

use super::between_commits::now;
use super::*;
use crate::mocks::MockStore;
use crate::model::{Desired, OperationStatus, ServerState};
use crate::ports::{ChangeSet, CommandStore, Committed, KeyRecord, Loaded, Store, StoreError};
use crate::provisioning::accept::{CancelCreate, Ids, Names, cancel_create, check_create, create_in};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn command(name: &str) -> CreateServer {
    CreateServer { spec: spec(name), accounts: vec![AccountId::default_account()], ..CreateServer::default() }
}

/// Gives a command to a store as a transaction of a host's own does; counts what is read besides.
#[derive(Debug)]
struct Transaction {
    store: Arc<dyn Store>,
    operations_read: Arc<AtomicU32>,
}

#[async_trait]
impl CommandStore for Transaction {
    async fn key(&mut self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        self.store.key(tenant, key).await
    }

    async fn operation(&mut self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        self.operations_read.fetch_add(1, Ordering::SeqCst);
        self.store.operation(tenant, id).await
    }

    async fn load(&mut self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        self.store.load(tenant, server).await
    }

    async fn write(&mut self, change: &ChangeSet) -> Result<Committed, StoreError> {
        self.store.commit(change).await
    }
}

impl Transaction {
    fn on(product: &Product) -> Self {
        Self { store: product.context.store.clone(), operations_read: Arc::default() }
    }

    fn operations_read(&self) -> u32 {
        self.operations_read.load(Ordering::SeqCst)
    }
}

/// The operation says that the create is under way, the record says what became of it since, and then the operation
/// says so, too.
async fn cancel_while_it_moves(to: impl FnOnce(&mut crate::model::Server), then: OperationStatus) -> (bool, bool) {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let mut loaded = product.context.store.load(&tenant(), order.server).await.unwrap().unwrap();
    to(&mut loaded.server);
    let committed = Committed { server: loaded.server.clone(), at: loaded.now, replayed: false };
    let (commits, reads) = (Arc::new(AtomicU32::new(0)), AtomicU32::new(0));
    let mut store = MockStore::new();
    let counted = commits.clone();
    store.expect_load().returning(move |_tenant, _server| Ok(Some(loaded.clone())));
    store.expect_operation().returning(move |_tenant, id| {
        let is_first = reads.fetch_add(1, Ordering::SeqCst) == 0;
        let status = if is_first { OperationStatus::Pending } else { then };
        Ok(Some(Operation { id, status, ..order.clone() }))
    });
    store.expect_commit().returning(move |_change| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(committed.clone())
    });
    let context = Context { store: Arc::new(store), ..product.context.clone() };
    let operation = OperationId::from_uuid(uuid::Uuid::from_u128(1));
    let answer = cancel_create(&context, &Product::caller(None), CancelCreate { operation }).await;
    (commits.load(Ordering::SeqCst) > 0, matches!(answer, Err(CommandError::NotCancellable)))
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_server_has_run_or_ended_since_it_was_read_is_not_given_up() {
    use ServerState::{Deleted, Failed, Lost, Parked, Running};
    for state in [Running, Lost, Failed, Deleted] {
        let (committed, refused) =
            cancel_while_it_moves(|server| server.state = state, OperationStatus::Succeeded).await;
        assert_eq!((committed, refused), (false, true), "{state:?}");
    }
    let parked_from = |from| {
        move |server: &mut crate::model::Server| {
            server.state = Parked;
            server.parked_from = Some(from);
        }
    };
    let (committed, _) = cancel_while_it_moves(parked_from(Running), OperationStatus::Succeeded).await;
    assert!(!committed, "it ran before it was parked");
    let (committed, _) = cancel_while_it_moves(parked_from(ServerState::Creating), OperationStatus::Parked).await;
    assert!(committed, "it has not run yet");
    let (committed, _) = cancel_while_it_moves(|_server| {}, OperationStatus::Pending).await;
    assert!(committed, "nothing has happened yet");
    let wished_away = |server: &mut crate::model::Server| server.desired = Desired::Absent;
    let (committed, refused) = cancel_while_it_moves(wished_away, OperationStatus::Failed).await;
    assert_eq!((committed, refused), (false, true), "somebody else has given it up");
}

#[tokio::test(start_paused = true)]
async fn an_order_with_given_ids_is_one_order_and_its_repeat_answers_what_became_of_it() {
    let product = Product::new().await;
    let (caller, ids) = (Product::caller(None), Ids::fresh(&product.context));
    let mut first = Transaction::on(&product);
    let accepted = create_in(&mut first, &caller, &command("web-1"), Names::Given(&ids)).await.unwrap();
    assert_eq!((accepted.replayed, first.operations_read()), (false, 0), "the commit has said all that there is");
    assert_eq!(accepted.operation, product.operation(accepted.operation.id).await);
    product.settle_within(seconds(600)).await;

    let mut second = Transaction::on(&product);
    let again = create_in(&mut second, &caller, &command("web-1"), Names::Given(&ids)).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.operation.id, again.operation.status), (accepted.operation.id, OperationStatus::Succeeded));
    assert_eq!(product.provider.ever_created().len(), 1);
}

/// Is the memory store, of which no operation can be read once something was committed; so many commits are kept and not
/// answered.
fn silent_once_written(store: &Arc<dyn Store>, unanswered: u32) -> MockStore {
    let (commits, mut silent) = (Arc::new(AtomicU32::new(0)), MockStore::new());
    let (inner, counted) = (store.clone(), commits.clone());
    silent.expect_commit().returning(move |change| {
        let committed = now(inner.commit(change));
        let is_lost = counted.fetch_add(1, Ordering::SeqCst) < unanswered;
        if is_lost { Err(StoreError::OutcomeUnknown { source: "no answer".into() }) } else { committed }
    });
    let inner = store.clone();
    silent.expect_load().returning(move |tenant, server| now(inner.load(tenant, server)));
    let inner = store.clone();
    silent.expect_key().returning(move |tenant, key| now(inner.key(tenant, key)));
    let inner = store.clone();
    silent.expect_operation().returning(move |tenant, id| match commits.load(Ordering::SeqCst) {
        0 => now(inner.operation(tenant, id)),
        _ => Err(StoreError::Unavailable { source: "away".into() }),
    });
    silent
}

/// "Unavailable" would say that nothing was changed. And with fresh ids "applied before" means that this very call was
/// heard the first time: it is no repeat.
#[tokio::test(start_paused = true)]
async fn what_is_committed_is_answered_as_it_stands_although_nothing_can_be_read_any_more() {
    let product = Product::new().await;
    let caller = Product::caller(None);
    for unanswered in [0, 1] {
        let silent = || {
            let store: Arc<dyn Store> = Arc::new(silent_once_written(&product.context.store, unanswered));
            Context { store, ..product.context.clone() }
        };
        let demand = async |accepted: &Accepted, replayed: bool| {
            let stored = product.operation(accepted.operation.id).await;
            assert_eq!((&accepted.operation, accepted.replayed), (&stored, replayed), "{unanswered} unanswered");
        };
        let order = create_server(&silent(), &caller, &command("web-1")).await.unwrap();
        demand(&order, false).await;
        let deletion = DeleteServer { server: order.operation.server };
        demand(&delete_server(&silent(), &caller, deletion).await.unwrap(), false).await;
        let other = product.order("web-2", None).await.unwrap().operation;
        let cancel = CancelCreate { operation: other.id };
        demand(&cancel_create(&silent(), &caller, cancel).await.unwrap(), false).await;
        // Its key is new, and the operation is that of the deletion before.
        product.settle_within(seconds(600)).await;
        let keyed = Product::caller(Some(&format!("key-{unanswered}")));
        demand(&delete_server(&silent(), &keyed, deletion).await.unwrap(), true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_invalid_by_now_is_refused_before_a_transaction_unless_its_key_is_known() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let (valid, invalid) = (command("web-1"), command("Not A Name"));
    let check = async |caller: &Caller, command: &CreateServer, known: Option<&CreateServer>| {
        let record = known.map(|known| KeyRecord {
            key: IdempotencyKey::new("key").unwrap(),
            fingerprint: crate::model::Fingerprint::of_create(&known.spec),
            operation: order.id,
            server: order.server,
        });
        let mut store = MockStore::new();
        let shown = order.clone();
        let mut loaded = product.context.store.load(&tenant(), order.server).await.unwrap().unwrap();
        loaded.server.candidates.iter_mut().for_each(|it| it.account = AccountId::new("renamed-since").unwrap());
        store.expect_load().returning(move |_tenant, _server| Ok(Some(loaded.clone())));
        store.expect_key().returning(move |_tenant, _key| Ok(record.clone()));
        store.expect_operation().returning(move |_tenant, _id| Ok(Some(shown.clone())));
        let context = Context { store: Arc::new(store), ..product.context.clone() };
        check_create(&context, caller, command).await
    };
    let (keyless, keyed) = (Product::caller(None), Product::caller(Some("key")));
    assert!(check(&keyless, &valid, None).await.is_ok());
    assert!(check(&keyed, &valid, Some(&invalid)).await.is_ok(), "the transaction answers it");
    assert!(matches!(check(&keyless, &invalid, Some(&invalid)).await, Err(CommandError::Invalid(_))));
    assert!(matches!(check(&keyed, &invalid, None).await, Err(CommandError::Invalid(_))));
    assert!(check(&keyed, &invalid, Some(&invalid)).await.is_ok(), "its key answers it, whatever the rules are by now");
    assert!(matches!(check(&keyed, &invalid, Some(&valid)).await, Err(CommandError::IdempotencyConflict)));
    let renamed = CreateServer { named: Some(vec![AccountId::new("renamed-since").unwrap()]), ..command("web-1") };
    assert!(matches!(check(&keyed, &renamed, None).await, Err(CommandError::Invalid(_))));
    assert!(
        check(&keyed, &renamed, Some(&renamed)).await.is_ok(),
        "its key answers it, whatever accounts there are by now"
    );
    let elsewhere = CreateServer { named: Some(vec![AccountId::new("another").unwrap()]), ..command("web-1") };
    assert!(matches!(check(&keyed, &elsewhere, Some(&renamed)).await, Err(CommandError::IdempotencyConflict)));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_says_when_it_wants_to_be_woken_unless_nothing_is_left_to_do() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(seconds(600)).await;
    let now = product.context.store.now().await.unwrap();
    drop(product.delete(order.server).await.unwrap());
    assert_eq!(product.server(order.server).await.wake_at, Some(now), "a sweep wakes it if its job is lost");
    product.settle_within(seconds(600)).await;
    let command = DeleteServer { server: order.server };
    drop(delete_server(&product.context, &Product::caller(Some("key")), command).await.unwrap());
    let server = product.server(order.server).await;
    assert_eq!((server.state, server.wake_at), (ServerState::Deleted, None));
}
