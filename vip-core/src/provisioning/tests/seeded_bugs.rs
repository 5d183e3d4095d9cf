//! Each seeded bug bites: with it on, a small scenario goes wrong; with it off, the same one goes right.

use super::*;
use crate::memory::{ManualClock, ProviderFault, ProviderMethod};
use crate::model::{
    Labels, OWNER_LABEL, OperationStatus, PageLimit, PageRequest, SERVER_LABEL, ServerState, WaitReason,
};
use crate::model::{SightingClass, SightingKey};
use crate::ports::{Guard, Note, ProviderErrorKind, Settled};
use crate::provisioning::sweep::{Finding, Sweep, SweepMode, ripen};
use crate::provisioning::{TokenCheck, check_token};
use crate::seeded_bugs::{SeededBug, activate, all, parse};

const LONG: Duration = Duration::from_secs(4 * 3600);
/// More commits than a test makes, repeats included.
const ALL_COMMITS: u32 = 10_000;

#[tokio::test(start_paused = true)]
async fn every_seeded_bug_bites_when_it_is_on_and_only_then() {
    let mut wrong = Vec::new();
    for bug in all().iter().copied() {
        for is_on in [false, true] {
            activate(is_on.then_some(bug));
            if goes_wrong(bug).await.is_some_and(|bites| bites != is_on) {
                wrong.push((bug, is_on));
            }
            activate(None);
        }
    }
    assert!(wrong.is_empty(), "bug and whether it was on: {wrong:?}");
}

#[test]
fn every_name_is_unique_and_finds_its_bug() {
    assert_eq!(all().len(), 30);
    for bug in all().iter().copied() {
        assert_eq!(parse(bug.name()), Some(bug));
        assert!(!bug.rule().is_empty() && !bug.seen_by().is_empty());
    }
    assert_eq!(parse("none_such"), None);
}

/// Plays the scenario of a bug; none for those that are proven elsewhere.
#[expect(clippy::too_many_lines, reason = "one arm for each bug")]
async fn goes_wrong(bug: SeededBug) -> Option<bool> {
    let product = Product::new().await;
    let wrong = match bug {
        SeededBug::NoFence | SeededBug::FenceByAttempt | SeededBug::TakeoverWithoutEpoch => {
            zombie_writes(&product).await
        }
        SeededBug::HolderNotChecked => old_holder_writes(&product).await,
        SeededBug::BlindRetry => {
            let order = ordered_with(&product, ProviderFault::LoseAnswer).await;
            product.settle_within(LONG).await;
            product.operation(order.id).await.status == OperationStatus::Failed
        }
        SeededBug::AdoptByNameOnly => {
            let order = ordered_beside_a_foreign_one(&product).await;
            product.server(order.server).await.state == ServerState::Running
        }
        SeededBug::DeleteByName => {
            let order = ordered_beside_a_foreign_one(&product).await;
            drop(product.delete(order.server).await.unwrap());
            product.settle_within(LONG).await;
            product.provider.servers().is_empty()
        }
        SeededBug::NoIntentBeforeCreate => {
            drop(product.order("web-1", None).await.unwrap());
            product.memory.refuse_commits(0, ALL_COMMITS);
            drop(run_once(&product).await);
            product.provider.calls(ProviderMethod::Create) > 0
        }
        SeededBug::NoQuarantine | SeededBug::QuarantineSkippedOnDelete => {
            let order = ordered_with(&product, ProviderFault::HappenLater(Duration::from_secs(300))).await;
            drop(run_once(&product).await);
            drop(product.delete(order.server).await.unwrap());
            product.settle_within(LONG).await;
            tokio::time::advance(LONG).await;
            !product.provider.servers().is_empty()
        }
        SeededBug::NoSweep => {
            running(&product, None).await;
            sweep(&product).await == 0
        }
        SeededBug::SweepOnFirstSighting => ripens_at_once(&product),
        SeededBug::SweepWithoutOwner => sweep_removes_what_another_owns(&product).await,
        SeededBug::AckBeforeCommit => {
            product.memory.refuse_commits(0, ALL_COMMITS);
            product.order("web-1", None).await.is_ok()
        }
        SeededBug::AuditOutsideCommit => {
            product.memory.refuse_commits(1, ALL_COMMITS);
            drop(product.order("web-1", None).await.unwrap());
            crate::relay::seal_all(product.context.store.as_ref()).await.unwrap();
            crate::provisioning::verify_audit(&product.context, &tenant(), None).await.is_err()
        }
        SeededBug::LeaseByLocalClock => {
            drop(product.order("web-1", None).await.unwrap());
            drop(product.claim().await.unwrap());
            let ahead = product.context.clock.now().plus(product.context.timing.lease * 2);
            let ports = product.memory.ports_with_local_clock(Arc::new(ManualClock::new(ahead)));
            ports.queue.reap(5, 10).await.unwrap() > 0
        }
        SeededBug::OutageBurnsAttempts => {
            product.provider.fail_next(ProviderMethod::Find, ProviderFault::Refuse(ProviderErrorKind::Unknown));
            drop(ordered_with(&product, ProviderFault::Refuse(ProviderErrorKind::Unknown)).await);
            matches!(run_once(&product).await, JobOutcome::Retry { .. })
        }
        SeededBug::SnoozeResetsEpoch => {
            let order = product.order("web-1", None).await.unwrap().operation;
            drop(run_once(&product).await);
            tokio::time::advance(Duration::from_secs(60)).await;
            let before = product.server(order.server).await;
            drop(run_once(&product).await);
            product.server(order.server).await == before
        }
        SeededBug::LostWakeUp => {
            assert!(product.claim().await.is_none());
            drop(product.order("web-1", None).await.unwrap());
            let begin = Instant::now();
            product.context.queue.wait(Duration::from_secs(30)).await;
            begin.elapsed() > Duration::ZERO
        }
        SeededBug::KeyOutsideCommit => {
            product.memory.refuse_commits(1, ALL_COMMITS);
            drop(product.order("web-1", Some("key")).await.unwrap());
            product.memory.refuse_commits(0, 0);
            !product.order("web-1", Some("key")).await.unwrap().replayed
        }
        SeededBug::QuotaOutsideCommit => {
            let (one, other) =
                tokio::join!(product.order_within("a", None, Some(1)), product.order_within("b", None, Some(1)));
            one.is_ok() && other.is_ok()
        }
        SeededBug::KeyForgottenAfterDelete => {
            let id = running(&product, Some("key")).await;
            drop(product.delete(id).await.unwrap());
            product.settle_within(LONG).await;
            !product.order("web-1", Some("key")).await.unwrap().replayed
        }
        SeededBug::TenantMissingInQuery => {
            drop(product.order("web-1", None).await.unwrap());
            let page = PageRequest::first(PageLimit::most());
            let other = TenantId::new("other").unwrap();
            !product.context.store.servers(&other, &page).await.unwrap().items.is_empty()
        }
        SeededBug::RerunMarkLost => {
            let order = product.order("web-1", None).await.unwrap().operation;
            let attempt = product.claim().await.unwrap();
            drop(product.delete(order.server).await.unwrap());
            settle(&product, &attempt).await;
            product.claim().await.is_none()
        }
        SeededBug::SettleByJobAlone => {
            let (_, zombie, _successor) = replaced(&product).await;
            settle(&product, &zombie).await == Settled::Applied
        }
        SeededBug::AdoptingClearsLand => {
            let order = ordered_with(&product, ProviderFault::LoseAnswer).await;
            drop(run_once(&product).await);
            product.server(order.server).await.land.is_empty()
        }
        SeededBug::NextAccountWhileOpen => next_account_is_tried(&product).await,
        SeededBug::UncheckedTokenBelieved => {
            running(&product, None).await;
            let elsewhere: Arc<dyn ProviderClient> = Arc::new(MemoryProvider::with_token(Duration::ZERO, "other"));
            let account = AccountId::default_account();
            let providers = Arc::new(BTreeMap::from([(account.clone(), elsewhere)]));
            let context = Context { providers, ..product.context.clone() };
            check_token(&context, &account).await.unwrap() == TokenCheck::Open
        }
        SeededBug::InventoryBeforeRecords => {
            running(&product, None).await;
            tokens::check_while_an_order_ends(&product).await != TokenCheck::Open
        }
        // The worker's tests prove it.
        SeededBug::UndecodableForEver => return None,
    };
    Some(wrong)
}

async fn run_once(product: &Product) -> JobOutcome {
    let attempt = product.claim().await.unwrap();
    product.run(attempt).await
}

async fn running(product: &Product, key: Option<&str>) -> ServerId {
    let order = product.order("web-1", key).await.unwrap().operation;
    product.settle_within(LONG).await;
    order.server
}

async fn ordered_with(product: &Product, fault: ProviderFault) -> Operation {
    product.provider.fail_next(ProviderMethod::Create, fault);
    product.order("web-1", None).await.unwrap().operation
}

async fn ordered_beside_a_foreign_one(product: &Product) -> Operation {
    let order = product.order("web-1", None).await.unwrap().operation;
    let name = product.server(order.server).await.provider_name;
    product.provider.put(name.as_str(), Labels::new()).unwrap();
    product.settle_within(Duration::from_secs(1800)).await;
    order
}

async fn settle(product: &Product, attempt: &Attempt) -> Settled {
    let done = Settlement { lease: attempt.lease(), verdict: Verdict::Done };
    product.context.queue.settle(&[done]).await.unwrap()[0]
}

async fn sweep(product: &Product) -> usize {
    let sweep = Sweep::new(product.context.clone(), SweepMode::Repair).unwrap();
    sweep.once(&AccountId::default_account()).await.unwrap().listed
}

/// Returns an order, an attempt whose lease is over, and its successor.
async fn replaced(product: &Product) -> (Operation, Attempt, Attempt) {
    let order = product.order("web-1", None).await.unwrap().operation;
    let zombie = product.claim().await.unwrap();
    tokio::time::advance(product.context.timing.lease).await;
    product.context.queue.reap(5, 10).await.unwrap();
    let successor = product.claim().await.unwrap();
    (order, zombie, successor)
}

async fn zombie_writes(product: &Product) -> bool {
    let (order, zombie, successor) = replaced(product).await;
    drop(product.run(successor).await);
    let (server, lease) = (product.server(order.server).await, zombie.lease());
    // By the store's fence alone: whoever sees that its own lease is over does not even try.
    let guard = Guard::Takeover { stamp: server.stamp, claim: lease.claim, epoch: lease.epoch, lease: None };
    product.context.store.note(&Note { tenant: tenant(), guard, server }).await.is_ok()
}

async fn old_holder_writes(product: &Product) -> bool {
    let order = product.order("web-1", None).await.unwrap().operation;
    let stamp = product.server(order.server).await.stamp;
    let claim = |number| ClaimId::from_uuid(uuid::Uuid::from_u128(number));
    let takeover = |number, epoch| Guard::Takeover { stamp, claim: claim(number), epoch, lease: None };
    let late = Guard::Holder { stamp, claim: claim(1), lease: None };
    let mut last = Ok(());
    for guard in [takeover(1, 1), takeover(2, 2), late] {
        let server = product.server(order.server).await;
        last = product.context.store.note(&Note { tenant: tenant(), guard, server }).await;
    }
    last.is_ok()
}

fn ripens_at_once(product: &Product) -> bool {
    let provider_id = crate::model::ProviderServerId::new("1").unwrap();
    let key = SightingKey { account: AccountId::default_account(), id: provider_id };
    let server = Some(product.context.server_id());
    let missing = Finding { key, server, class: SightingClass::Missing, at_once: false };
    let now = product.context.clock.now();
    ripen(&[], &[missing], false, SweepMode::Repair, now, &product.context.timing).sightings[0].ripe
}

async fn sweep_removes_what_another_owns(product: &Product) -> bool {
    let id = running(product, None).await;
    drop(product.delete(id).await.unwrap());
    product.settle_within(LONG).await;
    let labels = [(OWNER_LABEL, installation(2).to_string()), (SERVER_LABEL, id.to_string())];
    let labels = labels.map(|(key, value)| (key.to_owned(), value));
    product.provider.put("of-another", Labels::from(labels)).unwrap();
    for _ in 0..3 {
        sweep(product).await;
        product.settle_within(LONG).await;
        tokio::time::advance(product.context.timing.sweep_grace).await;
    }
    product.provider.servers().is_empty()
}

async fn next_account_is_tried(product: &Product) -> bool {
    for kind in [ProviderErrorKind::Unknown, ProviderErrorKind::Exhausted] {
        product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(kind));
    }
    let accounts = vec![AccountId::default_account(), AccountId::new("second").unwrap()];
    let command = CreateServer { spec: spec("web-1"), accounts, ..CreateServer::default() };
    let order = create_server(&product.context, &Product::caller(None), &command).await.unwrap().operation;
    product.settle_within(Duration::from_secs(60)).await;
    product.server(order.server).await.wait_reason == Some(WaitReason::AccountBlocked)
}
