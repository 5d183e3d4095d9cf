//! What a call through a closed breaker costs, beside a bare sketch of the same shape: two clock readings and one counter.
//!
//! Other work on the machine lowers the number of rounds that count, not the result: a round counts only if none of its
//! threads was taken off its core and all of them ran at the same time. Linux only.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tokio::time::Instant;
use vip_core::model::AccountId;
use vip_core::ports::SeededRandomness;
use vip_core::resilience::breaker::{Admission, Outcome, Scope};
use vip_core::resilience::{Breaker, BreakerSettings};

/// Calls of one round and thread: about a millisecond, less than a thread has its core for.
const CALLS: u32 = 10_000;
/// Rounds that have to count; their median is the result.
const ROUNDS: usize = 21;
/// Rounds after which the machine is too busy for a result.
const ROUNDS_MOST: usize = 40_000;
/// Part of the longest thread's time over which all threads have to run at once.
const TOGETHER: f64 = 0.9;
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

/// Returns how often this thread was put on a core.
fn times_scheduled() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// Returns nanoseconds a call with so many threads at once, if the round counts.
fn round(threads: usize, call: &(impl Fn() + Sync)) -> Option<f64> {
    let start = Barrier::new(threads);
    let runs: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            start.wait();
            let (scheduled, began) = (times_scheduled(), Instant::now());
            (0..CALLS).for_each(|_| call());
            let ended = Instant::now();
            (times_scheduled() == scheduled).then_some((began, ended))
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Option<_>>()
    })?;
    let longest = runs.iter().map(|(began, ended)| *ended - *began).max()?;
    let together = runs.iter().map(|it| it.1).min()?.saturating_duration_since(runs.iter().map(|it| it.0).max()?);
    let nanos = longest.as_secs_f64() * 1e9 / f64::from(CALLS);
    (together.as_secs_f64() >= TOGETHER * longest.as_secs_f64()).then_some(nanos)
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
        let (mut ours, mut bare, mut rounds) = (Vec::new(), Vec::new(), 0);
        // In turn, so that other work on the machine meets both alike.
        while ours.len().min(bare.len()) < ROUNDS {
            bare.extend(round(threads, &|| sketch.call()));
            ours.extend(round(threads, &|| through(&breaker)));
            rounds += 2;
            assert!(rounds <= ROUNDS_MOST, "the machine is too busy: {} and {} rounds count", ours.len(), bare.len());
        }
        let kept = ours.len() + bare.len();
        let (ours, bare) = (median(ours), median(bare));
        worst = worst.max(ours / bare);
        println!(
            "{threads} threads: breaker {ours:.1} ns, sketch {bare:.1} ns, {:.2} times; {kept} of {rounds} rounds count",
            ours / bare
        );
    }
    println!("at most {worst:.2} times the sketch; {RATIO_MOST} are allowed");
    assert!(worst <= RATIO_MOST, "the closed path has become slow");
}
