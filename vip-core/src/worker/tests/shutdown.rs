//! How a worker ends: in order, within its deadline, with every lease handed back and every job counted.

use super::queue::{Call, Fault};
use super::*;
use crate::runtime::PhaseEnd;

async fn assert_nothing_is_left(bench: &Bench, report: &ShutdownReport) {
    assert_eq!(report.claimed, report.finished + report.handed_back + report.cancelled, "{report}");
    assert_eq!((report.tasks_left, report.settlements_lost), (0, 0), "{report}");
    assert!(report.is_clean() && report.within_deadline, "{report}");
    assert_eq!(bench.queue.stats(&[]).await.unwrap().leased, 0);
    assert_eq!((bench.supervisor.tasks(), bench.worker.counts().running), (0, 0));
    assert!(report.loops.iter().all(|status| !status.running));
}

#[tokio::test(start_paused = true)]
async fn with_a_deadline_of_zero_everything_is_handed_back_at_once_and_nothing_is_burned() {
    let mut bench = Bench::new();
    bench.enqueue(0..30).await;
    let visits = bench.visit_many(16).await;
    let begin = tokio::time::Instant::now();
    let report = bench.shutdown(Duration::ZERO).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_nothing_is_left(&bench, &report).await;
    assert_eq!((report.claimed, report.cancelled, report.settlements_flushed), (16, 16, 16));
    for visit in visits {
        visit.over().await;
    }
    let stats = bench.queue.stats(&[]).await.unwrap();
    assert_eq!((stats.due, stats.later), (30, 0), "anybody may take them at once");
    for number in 0..30 {
        assert_eq!(bench.job(number).await.unwrap().counts, crate::model::AttemptCounts::default());
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_that_end_before_the_deadline_are_finished_and_the_rest_is_cut_at_it() {
    let mut bench = Bench::new();
    bench.enqueue(0..3).await;
    let visits = bench.visit_many(3).await;
    let ending = async {
        visits[0].ask(|attempt| assert!(!attempt.is_cancelled())).await;
        visits[0].end(JobOutcome::Done);
        visits[0].over().await;
        assert!(tokio::time::timeout(s(9), visits[1].over()).await.is_err());
        visits[1].end(JobOutcome::Retry { code: "bug".to_owned(), delay: None });
        visits[2].over().await;
        tokio::time::Instant::now()
    };
    let begin = tokio::time::Instant::now();
    let (report, cut_at) = tokio::join!(bench.shutdown(s(10)), ending);
    assert_eq!(cut_at - begin, s(10));
    assert_nothing_is_left(&bench, &report).await;
    assert_eq!((report.finished, report.handed_back, report.cancelled), (2, 0, 1));
    assert_eq!(bench.job(0).await, None);
    assert_eq!(bench.job(1).await.unwrap().counts.attempts, 1);
    assert_eq!(bench.job(2).await.unwrap().counts.attempts, 0);
    let drained = report.phases.iter().find(|phase| phase.name == "attempts").unwrap();
    assert_eq!((drained.end, drained.took), (PhaseEnd::Deadline, s(10)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_ends_at_once() {
    let bench = Bench::new();
    assert!(tokio::time::timeout(s(7), bench.worker.reap.ended()).await.is_err());
    let begin = tokio::time::Instant::now();
    let report = bench.shutdown(s(30)).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_nothing_is_left(&bench, &report).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_many_steps_learns_that_it_should_stop_and_hands_itself_back() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    assert!(!visit.ask(Attempt::is_stopping).await);
    let ending = async {
        while !visit.ask(Attempt::is_stopping).await {
            tokio::task::yield_now().await;
        }
        visit.end(JobOutcome::Release);
    };
    let (report, ()) = tokio::join!(bench.shutdown(s(30)), ending);
    assert_nothing_is_left(&bench, &report).await;
    assert_eq!((report.handed_back, report.cancelled, report.took), (1, 0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_under_way_brings_is_handed_back_without_being_begun() {
    let queue = new_queue();
    queue.next(Call::Claim, &[Fault::Late(ms(400))]);
    queue.enqueue(&[new_job(0), new_job(1)]).await.unwrap();
    let mut bench = Bench::with(queue, WorkerConfig::default());
    bench.until(|_| !bench.queue.calls(Call::Claim).is_empty()).await;
    let report = bench.shutdown(Duration::ZERO).await;
    assert_nothing_is_left(&bench, &report).await;
    assert_eq!((report.claimed, report.handed_back), (2, 2));
    assert!(bench.visits.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn settlements_without_an_answer_are_repeated_in_the_shutdown_too() {
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    let _visits = bench.visit_many(2).await;
    bench.queue.next(Call::Settle, &[Fault::Before, Fault::After, Fault::Before]);
    let report = bench.shutdown(Duration::ZERO).await;
    assert_nothing_is_left(&bench, &report).await;
    assert_eq!((report.cancelled, report.settlements_flushed), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn with_the_queue_away_the_report_says_what_is_lost_and_the_jobs_come_back_when_their_leases_expire() {
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    let visits = bench.visit_many(2).await;
    bench.queue.always(Call::Settle, Fault::Hangs);
    visits[0].end(JobOutcome::Done);
    let report = bench.shutdown(s(1)).await;
    assert_eq!((report.finished, report.cancelled), (1, 1));
    assert_eq!((report.settlements_lost, report.settlements_flushed, report.tasks_left), (2, 0, 0));
    assert!(!report.is_clean() && report.within_deadline, "{report}");
    bench.queue.heal();
    let mut successor = Bench::with(Arc::clone(&bench.queue), WorkerConfig::default());
    let again = successor.visit_many(2).await;
    assert!(again.iter().all(|visit| visit.number == 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_after_a_shutdown() {
    let mut bench = Bench::new();
    let report = bench.shutdown(s(1)).await;
    bench.enqueue(0..1).await;
    assert!(tokio::time::timeout(s(60), bench.visits.recv()).await.is_err());
    assert_nothing_is_left(&bench, &report).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_worker_cuts_its_attempts() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    drop(bench.worker);
    visit.over().await;
}
