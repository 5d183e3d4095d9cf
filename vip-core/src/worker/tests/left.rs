//! Jobs that are left to others: how long a worker rests for them, and when that is of no use.

use super::*;

/// For how long a rest that was in vain is not repeated.
const AGAIN: Duration = s(30);

async fn is_in_vain(visit: &Visit) -> bool {
    visit.ask(|attempt| attempt.is_left_in_vain(AGAIN)).await
}

#[tokio::test(start_paused = true)]
async fn what_nobody_took_while_it_was_left_is_left_in_vain_and_so_is_all_else_for_a_while() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    assert!(!is_in_vain(&visit).await, "nothing was left yet");
    visit.end(JobOutcome::Leave { delay: s(1) });
    let again = bench.visit().await;
    assert!(is_in_vain(&again).await, "everybody has polled since it was due");
    bench.enqueue(1..2).await;
    let new = bench.visit().await;
    assert!(is_in_vain(&new).await, "who did not take that one does not take this one");
    assert!(tokio::time::timeout(AGAIN, new.over()).await.is_err());
    assert!(!is_in_vain(&new).await, "somebody may be there by now");
}

#[tokio::test(start_paused = true)]
async fn what_came_too_late_for_the_polls_of_others_says_nothing_of_them() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Leave { delay: s(1) });
    bench.until(|counts| counts.settled == 1).await;
    // As if another worker had done it.
    assert!(bench.queue.cancel(&new_job(0).key).await.unwrap());
    assert!(tokio::time::timeout(ms(2500), std::future::pending::<()>()).await.is_err());
    bench.enqueue(1..2).await;
    let late = bench.visit().await;
    assert!(!is_in_vain(&late).await);
}

#[tokio::test(start_paused = true)]
async fn a_worker_rests_for_half_a_minute_at_most_however_seldom_it_polls() {
    let config = WorkerConfig { poll_interval: s(300), ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Leave { delay: s(1) });
    let begin = tokio::time::Instant::now();
    let again = bench.visit().await;
    assert!((s(31)..s(32)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert!(is_in_vain(&again).await);
}
