//! Claims under way: two while there is plenty, one else, and never for more jobs than there is room for.

use super::queue::{Call, Fault};
use super::*;

fn config(concurrency: u32) -> WorkerConfig {
    WorkerConfig { concurrency, ..WorkerConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn while_there_is_plenty_two_claims_are_under_way_and_ask_for_no_more_than_there_is_room() {
    let queue = new_queue();
    let jobs: Vec<NewJob> = (0..1000).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
    queue.next(Call::Claim, &[Fault::Late(s(1)); 3]);
    let mut bench = Bench::with(queue, config(600));
    // The first one is alone: nobody knows yet whether there is more.
    assert!(tokio::time::timeout(ms(900), bench.visits.recv()).await.is_err());
    assert_eq!(bench.queue.calls(Call::Claim), [256]);
    // It was full: of the 344 places that are left, the next two ask for 256 and 88.
    let mut visits = bench.visit_many(256).await;
    assert!(tokio::time::timeout(ms(500), bench.visits.recv()).await.is_err());
    assert_eq!(bench.queue.calls(Call::Claim), [256, 256, 88]);
    visits.extend(bench.visit_many(344).await);
    assert_eq!(bench.worker.counts().running, 600);
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.visit_many(400).await.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 1000).await;
    let report = bench.shutdown(s(5)).await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_one_claim_brings_begins_at_once_though_the_other_has_no_answer() {
    let queue = new_queue();
    let jobs: Vec<NewJob> = (0..600).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
    queue.next(Call::Claim, &[Fault::Late(ms(100)), Fault::Before, Fault::Late(ms(200))]);
    let mut bench = Bench::with(queue, config(600));
    let mut visits = bench.visit_many(256).await;
    let failed = tokio::time::Instant::now();
    visits.extend(bench.visit_many(88).await);
    assert_eq!((failed.elapsed(), bench.worker.counts().claim_failures), (ms(200), 1));
    // The queue has been heard since, so there is no pause.
    visits.extend(bench.visit_many(256).await);
    assert_eq!(failed.elapsed(), ms(200));
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 600).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_hands_back_what_both_claims_bring() {
    let queue = new_queue();
    let jobs: Vec<NewJob> = (0..1000).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
    queue.next(Call::Claim, &[Fault::Late(ms(100)), Fault::Late(ms(300)), Fault::Late(ms(300))]);
    let mut bench = Bench::with(queue, config(1000));
    let visits = bench.visit_many(256).await;
    bench.until(|_| bench.queue.calls(Call::Claim).len() == 3).await;
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    let report = bench.shutdown(s(5)).await;
    assert_eq!((report.finished, report.handed_back, report.settlements_lost), (256, 512, 0), "{report}");
    assert_eq!(bench.queue.stats(&[]).await.unwrap().leased, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_claim_costs_nothing_of_what_the_other_brings() {
    let queue = new_queue();
    let jobs: Vec<NewJob> = (0..600).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
    queue.next(Call::Claim, &[Fault::Late(ms(100)), Fault::Late(ms(200)), Fault::Panics]);
    let mut bench = Bench::with(queue, config(600));
    let mut visits = bench.visit_many(256 + 256).await;
    // The loop is started again, and goes on.
    visits.extend(bench.visit_many(88).await);
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 600).await;
    let counts = bench.worker.counts();
    assert_eq!((counts.claimed, counts.reaped), (600, 0), "a lease was left to expire");
    let claim = bench.supervisor.statuses().into_iter().find(|status| status.name == "claim").unwrap();
    assert_eq!((claim.restarts, claim.panics), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_a_claim_without_an_answer_one_that_ends_short_beside_it_is_no_reason_to_wait() {
    let queue = new_queue();
    let jobs: Vec<NewJob> = (0..300).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
    queue.next(Call::Claim, &[Fault::Late(ms(100)), Fault::Before, Fault::Late(ms(200))]);
    let slow = WorkerConfig { poll_interval: s(300), ..config(600) };
    let mut bench = Bench::with(queue, slow);
    let visits = bench.visit_many(300).await;
    assert!(tokio::time::timeout(s(1), bench.visits.recv()).await.is_err());
    assert_eq!(bench.queue.calls(Call::Claim), [256, 256, 88, 256]);
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 300).await;
}

#[tokio::test(start_paused = true)]
async fn claims_that_wait_for_settlements_go_on_when_those_are_answered_and_not_at_the_next_poll() {
    let queue = new_queue();
    let jobs: Vec<NewJob> = (0..1100).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
    queue.always(Call::Settle, Fault::Hangs);
    let mut bench = Bench::with(queue, WorkerConfig { poll_interval: s(300), ..config(1000) });
    bench.visit_many(1000).await.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.finished == 1000).await;
    let healed = tokio::time::Instant::now();
    bench.queue.heal();
    bench.visit_many(100).await.iter().for_each(|visit| visit.end(JobOutcome::Done));
    assert!(healed.elapsed() < s(60), "{:?}", healed.elapsed());
    bench.until(|counts| counts.settled == 1100).await;
}
