//! What one attempt does with a usual time, a turn that does not come, a refusal, a store that fails and a record that rests.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;

use super::commits::Extreme;
use super::*;
use crate::memory::{MemoryStock, ProviderFault, ProviderMethod};
use crate::mocks::{MockProviderClient, MockStore};
use crate::model::{FailReason, Gate, ServerState, Sighting, SightingClass, SightingKey, TokenDigest, WaitReason};
use crate::ports::{Guard, Note, Outlook, ProviderError, ProviderErrorKind, RequestContext, Shut, StoreError};
use crate::provisioning::kinds::converge_job;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The memory provider answers at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

/// Runs the next attempt with another client or other ports; returns how it ended.
pub(super) async fn run_with(product: &Product, context: Context) -> JobOutcome {
    let attempt = product.claim().await.unwrap();
    let payload = attempt.job().payload.decode().unwrap();
    Converge::new(context).unwrap().run(payload, &attempt).await
}

pub(super) fn context_with(product: &Product, client: MockProviderClient) -> Context {
    let client: Arc<dyn ProviderClient> = Arc::new(client);
    Context { providers: Arc::new(BTreeMap::from([(AccountId::default_account(), client)])), ..product.context.clone() }
}

pub(super) fn client(product: &Product, outlook: Outlook) -> MockProviderClient {
    let mut client = MockProviderClient::new();
    client.expect_token_digest().return_const(product.provider.token_digest());
    client.expect_outlook().returning(move || outlook.clone());
    client
}

#[tokio::test(start_paused = true)]
async fn the_first_look_comes_shortly_before_the_usual_time_of_the_type_that_was_created() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let usual = [("a".to_owned(), seconds(100)), ("b".to_owned(), seconds(400))];
    let mut client = client(&product, Outlook { usual_creates: Arc::new(usual.into()), ..Outlook::default() });
    client.expect_reserve().returning(|_effect, request| Ok(request));
    let provider = product.provider.clone();
    client.expect_create().returning(move |request, context| now(provider.create(request, context)));
    let begin = product.context.store.now().await.unwrap();
    let JobOutcome::Snooze { delay } = run_with(&product, context_with(&product, client)).await else { panic!() };
    let look = product.server(order.server).await.not_before.unwrap().since(begin);
    let (early, grid) = (seconds(95), product.context.timing.look_again);
    assert!(look >= early && look <= early + grid, "{look:?}");
    assert!(delay.abs_diff(look) < seconds(1), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn an_effect_without_a_turn_is_not_tried_again_before_half_of_the_first_back_off() {
    let product = Product::new().await;
    drop(product.order("web-1", None).await.unwrap());
    let mut client = client(&product, Outlook::default());
    client.expect_reserve().returning(|_effect, _request: RequestContext| {
        let mut refused = ProviderError::new(ProviderErrorKind::NotSent, ProviderError::NO_TURN);
        refused.retry_after = Some(Duration::ZERO);
        Err(refused)
    });
    let outcome = run_with(&product, context_with(&product, client)).await;
    let half = product.context.timing.backoff_first / 2;
    assert!(matches!(outcome, JobOutcome::Snooze { delay } if delay == half), "{outcome:?} beside {half:?}");
}

/// Runs an order that waits for stock and has a turn every forty minutes, and is told `code` each time that it has none; returns after
/// what time it was given up within 25 hours.
async fn given_up_after(code: &'static str, outlook: Outlook) -> Option<Duration> {
    let product = Product::new().await;
    product.provider.stock("a", "l", MemoryStock::SoldOut);
    let order = product.order("web-1", None).await.unwrap().operation;
    let mut client = client(&product, outlook);
    let mut last: Option<Instant> = None;
    client.expect_reserve().returning(move |_effect, request| {
        if last.is_some_and(|last| last.elapsed() < seconds(2_400)) {
            return Err(ProviderError::held_back(code, seconds(300)));
        }
        last = Some(Instant::now());
        Ok(request)
    });
    let provider = product.provider.clone();
    client.expect_create().returning(move |request, context| now(provider.create(request, context)));
    let context = context_with(&product, client);
    let product = Product { converge: Converge::new(context.clone()).unwrap(), context, ..product };
    let began = Instant::now();
    while began.elapsed() < seconds(25 * 3_600) {
        let JobOutcome::Snooze { delay } = product.run(product.claim().await.unwrap()).await else {
            assert_eq!(product.server(order.server).await.fail_reason, Some(FailReason::NoStock));
            return Some(began.elapsed());
        };
        tokio::time::advance(delay).await;
    }
    None
}

/// Where many share what is left over, each pause of one is longer than any that is no outage.
#[tokio::test(start_paused = true)]
async fn an_order_to_which_others_leave_few_turns_loses_patience_and_an_outage_uses_up_none() {
    let (day, pause) = (seconds(24 * 3_600), seconds(2_400));
    let well = Outlook::default();
    let elsewhere = Outlook { creates_doubted_in: BTreeSet::from(["m".to_owned()]), ..well.clone() };
    for outlook in [well.clone(), elsewhere] {
        let after = given_up_after(ProviderError::NO_TURN, outlook).await;
        assert!(after.is_some_and(|after| after >= day && after < day + 2 * pause), "{after:?}");
    }
    assert_eq!(given_up_after(ProviderError::EASING, well.clone()).await, None);
    let there = Outlook { creates_doubted_in: BTreeSet::from(["l".to_owned()]), ..well.clone() };
    for outlook in [there, Outlook { creates_doubted: true, ..well }] {
        assert_eq!(given_up_after(ProviderError::NO_TURN, outlook).await, None);
    }
}

/// Its client is asked for no turn and for no create.
#[tokio::test(start_paused = true)]
async fn a_create_that_is_held_back_in_its_location_is_not_announced() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let before = product.server(order.server).await;
    let shut = Shut { retry_after: seconds(30), since: Duration::ZERO, code: "shut" };
    let creates_shut_in = BTreeMap::from([("l".to_owned(), shut)]);
    let client = client(&product, Outlook { creates_shut_in, ..Outlook::default() });
    let outcome = run_with(&product, context_with(&product, client)).await;
    assert!(matches!(outcome, JobOutcome::Snooze { delay } if delay >= seconds(30)), "{outcome:?}");
    let waiting = product.server(order.server).await;
    assert_eq!((waiting.version, waiting.wait_reason), (before.version, Some(WaitReason::ProviderUnavailable)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_stops_the_attempt_and_others_with_a_good_one_come_within_thirty_seconds() {
    for another_is_good in [false, true] {
        let product = Product::new().await;
        let account = AccountId::default_account();
        if another_is_good {
            let known = product.context.store.account(&account).await.unwrap();
            let good = known.with_gate(&TokenDigest::of("exchanged"), Gate::Open, 0);
            product.context.store.save_account(&good).await.unwrap();
        }
        let order = product.order("web-1", None).await.unwrap().operation;
        product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unauthorized));
        let outcome = run_with(&product, product.context.clone()).await;
        let JobOutcome::Snooze { delay } = outcome else { panic!("{outcome:?}") };
        assert_eq!(product.provider.calls(ProviderMethod::Create), 1, "it is not asked again");
        let server = product.server(order.server).await;
        assert_eq!((server.intent, server.wait_reason), (None, Some(WaitReason::AccountBlocked)));
        let known = product.context.store.account(&account).await.unwrap();
        let gate = known.gate(&product.provider.token_digest()).map(|entry| entry.gate.clone());
        assert!(matches!(gate, Some(Gate::Blocked { .. })), "{gate:?}");
        assert_eq!(delay <= seconds(30), another_is_good, "{delay:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_left_alone_for_once_to_twice_the_first_back_off() {
    for (highest, times) in [(false, 1), (true, 2)] {
        let product = Product::new().await;
        drop(product.order("web-1", None).await.unwrap());
        let mut store = MockStore::new();
        store.expect_load().returning(|_tenant, _server| Err(StoreError::Unavailable { source: "away".into() }));
        let randomness = Arc::new(Extreme(highest));
        let context = Context { store: Arc::new(store), randomness, ..product.context.clone() };
        let JobOutcome::Snooze { delay } = run_with(&product, context).await else { panic!() };
        let expected = product.context.timing.backoff_first * times;
        assert!(delay.abs_diff(expected) < Duration::from_millis(1), "{delay:?} of {expected:?}");
    }
}

async fn running(product: &Product) -> Server {
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(seconds(7200)).await;
    let server = product.server(order.server).await;
    assert_eq!(server.state, ServerState::Running);
    server
}

async fn wake(product: &Product, server: &Server) {
    let job = converge_job(crate::model::JobId::from_uuid(uuid::Uuid::from_u128(9)), &server.tenant, server.id);
    drop(product.context.queue.enqueue(&[job.unwrap()]).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_sighting_is_looked_at_once() {
    let product = Product::new().await;
    let server = running(&product).await;
    let key = SightingKey { account: AccountId::default_account(), id: server.provider_ref.clone().unwrap().id };
    let seen = product.context.store.now().await.unwrap();
    let missing = Sighting {
        key,
        server: Some(server.id),
        class: SightingClass::Missing,
        first_seen: seen,
        last_seen: seen,
        count: 2,
        ripe: true,
    };
    product.context.store.sight(&AccountId::default_account(), &[missing]).await.unwrap();
    wake(&product, &server).await;
    let before = product.provider.calls(ProviderMethod::Get);
    assert!(matches!(product.run(product.claim().await.unwrap()).await, JobOutcome::Done));
    assert_eq!(product.provider.calls(ProviderMethod::Get) - before, 1, "it is there");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_rests_leaves_the_list_of_those_that_have_to_move() {
    let product = Product::new().await;
    let mut server = running(&product).await;
    server.wake_at = Some(product.context.store.now().await.unwrap());
    let guard = Guard::Holder { stamp: server.stamp, claim: server.holder.unwrap(), lease: None };
    product.context.store.note(&Note { tenant: tenant(), guard, server: server.clone() }).await.unwrap();
    assert!(product.server(server.id).await.wake_at.is_some());
    wake(&product, &server).await;
    assert!(matches!(product.run(product.claim().await.unwrap()).await, JobOutcome::Done));
    assert_eq!(product.server(server.id).await.wake_at, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_after_a_commit_is_of_its_time_also_if_the_load_was_old() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let memory = product.context.store.clone();
    let mut store = MockStore::new();
    let loads = memory.clone();
    store.expect_load().returning(move |tenant, server| {
        let mut loaded = now(loads.load(tenant, server))?;
        if let Some(old) = loaded.as_mut() {
            old.now = old.now.minus(seconds(3600));
        }
        Ok(loaded)
    });
    let commits = memory.clone();
    store.expect_commit().returning(move |change| now(commits.commit(change)));
    store.expect_note().returning(move |note| now(memory.note(note)));
    let begin = product.context.store.now().await.unwrap();
    drop(run_with(&product, Context { store: Arc::new(store), ..product.context.clone() }).await);
    let reference = product.server(order.server).await.provider_ref.unwrap();
    assert!(reference.at >= begin, "an id is believed to be gone by how long ago it was made: {reference:?}");
}

/// Is the memory store; commits, and what is written of accounts, are for a test to answer.
pub(super) fn mock_store(product: &Product) -> MockStore {
    let mut store = MockStore::new();
    let [loads, notes, accounts, references, times] = [(); 5].map(|()| product.context.store.clone());
    store.expect_load().returning(move |tenant, server| now(loads.load(tenant, server)));
    store.expect_note().returning(move |note| now(notes.note(note)));
    store.expect_account().returning(move |id| now(accounts.account(id)));
    store.expect_references().returning(move |id| now(references.references(id)));
    store.expect_now().returning(move || now(times.now()));
    store
}

/// Lets time pass in the middle of a call that a mock answers at once.
fn takes(time: Duration) {
    // The clock is moved; that others have a turn then is not waited for.
    assert_eq!(tokio::time::advance(time).now_or_never(), None);
}

/// Else it would become unknown, and an order that was refused would be looked for.
#[tokio::test(start_paused = true)]
async fn the_answer_that_refuses_a_token_is_recorded_though_its_gate_cannot_be_closed() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unauthorized));
    let mut store = mock_store(&product);
    let memory = product.context.store.clone();
    store.expect_commit().returning(move |change| now(memory.commit(change)));
    let away = || StoreError::Unavailable { source: "away".into() };
    store.expect_save_account().times(1..).returning(move |_account| Err(away()));
    drop(run_with(&product, Context { store: Arc::new(store), ..product.context.clone() }).await);
    assert!(product.provider.calls(ProviderMethod::Create) > 0);
    let server = product.server(order.server).await;
    assert_eq!((server.intent, server.unsettled), (None, None));
    assert_eq!(product.provider.calls(ProviderMethod::Find), 0);
}

/// F5 holds when the wait begins, and no more when it ends.
#[tokio::test(start_paused = true)]
async fn an_effect_whose_turn_comes_when_the_lease_is_short_is_not_announced() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let before = product.server(order.server).await;
    let mut client = client(&product, Outlook::default());
    client.expect_reserve().times(1).returning(|_effect, request| {
        takes(seconds(2));
        Ok(request)
    });
    let provider = product.provider.clone();
    client.expect_create().returning(move |request, context| now(provider.create(request, context)));
    let converge = Converge::new(context_with(&product, client)).unwrap();
    let attempt = product.claim().await.unwrap();
    let timing = &product.context.timing;
    tokio::time::advance(timing.lease - timing.request_deadline - timing.margin - seconds(1)).await;
    let outcome = converge.run(attempt.job().payload.decode().unwrap(), &attempt).await;
    assert_eq!((outcome, product.provider.calls(ProviderMethod::Create)), (JobOutcome::Release, 0));
    assert_eq!(product.server(order.server).await, before);
}

/// Its time runs from before the commit: what the record says of when it is over holds.
#[tokio::test(start_paused = true)]
async fn a_request_whose_announcement_took_long_has_so_much_less_time() {
    let product = Product::new().await;
    drop(product.order("web-1", None).await.unwrap());
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::Stall);
    let mut store = mock_store(&product);
    let (memory, mut is_first) = (product.context.store.clone(), true);
    store.expect_commit().returning(move |change| {
        if std::mem::take(&mut is_first) {
            takes(seconds(4));
        }
        now(memory.commit(change))
    });
    let begin = Instant::now();
    drop(run_with(&product, Context { store: Arc::new(store), ..product.context.clone() }).await);
    assert_eq!(product.provider.calls(ProviderMethod::Create), 1);
    assert_eq!(begin.elapsed().as_secs(), product.context.timing.request_deadline.as_secs());
}
