//! What becomes of orders and of a start while nobody can read what is kept of an account, the same for each adapter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vip_core::Provisioner;
use vip_core::conformance::samples::tenant;
use vip_core::conformance::{BackendFixture, account, claim_id};
use vip_core::memory::{MemoryProvider, ProviderMethod};
use vip_core::model::{
    Account, AccountId, Actor, JobKey, JobKind, PageLimit, PageRequest, ServerId, ServerSpec, ServerState, Timing,
    WaitReason,
};
use vip_core::ports::{
    ClaimRequest, ProviderClient, Settled, Settlement, StoreError, SystemClock, SystemRandomness, Verdict,
};
use vip_core::provisioning::accept::{Caller, CreateServer, create_server};
use vip_core::provisioning::converge::Converge;
use vip_core::provisioning::kinds::CONVERGE;
use vip_core::provisioning::{Context, check_token};
use vip_core::runtime::HealthStatus;
use vip_core::worker::{Attempt, JobHandler, JobOutcome};

/// Name of the account that is damaged.
pub const CLOSED: &str = "closed";

fn named(name: &str) -> AccountId {
    AccountId::new(name).expect("a name")
}

async fn context(fixture: &dyn BackendFixture, clouds: &[(AccountId, MemoryProvider)]) -> Context {
    let client = |cloud: &MemoryProvider| -> Arc<dyn ProviderClient> { Arc::new(cloud.clone()) };
    let backend = fixture.backend().clone();
    let installation = backend.store.installation().await.expect("an installation");
    Context {
        store: backend.store,
        queue: backend.queue,
        outbox: None,
        providers: Arc::new(clouds.iter().map(|(id, cloud)| (id.clone(), client(cloud))).collect::<BTreeMap<_, _>>()),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        timing: Arc::new(Timing::default()),
        installation,
    }
}

fn caller() -> Caller {
    let actor = Actor::principal("tester").expect("a name");
    Caller { tenant: tenant("acme"), actor, request_id: None, trace_parent: None, key: None }
}

async fn order(context: &Context, account: &AccountId) -> ServerId {
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let command = CreateServer { spec, accounts: vec![account.clone()], ..CreateServer::default() };
    create_server(context, &caller(), &command).await.expect("it is accepted").operation.server
}

/// Makes an attempt at each order that is due; each of them waits afterwards, and burns nothing.
async fn attempt_all(context: &Context) {
    let converge = Converge::new(context.clone()).expect("a handler");
    let request = ClaimRequest {
        kinds: vec![JobKind::new(CONVERGE).expect("a kind")],
        most: 9,
        lease: context.timing.lease,
        claim: claim_id(),
    };
    for claimed in context.queue.claim(&request).await.expect("they are claimed") {
        let attempt = Attempt::for_test(claimed, context.timing.margin);
        let payload = attempt.job().payload.decode().expect("a payload");
        let outcome = converge.run(payload, &attempt).await;
        let JobOutcome::Snooze { delay } = outcome else { panic!("an order does not wait: {outcome:?}") };
        let settlement = Settlement { lease: attempt.lease(), verdict: Verdict::Snooze { delay } };
        assert_eq!(context.queue.settle(&[settlement]).await.expect("it is settled"), [Settled::Applied]);
    }
}

/// Demands that nobody can read the account, and that nobody writes over it either.
async fn demand_untouched(context: &Context, closed: &AccountId, body: &str) {
    let read = context.store.account(closed).await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{body}: {read:?}");
    let written = context.store.save_account(&Account::unknown(closed.clone())).await;
    assert!(matches!(written, Err(StoreError::Conflict)), "{body}: {written:?}");
    let checked = check_token(context, closed).await;
    assert!(matches!(checked, Err(StoreError::Corrupt { .. })), "{body}: {checked:?}");
}

/// Has what is kept of the account [`CLOSED`] replaced by each of some SQL expressions, by the account as a later version would keep
/// it, and by another account: orders of another account are loaded and made as ever, one of its own waits, burns nothing and
/// asks for nothing, until the account can be read again.
///
/// # Panics
///
/// If it is not so.
pub async fn an_unreadable_account_stops_its_own_orders_alone(
    fixture: &dyn BackendFixture,
    unreadable: &[&str],
    write: impl AsyncFn(String),
) {
    // A server that is made does not run before the test ends.
    let cloud = |token: &str| MemoryProvider::with_token(Duration::from_secs(3600), token);
    let clouds = [CLOSED, "open"].map(|name| (named(name), cloud(name)));
    let context = context(fixture, &clouds).await;
    for (account, _) in &clouds {
        check_token(&context, account).await.expect("its token is checked");
    }
    let [(closed, of_closed), (open, of_open)] = &clouds;
    let servers = [order(&context, closed).await, order(&context, open).await];
    let whole =
        serde_json::to_string(&context.store.account(closed).await.expect("it is read")).expect("it is written");
    let other = serde_json::to_string(&context.store.account(open).await.expect("it is read")).expect("it is written");
    let later = whole.replace("\"open\"", "\"ajar\"");
    assert_ne!(later, whole);
    let more = [later, other].map(|body| format!("'{body}'"));
    let key = JobKey::new(format!("converge:{}", servers[0])).expect("a key");
    let bodies = unreadable.iter().copied().chain(more.iter().map(String::as_str));
    for (round, body) in (1..).zip(bodies) {
        write(body.to_owned()).await;
        for server in &servers {
            let loaded =
                context.store.load(&caller().tenant, *server).await.expect("it is loaded").expect("it is there");
            let known: Vec<&AccountId> = loaded.accounts.iter().map(|account| &account.id).collect();
            assert_eq!(known, [open], "{body}");
        }
        attempt_all(&context).await;
        let loaded =
            context.store.load(&caller().tenant, servers[0]).await.expect("it is loaded").expect("it is there");
        let stands = (loaded.server.state, loaded.server.wait_reason);
        assert_eq!(stands, (ServerState::Requested, Some(WaitReason::AccountBlocked)), "{body}");
        let job = context.queue.find(&key).await.expect("it is found").expect("it is there");
        assert_eq!((job.counts.attempts, job.counts.snoozes), (0, round), "{body}");
        demand_untouched(&context, closed, body).await;
        fixture.advance(context.timing.probe_first).await;
    }
    for method in [ProviderMethod::Create, ProviderMethod::Find, ProviderMethod::Get] {
        assert_eq!(of_closed.calls(method), 0, "{method:?}");
    }
    assert_eq!(of_open.calls(ProviderMethod::Create), 1, "the other order was made");
    write(format!("'{whole}'")).await;
    attempt_all(&context).await;
    assert_eq!(of_closed.calls(ProviderMethod::Create), 1, "it goes on by itself");
}

/// Has what is kept of the usual account damaged: a product with it and another one starts, works in the other, lists operations,
/// and its health names the one that is damaged.
///
/// # Panics
///
/// If it is not so.
pub async fn an_unreadable_account_keeps_no_product_from_starting(
    fixture: &dyn BackendFixture,
    damage: impl AsyncFnOnce(AccountId),
) {
    fixture.store().save_account(&Account::unknown(account())).await.expect("it is kept");
    damage(account()).await;
    let other = named("other");
    let builder = Provisioner::builder(fixture.backend().clone()).account(account(), MemoryProvider::default());
    let builder = builder.account(other.clone(), MemoryProvider::default());
    let product = builder.start().await.expect("it starts");
    let health = product.health().await;
    let part = |account: &AccountId| {
        let name = format!("account:{account}");
        let part = health.parts.iter().find(|part| part.name == name).expect("health names it");
        (part.status, part.detail.clone().unwrap_or_default())
    };
    let (status, detail) = part(&account());
    assert!(status == HealthStatus::Degraded && detail.contains("cannot be read"), "{status:?}: {detail}");
    assert_eq!(part(&other), (HealthStatus::Ok, String::new()));
    let page = PageRequest::first(PageLimit::most());
    assert!(product.tenant("acme").operations(&page).await.expect("they are listed").items.is_empty());
    assert_eq!(product.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}
