//! Jobs that are left to others: how long a worker rests for them, and when that is of no use.

use super::*;
use crate::model::AccountId;

/// For how long a rest that was in vain is not repeated.
const AGAIN: Duration = s(30);

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

async fn is_in_vain(visit: &Visit, name: &'static str) -> bool {
    visit.ask(move |attempt| attempt.is_left_in_vain(&account(name), AGAIN)).await
}

/// Ends a run by leaving its job, an order of an account, to others.
fn leave(visit: &Visit, name: &'static str) {
    visit.act(move |attempt| Some(attempt.leave(&account(name), s(1))));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_took_while_it_was_left_is_left_in_vain_and_so_is_all_else_of_its_account_for_a_while() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    assert!(!is_in_vain(&visit, "b").await, "nothing was left yet");
    leave(&visit, "b");
    let again = bench.visit().await;
    assert!(is_in_vain(&again, "b").await, "everybody has polled since it was due");
    bench.enqueue(1..2).await;
    let new = bench.visit().await;
    assert!(is_in_vain(&new, "b").await, "who did not take that one does not take this one");
    assert!(tokio::time::timeout(AGAIN, new.over()).await.is_err());
    assert!(!is_in_vain(&new, "b").await, "somebody may be there by now");
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_was_in_vain_for_one_account_says_nothing_of_another() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    leave(&bench.visit().await, "b");
    let again = bench.visit().await;
    assert!(is_in_vain(&again, "b").await);
    bench.enqueue(1..2).await;
    let other = bench.visit().await;
    assert!(!is_in_vain(&other, "a").await, "who has no good token of b may have one of a");
    // The rest for it makes nobody come for the first.
    leave(&other, "a");
    bench.until(|counts| counts.settled == 2).await;
    assert!(is_in_vain(&again, "b").await);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_host_that_is_left_in_vain_says_nothing_of_orders() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Leave { delay: s(1) });
    let again = bench.visit().await;
    assert!(!is_in_vain(&again, "a").await);
}

#[tokio::test(start_paused = true)]
async fn the_rest_for_a_job_of_a_host_is_not_cut_short_by_that_for_an_order() {
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    let (own, order) = (bench.visit().await, bench.visit().await);
    let begin = tokio::time::Instant::now();
    own.end(JobOutcome::Leave { delay: s(10) });
    own.over().await;
    leave(&order, "a");
    let _next = bench.visit().await;
    assert!((s(12)..s(13)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

/// Rests for one account after the other would take all the time of a worker with many.
#[tokio::test(start_paused = true)]
async fn the_more_accounts_are_left_in_vain_the_less_often_is_each_rested_for() {
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    for visit in bench.visit_many(2).await {
        leave(&visit, if visit.key == "k0" { "a" } else { "b" });
    }
    let again = bench.visit_many(2).await;
    for visit in &again {
        assert!(is_in_vain(visit, if visit.key == "k0" { "a" } else { "b" }).await, "{visit:?}");
    }
    for (expected, why) in [(true, "half of them is for the other one"), (false, "somebody may be there by now")] {
        assert!(tokio::time::timeout(AGAIN, again[0].over()).await.is_err());
        assert_eq!(is_in_vain(&again[0], "a").await, expected, "{why}");
        assert_eq!(is_in_vain(&again[1], "b").await, expected, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_too_late_for_the_polls_of_others_says_nothing_of_them() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    leave(&bench.visit().await, "a");
    bench.until(|counts| counts.settled == 1).await;
    // As if another worker had done it.
    assert!(bench.queue.cancel(&new_job(0).key).await.unwrap());
    assert!(tokio::time::timeout(ms(2500), std::future::pending::<()>()).await.is_err());
    bench.enqueue(1..2).await;
    let late = bench.visit().await;
    assert!(!is_in_vain(&late, "a").await);
}

#[tokio::test(start_paused = true)]
async fn a_worker_rests_for_half_a_minute_at_most_however_seldom_it_polls() {
    let config = WorkerConfig { poll_interval: s(300), ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..1).await;
    leave(&bench.visit().await, "a");
    let begin = tokio::time::Instant::now();
    let again = bench.visit().await;
    assert!((s(31)..s(32)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert!(is_in_vain(&again, "a").await);
}
