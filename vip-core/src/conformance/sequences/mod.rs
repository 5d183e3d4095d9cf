//! Random sequences of calls on an adapter and on the in-memory reference side by side: every answer must be the same.
#![expect(clippy::future_not_send, reason = "a suite blocks on it, in a thread of its own")]

mod queue_calls;
mod store_calls;

use std::fmt;

use fastrand::Rng;

use self::queue_calls::QueueCall;
use self::store_calls::StoreCall;
use super::fixture::{BackendFixture, MemoryFixture};
use crate::ports::LeaseRef;

/// Sequences of each suite; the seeds are 0, 1, 2 …, so that a failure comes again.
const SEQUENCES: u64 = 12;
/// Calls of one sequence.
const CALLS: usize = 60;

/// Is one call that can be made on any backend.
pub(crate) trait Call: fmt::Debug + Clone {
    /// Draws a call.
    fn draw(random: &mut Rng) -> Self;

    /// Makes it on both sides; the answers must be equal.
    async fn make(&self, sides: &mut Sides<'_>) -> Answers;
}

/// Is what both sides answered, written so that what a contract leaves open is left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    adapter: String,
    memory: String,
}

impl Answers {
    pub(crate) fn new(adapter: &impl fmt::Debug, memory: &impl fmt::Debug) -> Self {
        Self { adapter: format!("{adapter:?}"), memory: format!("{memory:?}") }
    }
}

/// Is one of two backends that are told the same, and the leases that it gave.
pub(crate) struct Side<'f> {
    pub(crate) fixture: &'f dyn BackendFixture,
    pub(crate) leases: Vec<LeaseRef>,
}

impl Side<'_> {
    /// Returns the lease that was given so many leases ago: the newest are the interesting ones.
    pub(crate) fn lease(&self, ago: usize) -> Option<LeaseRef> {
        self.leases.iter().rev().nth(ago).copied()
    }
}

/// Holds both sides, and what the calls of one sequence have to remember.
pub(crate) struct Sides<'f> {
    pub(crate) adapter: Side<'f>,
    pub(crate) memory: Side<'f>,
    pub(crate) made: store_calls::Made,
}

/// Is the first call that was answered otherwise.
struct Difference {
    at: usize,
    answers: Answers,
}

/// Makes random calls of a queue.
pub async fn queue<F: BackendFixture>(make: impl AsyncFn() -> F) {
    compare::<QueueCall, F>(&make).await;
}

/// Makes random calls of a store and of the queue beside it.
pub async fn store<F: BackendFixture>(make: impl AsyncFn() -> F) {
    compare::<StoreCall, F>(&make).await;
}

async fn compare<C: Call, F: BackendFixture>(make: &impl AsyncFn() -> F) {
    for seed in 0..SEQUENCES {
        let mut random = Rng::with_seed(seed);
        let calls: Vec<C> = (0..CALLS).map(|_| C::draw(&mut random)).collect();
        if let Some(found) = first_difference(make, &calls).await {
            let (calls, found) = shrink(make, calls, found).await;
            let Answers { adapter, memory } = found.answers;
            panic!("seed {seed}: after {calls:#?}\nthe adapter answers\n{adapter}\nand the reference\n{memory}");
        }
    }
}

async fn first_difference<C: Call, F: BackendFixture>(make: &impl AsyncFn() -> F, calls: &[C]) -> Option<Difference> {
    let adapter = make().await;
    let memory = MemoryFixture::at(adapter.now().await);
    let side = |fixture| Side { fixture, leases: Vec::new() };
    let mut sides = Sides { adapter: side(&adapter), memory: side(&memory), made: store_calls::Made::default() };
    let mut found = None;
    for (at, call) in calls.iter().enumerate() {
        let answers = call.make(&mut sides).await;
        if answers.adapter != answers.memory {
            found = Some(Difference { at, answers });
            break;
        }
        // No two calls happen at one time: which of two equal times is first, no contract says.
        for side in [&sides.adapter, &sides.memory] {
            side.fixture.advance(std::time::Duration::from_micros(1)).await;
        }
    }
    adapter.close().await;
    found
}

/// Leaves out every call without which the sides still differ.
async fn shrink<C: Call, F: BackendFixture>(
    make: &impl AsyncFn() -> F,
    mut calls: Vec<C>,
    mut found: Difference,
) -> (Vec<C>, Difference) {
    calls.truncate(found.at + 1);
    for at in (0..calls.len()).rev() {
        let mut fewer = calls.clone();
        if at < fewer.len() {
            fewer.remove(at);
        }
        if let Some(still) = first_difference(make, &fewer).await {
            fewer.truncate(still.at + 1);
            (calls, found) = (fewer, still);
        }
    }
    (calls, found)
}
