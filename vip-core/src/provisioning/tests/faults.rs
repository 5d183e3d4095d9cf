//! Lost answers, late effects, refusals, outages, and workers that die or are slow.

use std::collections::BTreeSet;

use super::*;
use crate::memory::{ProviderFault, ProviderMethod};
use crate::model::{Labels, OperationStatus, ParkReason, ServerState, WaitReason};
use crate::ports::ProviderErrorKind;

const LONG: Duration = Duration::from_secs(4 * 3600);

async fn one_server_after(faults: &[(ProviderMethod, ProviderFault)]) -> Product {
    let product = Product::new().await;
    faults.iter().for_each(|(method, fault)| product.provider.fail_next(*method, *fault));
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(LONG).await;
    let server = product.server(order.server).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded, "{faults:?}: {server:#?}");
    assert_eq!(product.provider.ever_created().len(), 1, "{faults:?}");
    product.demand_audit().await;
    product
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_for_and_the_server_adopted() {
    let product = one_server_after(&[(ProviderMethod::Create, ProviderFault::LoseAnswer)]).await;
    assert_eq!(product.provider.calls(ProviderMethod::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_lands_late_is_met_by_its_own_name() {
    for delay in [1, 5, 60, 500] {
        let late = ProviderFault::HappenLater(Duration::from_secs(delay));
        one_server_after(&[(ProviderMethod::Create, late)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_that_were_not_applied_are_tried_again() {
    let throttled = ProviderErrorKind::Throttled { retry_after: Duration::from_secs(1) };
    for kind in [
        ProviderErrorKind::NotSent,
        ProviderErrorKind::Busy,
        ProviderErrorKind::Exhausted,
        ProviderErrorKind::Unauthorized,
        throttled,
    ] {
        let refused = ProviderFault::Refuse(kind);
        one_server_after(&[(ProviderMethod::Create, refused), (ProviderMethod::Get, refused)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_pair_of_faults_on_create_and_look_ends_in_one_server() {
    let faults = [
        ProviderFault::LoseAnswer,
        ProviderFault::HappenLater(Duration::from_secs(90)),
        ProviderFault::Refuse(ProviderErrorKind::Unknown),
        ProviderFault::Refuse(ProviderErrorKind::NotSent),
    ];
    for first in faults {
        for second in faults {
            one_server_after(&[(ProviderMethod::Create, first), (ProviderMethod::Create, second)]).await;
            one_server_after(&[(ProviderMethod::Create, first), (ProviderMethod::Find, second)]).await;
            one_server_after(&[(ProviderMethod::Create, first), (ProviderMethod::Get, second)]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_two_hours_fails_no_order_and_burns_no_attempt() {
    let product = Product::new().await;
    // One request per minute and order at the most: two hours are at most 120 of them.
    for method in [ProviderMethod::Create, ProviderMethod::Find] {
        for _ in 0..120 {
            product.provider.fail_next(method, ProviderFault::Refuse(ProviderErrorKind::Unknown));
        }
    }
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(Duration::from_secs(3600)).await;
    let waiting = product.server(order.server).await;
    assert_eq!(waiting.state, ServerState::Creating);
    assert!(waiting.wait_reason.is_some() && waiting.wake_at.is_some(), "it says why it waits and until when");
    product.settle_within(LONG * 3).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.provider.ever_created().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delete_while_the_create_is_in_the_air_ends_with_nothing() {
    for delay in [2, 40, 300, 599] {
        let product = Product::new().await;
        product.provider.fail_next(ProviderMethod::Create, ProviderFault::HappenLater(Duration::from_secs(delay)));
        // Only the first create was sent: the delete comes before it could be sent again.
        let order = product.order("web-1", None).await.unwrap().operation;
        let attempt = product.claim().await.unwrap();
        drop(product.run(attempt).await);
        let deletion = product.delete(order.server).await.unwrap().operation;
        product.settle_within(LONG).await;
        assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded, "late by {delay} s");
        tokio::time::advance(LONG).await;
        assert!(product.provider.servers().is_empty(), "late by {delay} s: a server nobody wants");
        product.demand_audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn quarantine_is_shown_as_the_reason_to_wait() {
    let product = Product::new().await;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    let order = product.order("web-1", None).await.unwrap().operation;
    let attempt = product.claim().await.unwrap();
    drop(product.run(attempt).await);
    drop(product.delete(order.server).await.unwrap());
    product.settle_within(Duration::from_secs(120)).await;
    assert_eq!(product.server(order.server).await.wait_reason, Some(WaitReason::Quarantine));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_server_with_our_name_parks_the_order_and_is_never_touched() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let name = product.server(order.server).await.provider_name;
    let foreign = product.provider.put(name.as_str(), Labels::new()).unwrap();
    product.settle_within(Duration::from_secs(1800)).await;
    assert_eq!(product.server(order.server).await.park_reason, Some(ParkReason::ForeignName));
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Parked);
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
    // Its cause goes away: the order goes on by itself.
    assert!(product.provider.vanish(&foreign));
    product.settle_within(LONG).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_parked_order_is_deleted_cleanly() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let name = product.server(order.server).await.provider_name;
    product.provider.put(name.as_str(), Labels::new()).unwrap();
    product.settle_within(Duration::from_secs(1800)).await;
    let deletion = product.delete(order.server).await.unwrap().operation;
    product.settle_within(LONG).await;
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.provider.servers().len(), 1, "the foreign server stays");
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_order_fails_once_nothing_is_left() {
    let product = Product::new().await;
    let rejected = ProviderFault::Refuse(ProviderErrorKind::InvalidInput);
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::LoseAnswer);
    product.provider.fail_next(ProviderMethod::Find, ProviderFault::Refuse(ProviderErrorKind::NotSent));
    product.provider.fail_next(ProviderMethod::Create, rejected);
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(LONG).await;
    let ended = product.operation(order.id).await;
    // The lost create made the server, so the order is fulfilled by it and the rejection never comes.
    assert_eq!(ended.status, OperationStatus::Succeeded);

    let product = Product::new().await;
    product.provider.fail_next(ProviderMethod::Create, rejected);
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(LONG).await;
    let ended = product.operation(order.id).await;
    assert_eq!((ended.status, ended.code.as_deref()), (OperationStatus::Failed, Some("rejected")));
    assert!(product.provider.ever_created().is_empty());
}

/// Polls a run so often and drops it, as a worker that dies: nobody hears the answer of a call that it has begun. Says whether the run
/// had come to its end.
async fn die_after(turns: usize, run: impl Future<Output = JobOutcome>) -> bool {
    let mut run = std::pin::pin!(run);
    let mut turn = 0;
    std::future::poll_fn(|context| {
        turn += 1;
        let has_ended = run.as_mut().poll(context).is_ready();
        if has_ended || turn >= turns {
            return std::task::Poll::Ready(has_ended);
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_at_any_point_of_an_order_is_replaced_by_one_that_looks_first() {
    let (mut left_behind, mut has_ended, mut turns) = (BTreeSet::new(), false, 0);
    while !has_ended {
        turns += 1;
        assert!(turns < 100, "the attempt has no end");
        let (product, _store) = Product::yielding().await;
        let order = product.order("web-1", None).await.unwrap().operation;
        let attempt = product.claim().await.unwrap();
        let payload = attempt.job().payload.decode().unwrap();
        has_ended = die_after(turns, product.converge.run(payload, &attempt)).await;
        let intent = product.server(order.server).await.intent;
        left_behind.insert((intent.is_some(), product.provider.calls(ProviderMethod::Create)));

        tokio::time::advance(product.context.timing.lease).await;
        product.settle_within(LONG).await;
        assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded, "after {turns} turns");
        assert_eq!(product.provider.ever_created().len(), 1, "after {turns} turns");
        assert_eq!(product.provider.calls(ProviderMethod::Create), 1, "after {turns} turns");
        product.demand_audit().await;
    }
    // Nothing is done yet; announced; sent, and nobody has written down the answer; written down.
    assert_eq!(left_behind, BTreeSet::from([(false, 0), (true, 0), (true, 1), (false, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_worker_changes_nothing_after_its_successor_has_written() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let zombie = product.claim().await.unwrap();
    tokio::time::advance(product.context.timing.lease).await;
    product.context.queue.reap(5, 10).await.unwrap();
    product.settle_within(LONG).await;
    let before = product.server(order.server).await;
    assert_eq!(before.state, ServerState::Running);
    drop(product.delete(order.server).await.unwrap());
    let waiting = product.server(order.server).await;
    // The zombie wakes up, loads the fresh record, and is refused all the same. It does not come back at once: were its
    // lease in force, it would turn in circles.
    let JobOutcome::Snooze { delay } = product.run(zombie).await else { panic!("it was not refused") };
    assert!(delay >= product.context.timing.backoff_first / 2 && delay <= product.context.timing.backoff_first);
    assert_eq!(product.server(order.server).await, waiting);
    assert_eq!(product.provider.calls(ProviderMethod::Delete), 0);
}

#[tokio::test(start_paused = true)]
async fn the_lease_guard_refuses_a_call_that_could_outlive_the_lease() {
    let product = Product::new().await;
    drop(product.order("web-1", None).await.unwrap());
    let attempt = product.claim().await.unwrap();
    let timing = &product.context.timing;
    tokio::time::advance(timing.lease - timing.request_deadline - timing.margin).await;
    assert_eq!(product.run(attempt).await, JobOutcome::Release);
    assert_eq!(product.provider.calls(ProviderMethod::Create), 0);
}

/// Another process has a token of another project, which is suspect: it leaves the order to the one that can.
#[tokio::test(start_paused = true)]
async fn a_process_whose_token_is_suspect_leaves_orders_to_those_whose_token_is_not() {
    let product = Product::new().await;
    let running = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(LONG).await;
    let elsewhere: Arc<dyn ProviderClient> = Arc::new(MemoryProvider::with_token(Duration::ZERO, "other"));
    let account = AccountId::default_account();
    let providers = Arc::new(BTreeMap::from([(account.clone(), elsewhere)]));
    let misled = Context { providers, ..product.context.clone() };
    assert!(matches!(
        crate::provisioning::check_token(&misled, &account).await.unwrap(),
        crate::provisioning::TokenCheck::Suspect { .. }
    ));
    drop(product.delete(running.server).await.unwrap());
    let attempt = product.claim().await.unwrap();
    let payload = attempt.job().payload.decode().unwrap();
    let outcome = Converge::new(misled.clone()).unwrap().run(payload, &attempt).await;
    assert_eq!(outcome, JobOutcome::Leave { delay: product.context.timing.backoff_first });
    assert_eq!(product.server(running.server).await.wait_reason, Some(WaitReason::AccountBlocked));
    // Where no token is open, nobody is left to go on: it waits for the probe.
    crate::provisioning::close_gate(&product.context, &account, false).await.unwrap();
    let blocked = Converge::new(misled).unwrap().run(attempt.job().payload.decode().unwrap(), &attempt).await;
    assert!(matches!(blocked, JobOutcome::Snooze { .. }), "{blocked:?}");
}

/// More commits than an attempt makes, repeats included.
const ALL_COMMITS: u32 = 10_000;

#[tokio::test(start_paused = true)]
async fn an_effect_whose_announcement_is_not_committed_is_not_called() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.memory.refuse_commits(0, ALL_COMMITS);
    let attempt = product.claim().await.unwrap();
    assert!(matches!(product.run(attempt).await, JobOutcome::Snooze { .. }), "no attempt is burned");
    assert_eq!(product.provider.calls(ProviderMethod::Create), 0);
    assert_eq!(product.server(order.server).await.state, ServerState::Requested);
    product.memory.refuse_commits(0, 0);
    product.settle_within(LONG).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_not_committed_stops_the_attempt_and_is_found_by_a_look() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.memory.refuse_commits(1, ALL_COMMITS);
    let attempt = product.claim().await.unwrap();
    assert!(matches!(product.run(attempt).await, JobOutcome::Snooze { .. }), "no attempt is burned");
    assert!(product.server(order.server).await.intent.is_some(), "only the announcement is there");
    product.memory.refuse_commits(0, 0);
    product.settle_within(LONG).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
    assert_eq!(product.provider.calls(ProviderMethod::Create), 1);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn the_dead_job_of_an_order_parks_it_and_a_replay_takes_it_up_again() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let attempt = product.claim().await.unwrap();
    product.converge.died(attempt.job().payload.decode().ok(), &attempt, "panic").await.unwrap();
    let verdict = Verdict::Dead { code: "panic".to_owned() };
    product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap();
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Parked);
    assert_eq!(product.server(order.server).await.park_reason, Some(ParkReason::HandlerFailed));
    product.settle_within(LONG).await;
    assert!(product.provider.ever_created().is_empty(), "nothing revives it by itself");
    assert!(product.context.queue.replay(attempt.job().id).await.unwrap());
    product.settle_within(LONG).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
    product.demand_audit().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_delete_takes_up_one_whose_job_is_dead() {
    let product = Product::new().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.settle_within(LONG).await;
    let deletion = product.delete(order.server).await.unwrap().operation;
    let attempt = product.claim().await.unwrap();
    product.converge.died(attempt.job().payload.decode().ok(), &attempt, "panic").await.unwrap();
    let verdict = Verdict::Dead { code: "panic".to_owned() };
    product.context.queue.settle(&[Settlement { lease: attempt.lease(), verdict }]).await.unwrap();
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Parked);
    let again = product.delete(order.server).await.unwrap();
    assert!(again.replayed && again.operation.id == deletion.id);
    product.settle_within(LONG).await;
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_delete_of_a_failing_order_ends_deleted() {
    let (product, order) = Product::with_failing_order().await;
    let deletion = product.delete(order.server).await.unwrap().operation;
    product.settle_within(LONG).await;
    assert_eq!(product.server(order.server).await.state, ServerState::Deleted);
    assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
    product.demand_audit().await;
}
