//! A queue that fails before or after, hangs, or answers late; leases that are lost.

use super::queue::{Call, Fault};
use super::*;
use crate::runtime::{HealthSource, HealthStatus};
use crate::telemetry::unwritable::unwritable;

#[tokio::test(start_paused = true)]
async fn a_long_attempt_keeps_its_lease_though_others_reap() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    let other = Bench::with(Arc::clone(&bench.queue), WorkerConfig::default());
    assert!(tokio::time::timeout(s(600), visit.over()).await.is_err());
    assert!(visit.ask(|attempt| attempt.guard(s(30))).await.is_ok());
    visit.end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 1).await;
    assert_eq!((other.worker.counts().claimed, other.worker.counts().reaped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_counted_from_before_the_claim_was_sent() {
    let queue = new_queue();
    queue.next(Call::Claim, &[Fault::Late(s(4))]);
    queue.enqueue(&[new_job(0)]).await.unwrap();
    let mut bench = Bench::with(queue, WorkerConfig::default());
    let visit = bench.visit().await;
    let left = visit.ask(|attempt| attempt.guard(s(100))).await.unwrap_err().left;
    assert_eq!(left, Timing::default().lease - s(4));
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_claims_take_longer_than_a_commit_lets_no_job_die_and_one_that_never_answers_is_given_up() {
    let queue = new_queue();
    queue.always(Call::Claim, Fault::Late(s(6)));
    queue.enqueue(&[new_job(0)]).await.unwrap();
    let mut bench = Bench::with(queue, WorkerConfig::default());
    let visit = tokio::time::timeout(s(900), bench.visit()).await.expect("it is dead, and nobody has run it");
    visit.end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 1).await;
    assert_eq!(bench.worker.counts().claim_failures, 0);

    bench.queue.heal();
    bench.queue.always(Call::Claim, Fault::Hangs);
    let begun = tokio::time::Instant::now();
    bench.until(|counts| counts.claim_failures == 1).await;
    let timing = Timing::default();
    let useful = timing.lease - timing.request_deadline - timing.margin;
    assert!((useful..useful + s(10)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_settled_lease_gets_no_heartbeat() {
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    let visits = bench.visit_many(2).await;
    visits[0].end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 1).await;
    let before = bench.queue.calls(Call::Heartbeat).len();
    let beats = || bench.queue.calls(Call::Heartbeat).split_off(before);
    assert!(tokio::time::timeout(s(40), visits[1].over()).await.is_err());
    assert_eq!(beats(), [1, 1]);
    visits[1].end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 2).await;
    assert!(tokio::time::timeout(s(40), std::future::pending::<()>()).await.is_err());
    assert_eq!(beats(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_heartbeat_is_repeated_soon_and_costs_no_lease() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    bench.queue.next(Call::Heartbeat, &[Fault::Before, Fault::After, Fault::Hangs]);
    bench.until(|counts| counts.heartbeat_failures == 3).await;
    assert!(visit.ask(|attempt| attempt.guard(s(10))).await.is_ok());
    assert!(tokio::time::timeout(s(120), visit.over()).await.is_err());
    assert!(visit.ask(|attempt| attempt.guard(s(30))).await.is_ok());
    assert_eq!(bench.worker.counts().leases_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_forbids_the_next_step_does_not_drop_the_run_and_settles_nothing() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    bench.queue.always(Call::Heartbeat, Fault::Before);
    // The guard goes by this process's clock: it refuses before the queue has said a word.
    assert!(tokio::time::timeout(s(50), visit.over()).await.is_err());
    assert!(visit.ask(|attempt| attempt.guard(s(10))).await.is_err());
    let successor = bench.visit().await;
    assert_eq!(successor.number, 1, "a rescue burns no attempt");
    bench.queue.heal();
    bench.until(|counts| counts.leases_lost == 1).await;
    assert!(visit.ask(|attempt| attempt.guard(Duration::ZERO)).await.is_err());
    visit.end(JobOutcome::Dead { code: "late".to_owned() });
    bench.until(|counts| counts.stale == 1).await;
    assert!(bench.deaths.try_recv().is_err(), "a run without a lease writes no end");
    assert_eq!(bench.job(0).await.unwrap().state, JobState::Leased, "the successor's");
    successor.end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 1).await;
    assert_eq!(bench.job(0).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_not_settled_dead_without_its_end_by_a_lease_that_expired_unreaped() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    bench.queue.always(Call::Reap, Fault::Before);
    bench.queue.always(Call::Heartbeat, Fault::Before);
    assert!(tokio::time::timeout(s(70), visit.over()).await.is_err());
    bench.queue.heal();
    bench.queue.always(Call::Reap, Fault::Before);
    bench.until(|counts| counts.leases_lost == 1).await;
    visit.end(JobOutcome::Dead { code: "no".to_owned() });
    let again = bench.visit().await;
    again.end(JobOutcome::Dead { code: "no".to_owned() });
    assert_eq!(bench.death().await.code, "no");
    bench.until(|counts| counts.died == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_settlement_whose_answer_was_lost_is_repeated_and_the_second_has_no_effect() {
    for fault in [Fault::After, Fault::Before, Fault::Hangs] {
        let mut bench = Bench::new();
        bench.enqueue(0..1).await;
        let visit = bench.visit().await;
        bench.queue.next(Call::Settle, &[fault]);
        visit.end(JobOutcome::Retry { code: "bug".to_owned(), delay: Some(s(3600)) });
        bench.until(|counts| counts.settled + counts.stale == 1).await;
        let counts = bench.worker.counts();
        assert_eq!(counts.stale, u64::from(fault == Fault::After), "{fault:?}");
        assert_eq!(bench.job(0).await.unwrap().counts.attempts, 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_settlement_is_repeated_beyond_its_lease_and_given_up_after_its_patience() {
    let patience = Timing::default().lease * settle::PATIENCE_LEASES;
    for (outage, is_lost) in [(patience - s(20), false), (patience + s(20), true)] {
        let mut bench = Bench::new();
        bench.enqueue(0..1).await;
        let visit = bench.visit().await;
        // Nobody else claims or reaps meanwhile: the whole queue is away for the worker.
        for call in [Call::Claim, Call::Heartbeat, Call::Settle] {
            bench.queue.always(call, Fault::Before);
        }
        visit.end(JobOutcome::Done);
        assert!(tokio::time::timeout(outage, std::future::pending::<()>()).await.is_err());
        bench.queue.heal();
        if is_lost {
            assert_eq!(bench.worker.counts().settlements_lost, 1);
            assert_eq!(bench.visit().await.key, "k0", "it is tried again");
        } else {
            bench.until(|counts| counts.settled + counts.stale == 1).await;
            assert_eq!(bench.worker.counts().settlements_lost, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_the_queue_cannot_take_holds_up_no_other() {
    let mut bench = Bench::new();
    *bench.queue.poison.lock().unwrap() = Some(new_job(1).id);
    bench.enqueue(0..3).await;
    let visits = bench.visit_many(3).await;
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 2 && counts.settlements_lost == 1).await;
    assert_eq!(bench.job(0).await, None);
    assert_eq!(bench.job(1).await.unwrap().state, JobState::Leased, "until its lease expires");
}

#[tokio::test(start_paused = true)]
async fn jobs_whose_claim_was_not_answered_come_back_when_their_leases_expire() {
    let queue = new_queue();
    queue.next(Call::Claim, &[Fault::After]);
    queue.enqueue(&[new_job(0)]).await.unwrap();
    let mut bench = Bench::with(queue, WorkerConfig::default());
    let begin = tokio::time::Instant::now();
    assert_eq!(bench.visit().await.number, 1);
    assert!(begin.elapsed() >= s(60) && begin.elapsed() < s(70), "{:?}", begin.elapsed());
    let counts = bench.worker.counts();
    assert_eq!((counts.claim_failures, counts.claimed, counts.reaped), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_away_is_asked_less_and_less_shows_in_health_and_is_forgiven() {
    let bench = Bench::new();
    let status = async || bench.worker.parts().await[0].status;
    bench.until(|_| !bench.queue.calls(Call::Claim).is_empty()).await;
    assert_eq!(status().await, HealthStatus::Ok);
    bench.queue.always(Call::Claim, Fault::Before);
    bench.until(|counts| counts.claim_failures == 1).await;
    assert_eq!(status().await, HealthStatus::Degraded);
    bench.until(|counts| counts.claim_failures == 5).await;
    assert_eq!(status().await, HealthStatus::Down);
    let before = bench.worker.counts().claim_failures;
    assert!(tokio::time::timeout(s(300), std::future::pending::<()>()).await.is_err());
    let more = bench.worker.counts().claim_failures - before;
    assert!((50..=130).contains(&more), "every 2.5 to 5 s: {more}");
    bench.queue.heal();
    assert!(tokio::time::timeout(s(10), std::future::pending::<()>()).await.is_err());
    assert_eq!(status().await, HealthStatus::Ok);
}

#[tokio::test(start_paused = true)]
async fn hints_that_are_always_wrong_cost_little_more_than_polling() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000)));
    let mut queue = TestQueue::new(MemoryQueue::alone(clock));
    queue.hints_are_wrong = true;
    let bench = Bench::with(Arc::new(queue), WorkerConfig::default());
    assert!(tokio::time::timeout(s(100), std::future::pending::<()>()).await.is_err());
    let claims = bench.queue.calls(Call::Claim).len();
    assert!((90..=220).contains(&claims), "{claims} in 100 s");
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_the_queue_cannot_take_now_holds_up_no_other_one_and_comes_after_them() {
    let config = WorkerConfig { concurrency: 40, ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..40).await;
    *bench.queue.held.lock().unwrap() = Some(new_job(1).id);
    let visits = bench.visit_many(40).await;
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 39).await;
    // Also what ends later goes by it.
    bench.enqueue(40..60).await;
    bench.visit_many(20).await.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 59).await;
    *bench.queue.held.lock().unwrap() = None;
    bench.until(|counts| counts.settled == 60).await;
    assert_eq!((bench.worker.counts().stale, bench.worker.counts().settlements_lost), (0, 0));
    // What is answered makes the batches large again.
    bench.enqueue(100..140).await;
    bench.visit_many(40).await.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 100).await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_away_while_the_log_cannot_be_written_costs_the_worker_no_loop() {
    let _log = unwritable();
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    let visits = bench.visit_many(2).await;
    for call in [Call::Claim, Call::Heartbeat, Call::Settle, Call::Reap] {
        bench.queue.always(call, Fault::Before);
    }
    visits[0].end(JobOutcome::Done);
    // Long enough for some heartbeats, and not for the leases to end.
    assert!(tokio::time::timeout(s(40), bench.supervisor.failed()).await.is_err());
    for call in [Call::Claim, Call::Heartbeat, Call::Settle, Call::Reap] {
        assert!(bench.queue.calls(call).len() > 4, "{call:?}");
    }
    for status in bench.supervisor.statuses() {
        assert_eq!((status.restarts, status.running), (0, true), "{}", status.name);
    }
    bench.queue.heal();
    bench.enqueue(2..3).await;
    drop(bench.visit().await);
    bench.until(|counts| counts.settled > 0).await;
    visits[1].ask(|_| ()).await;
}
