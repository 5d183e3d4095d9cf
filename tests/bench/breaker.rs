//! What a call through a closed breaker costs, beside a bare sketch of the same shape: two clock readings and one counter.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use vip_core::model::AccountId;
use vip_core::ports::SeededRandomness;
use vip_core::resilience::breaker::{Admission, Outcome, Scope};
use vip_core::resilience::{Breaker, BreakerSettings};

/// Calls of one round and thread.
const CALLS: u32 = 200_000;
/// Rounds of which the median counts.
const ROUNDS: usize = 15;
/// How many times the sketch the breaker may cost.
const RATIO_MOST: f64 = 1.5;
const SLOW: Duration = Duration::from_secs(10);

/// Counts as a breaker has to, and decides nothing: a state to read, a start, an end, a bucket.
struct Sketch {
    state: AtomicU64,
    origin: Instant,
    buckets: [Line; 10],
}

#[repr(align(64))]
struct Line(AtomicU64);

impl Sketch {
    fn new() -> Self {
        let buckets = std::array::from_fn(|_| Line(AtomicU64::new(0)));
        Self { state: AtomicU64::new(1), origin: Instant::now(), buckets }
    }

    fn call(&self) {
        if self.state.load(Ordering::Acquire) == 0 {
            return;
        }
        let start = Instant::now();
        black_box(());
        let end = Instant::now();
        let slow = u64::from(end - start > SLOW);
        let second = (end - self.origin).as_secs();
        let (word, stamp) = (&self.buckets[(second % 10) as usize].0, (second & 0xffff) << 48);
        let now = word.load(Ordering::Relaxed);
        if now >> 48 == stamp >> 48 {
            word.fetch_add(1 + (slow << 32), Ordering::AcqRel);
        } else {
            word.store(stamp | 1, Ordering::Release);
        }
    }
}

fn through(breaker: &Breaker) {
    match breaker.admit(Scope::All) {
        Admission::Go(permit) => {
            black_box(());
            permit.record(Outcome::Answered);
        }
        Admission::ProbeFirst(_) | Admission::Refused(_) => unreachable!("it is closed"),
    }
}

/// Returns nanoseconds a call, with so many threads at once.
fn round(threads: usize, call: &(impl Fn() + Sync)) -> f64 {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..CALLS).for_each(|_| call()));
        }
    });
    began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let randomness = Arc::new(SeededRandomness::new(1));
    let breaker = Breaker::new(AccountId::default_account(), BreakerSettings::default(), randomness).unwrap();
    let sketch = Sketch::new();
    let mut worst: f64 = 0.0;
    for threads in [1, 2] {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        // In turn, so that other work on the machine meets both alike.
        for _ in 0..ROUNDS {
            bare.push(round(threads, &|| sketch.call()));
            ours.push(round(threads, &|| through(&breaker)));
        }
        let (ours, bare) = (median(ours), median(bare));
        worst = worst.max(ours / bare);
        println!("{threads} threads: breaker {ours:.1} ns, sketch {bare:.1} ns, {:.2} times", ours / bare);
    }
    println!("at most {worst:.2} times the sketch; {RATIO_MOST} are allowed");
    assert!(worst <= RATIO_MOST, "the closed path has become slow");
}
