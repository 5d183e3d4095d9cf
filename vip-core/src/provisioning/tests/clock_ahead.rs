//! The clock of store and queue is hours or a year ahead for a while: what was written meanwhile is waited for no longer than otherwise.

use super::*;
use crate::memory::{MemoryQueue, ProviderFault, ProviderMethod, ShiftedClock};
use crate::model::{Labels, OperationStatus, ParkReason, ServerState};
use crate::ports::ProviderErrorKind;
use crate::provisioning::sweep::{Sweep, SweepMode};

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const HOUR: Duration = Duration::from_secs(3600);
/// Further ahead than any wait of these timings, and less than any lease of others.
const HOURS: Duration = Duration::from_secs(3 * 3600);
/// More commits than an attempt makes, repeats included.
const ALL_COMMITS: u32 = 10_000;

async fn on_a_clock() -> (Product, Arc<ShiftedClock>) {
    let clock = Arc::new(ShiftedClock::new(START));
    let product = Product::on_clock(MemoryProvider::default(), installation(1), clock.clone()).await;
    (product, clock)
}

impl Product {
    async fn one_attempt(&self) {
        drop(self.run(self.claim().await.unwrap()).await);
    }

    /// Goes on with an empty queue apart from the store, as if the one before was lost or exchanged.
    fn with_an_empty_queue(self, clock: &Arc<ShiftedClock>) -> Self {
        let (queue, outbox) = (Arc::new(MemoryQueue::alone(clock.clone())), Some(self.context.queue.clone()));
        let context = Context { queue, outbox, ..self.context.clone() };
        Self { converge: Converge::new(context.clone()).unwrap(), context, ..self }
    }

    /// Sets the clock right, and sweeps as a running product does; returns how many records have stalled.
    async fn set_right(&self, clock: &ShiftedClock) -> usize {
        clock.set_ahead(Duration::ZERO);
        let sweep = Sweep::new(self.context.clone(), SweepMode::Repair).unwrap();
        sweep.once(&AccountId::default_account()).await.unwrap().stalled
    }

    /// Sets the clock right, and demands that an order then ends well within an hour.
    async fn goes_on(&self, clock: &ShiftedClock, order: &Operation) {
        assert_eq!(self.set_right(clock).await, 1);
        self.settle_within(HOUR).await;
        let server = self.server(order.server).await;
        assert_eq!(self.operation(order.id).await.status, OperationStatus::Succeeded, "{server:#?}");
        assert_eq!(self.provider.ever_created().len(), 1);
        self.demand_audit().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_under_way_ends_within_the_hour() {
    // It looks again, or it backs off.
    let throttled = ProviderErrorKind::Throttled { retry_after: Duration::from_secs(1) };
    let all = [None, Some(ProviderErrorKind::Busy), Some(throttled)];
    for (refused, ahead) in all.into_iter().flat_map(|refused| [(refused, HOURS), (refused, YEAR)]) {
        let (product, clock) = on_a_clock().await;
        let order = product.order("web-1", None).await.unwrap().operation;
        product.settle_within(HOUR).await;
        let deletion = product.delete(order.server).await.unwrap().operation;
        if let Some(kind) = refused {
            product.provider.fail_next(ProviderMethod::Delete, ProviderFault::Refuse(kind));
        }
        clock.set_ahead(ahead);
        product.one_attempt().await;
        product.goes_on(&clock, &deletion).await;
        assert!(product.provider.servers().is_empty(), "{refused:?} {ahead:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_without_an_answer_holds_up_neither_its_order_nor_a_deletion() {
    for (is_deleted, ahead) in [(false, HOURS), (false, YEAR), (true, HOURS), (true, YEAR)] {
        let (product, clock) = on_a_clock().await;
        clock.set_ahead(ahead);
        product.provider.fail_next(ProviderMethod::Create, ProviderFault::HappenLater(Duration::from_secs(300)));
        let order = product.order("web-1", None).await.unwrap().operation;
        product.one_attempt().await;
        assert!(!product.server(order.server).await.land.is_empty());
        if is_deleted {
            clock.set_ahead(Duration::ZERO);
            let deletion = product.delete(order.server).await.unwrap().operation;
            product.settle_within(HOUR).await;
            assert_eq!(product.operation(deletion.id).await.status, OperationStatus::Succeeded);
            assert!(product.provider.servers().is_empty(), "what landed late is removed");
        } else {
            product.goes_on(&clock, &order).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_nobody_answers_is_over_after_its_request() {
    let (product, clock) = on_a_clock().await;
    clock.set_ahead(YEAR);
    let order = product.order("web-1", None).await.unwrap().operation;
    product.memory.refuse_commits(1, ALL_COMMITS);
    product.one_attempt().await;
    product.memory.refuse_commits(0, 0);
    assert!(product.server(order.server).await.intent.is_some(), "only the announcement is there");
    product.goes_on(&clock, &order).await;
    assert_eq!(product.provider.calls(ProviderMethod::Create), 1);
}

#[tokio::test(start_paused = true)]
async fn the_job_of_a_worker_that_died_is_taken_up() {
    let (product, clock) = on_a_clock().await;
    clock.set_ahead(YEAR);
    let order = product.order("web-1", None).await.unwrap().operation;
    drop(product.claim().await.unwrap());
    product.goes_on(&clock, &order).await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_order_is_checked_again() {
    let (product, clock) = on_a_clock().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    let name = product.server(order.server).await.provider_name;
    let foreign = product.provider.put(name.as_str(), Labels::new()).unwrap();
    clock.set_ahead(YEAR);
    product.one_attempt().await;
    let parked = product.server(order.server).await;
    assert_eq!((parked.state, parked.park_reason), (ServerState::Parked, Some(ParkReason::ForeignName)));
    assert!(product.provider.vanish(&foreign));
    assert_eq!(product.set_right(&clock).await, 1);
    product.settle_within(HOUR).await;
    assert_eq!(product.operation(order.id).await.status, OperationStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_refused_is_probed_again() {
    for ahead in [HOURS, YEAR] {
        let (product, clock) = on_a_clock().await;
        let order = product.order("web-1", None).await.unwrap().operation;
        product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unauthorized));
        clock.set_ahead(ahead);
        product.one_attempt().await;
        product.goes_on(&clock, &order).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_held_under_a_queue_that_is_lost_goes_on_under_the_next_one() {
    for is_deleted in [false, true] {
        let (product, clock) = on_a_clock().await;
        let mut operation = product.order("web-1", None).await.unwrap().operation;
        if is_deleted {
            product.settle_within(HOUR).await;
            operation = product.delete(operation.server).await.unwrap().operation;
        }
        clock.set_ahead(YEAR);
        product.one_attempt().await;
        let ahead = product.server(operation.server).await.holder_epoch;
        let product = product.with_an_empty_queue(&clock);
        product.goes_on(&clock, &operation).await;
        let held = product.server(operation.server).await.holder_epoch;
        assert!(held > ahead, "{is_deleted}: {held} after {ahead}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stood_still_since_a_queue_that_is_lost_takes_nothing_from_its_successor() {
    let (product, clock) = on_a_clock().await;
    let order = product.order("web-1", None).await.unwrap().operation;
    product.provider.fail_next(ProviderMethod::Create, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    clock.set_ahead(YEAR);
    let JobOutcome::Snooze { delay } = product.run(product.claim().await.unwrap()).await else { panic!("it waits") };
    tokio::time::advance(delay).await;
    // Its epoch lies above all that the next queue gives.
    let stalled = product.claim().await.unwrap();
    tokio::time::advance(product.context.timing.lease).await;
    let product = product.with_an_empty_queue(&clock);
    assert_eq!(product.set_right(&clock).await, 1);
    // The first is refused for its epoch, and raises those of the next; so the second one takes over, and has announced a create.
    let JobOutcome::Snooze { delay } = product.run(product.claim().await.unwrap()).await else { panic!("it waits") };
    tokio::time::advance(delay).await;
    product.memory.refuse_commits(1, ALL_COMMITS);
    product.one_attempt().await;
    product.memory.refuse_commits(0, 0);
    let held = product.server(order.server).await;
    assert!(held.holder_epoch < stalled.lease().epoch && held.intent.is_some(), "{held:#?}");
    drop(product.converge.run(stalled.job().payload.decode().unwrap(), &stalled).await);
    let after = product.server(order.server).await;
    assert_eq!((after.holder, after.holder_epoch, after.stamp), (held.holder, held.holder_epoch, held.stamp));
}
