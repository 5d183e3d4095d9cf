//! How attempts end, and what becomes of their jobs.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_done_job_is_gone() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    assert_eq!((visit.key.as_str(), visit.number), ("k0", 1));
    assert_eq!(bench.job(0).await.unwrap().state, JobState::Leased);
    visit.end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 1).await;
    assert_eq!(bench.job(0).await, None);
    let counts = bench.worker.counts();
    assert_eq!((counts.claimed, counts.finished, counts.running), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_snoozed_job_comes_back_and_has_burned_nothing() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Snooze { delay: s(100) });
    bench.until(|counts| counts.settled == 1).await;
    let job = bench.job(0).await.unwrap();
    assert_eq!((job.state, job.counts.attempts, job.counts.snoozes), (JobState::Waiting, 0, 1));
    let begin = tokio::time::Instant::now();
    assert_eq!(bench.visit().await.number, 1);
    assert!(begin.elapsed() >= s(99) && begin.elapsed() < s(102));
}

#[tokio::test(start_paused = true)]
async fn a_released_job_is_taken_again_at_once_and_counted_as_handed_back() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Release);
    assert_eq!(bench.visit().await.number, 1);
    let counts = bench.worker.counts();
    assert_eq!((counts.claimed, counts.handed_back, counts.running), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_is_tried_as_often_as_it_may_then_its_end_is_written_then_it_is_dead() {
    let mut bench = Bench::new();
    let mut new = new_job(0);
    new.max_attempts = 3;
    bench.queue.enqueue(&[new]).await.unwrap();
    for number in 1..=3 {
        let visit = bench.visit().await;
        assert_eq!(visit.number, number);
        assert!(bench.deaths.try_recv().is_err());
        visit.end(JobOutcome::Retry { code: "bug".to_owned(), delay: None });
    }
    let death = bench.death().await;
    let expected = Death { key: "k0".to_owned(), code: "bug".to_owned(), readable: true, state: JobState::Leased };
    assert_eq!(death, expected, "the end is written before the queue calls it dead");
    bench.until(|counts| counts.died == 1).await;
    let job = bench.job(0).await.unwrap();
    assert_eq!((job.state, job.counts.attempts, job.last_error.as_deref()), (JobState::Dead, 3, Some("bug")));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_long_as_it_was_told_or_grows_up_to_the_cap() {
    let config = WorkerConfig { retry_first: s(8), retry_most: s(20), ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Retry { code: "bug".to_owned(), delay: Some(s(70)) });
    let mut waits = Vec::new();
    for _ in 0..6 {
        let begin = tokio::time::Instant::now();
        let visit = bench.visit().await;
        waits.push(begin.elapsed());
        visit.end(JobOutcome::Retry { code: "bug".to_owned(), delay: None });
    }
    assert!(waits[0] >= s(70) && waits[0] < s(72), "{waits:?}");
    assert!(waits[1..].iter().all(|wait| *wait < s(22)), "{waits:?}");
    assert!(waits[1..].iter().any(|wait| *wait > s(8)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_says_it_is_dead_dies_at_once() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Dead { code: "no".to_owned() });
    assert_eq!(bench.death().await.code, "no");
    bench.until(|counts| counts.died == 1).await;
    assert_eq!(bench.job(0).await.unwrap().state, JobState::Dead);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_end_cannot_be_written_is_not_dead_but_comes_back_to_be_ended() {
    let mut bench = Bench::new();
    bench.ends.lock().unwrap().extend([End::Fails, End::Panics]);
    bench.enqueue(0..1).await;
    for unwritten in 1..=2_u64 {
        bench.visit().await.end(JobOutcome::Dead { code: "no".to_owned() });
        bench.until(|counts| counts.ends_not_written == unwritten && counts.settled == unwritten).await;
        assert_ne!(bench.job(0).await.unwrap().state, JobState::Dead);
    }
    bench.visit().await.end(JobOutcome::Dead { code: "no".to_owned() });
    bench.until(|counts| counts.died == 1).await;
    assert_eq!(bench.job(0).await.unwrap().counts.attempts, 0, "waiting for its end burns nothing");
}

#[tokio::test(start_paused = true)]
async fn a_panic_burns_an_attempt_and_hurts_no_other_job() {
    let mut bench = Bench::new();
    bench.enqueue(0..2).await;
    let [first, second] = <[Visit; 2]>::try_from(bench.visit_many(2).await).unwrap();
    first.panic();
    bench.until(|counts| counts.panicked == 1 && counts.settled == 1).await;
    let job = bench.job(0).await.unwrap();
    assert_eq!((job.counts.attempts, job.last_error.as_deref()), (1, Some(codes::PANIC)));
    second.end(JobOutcome::Done);
    assert_eq!(bench.visit().await.number, 2);
    assert_eq!(bench.worker.counts().finished, 2);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_be_read_burns_attempts_until_the_job_is_dead() {
    let mut bench = Bench::new();
    let mut new = new_job(0);
    new.payload = Payload::from_text("{not json").unwrap();
    new.max_attempts = 2;
    bench.queue.enqueue(&[new]).await.unwrap();
    let death = bench.death().await;
    assert_eq!((death.code.as_str(), death.readable), (codes::UNDECODABLE, false));
    bench.until(|counts| counts.died == 1).await;
    assert_eq!(bench.worker.counts().undecodable, 2);
    assert!(bench.visits.try_recv().is_err(), "it never ran");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_left_to_others_is_not_claimed_again_before_each_of_them_has_polled() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let begin = tokio::time::Instant::now();
    bench.visit().await.end(JobOutcome::Leave { delay: s(1) });
    // Due after a second, and then two polls of a second are for the others; nothing is burned.
    let again = bench.visit().await;
    assert!(begin.elapsed() >= s(3), "{:?}", begin.elapsed());
    assert_eq!(again.number, 1);
    again.end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_left_to_others_for_ever_is_left_for_a_day_and_keeps_no_place() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    bench.visit().await.end(JobOutcome::Leave { delay: Duration::MAX });
    bench.until(|counts| (counts.settled, counts.running) == (1, 0)).await;
    bench.enqueue(1..2).await;
    let begin = tokio::time::Instant::now();
    let other = tokio::time::timeout(2 * super::super::rest::LEFT_MOST, bench.visits.recv()).await.unwrap().unwrap();
    let waited = begin.elapsed();
    assert!(waited >= super::super::rest::LEFT_MOST, "{waited:?}");
    assert!(waited < super::super::rest::LEFT_MOST + s(60), "{waited:?}");
    other.end(JobOutcome::Done);
}

/// Is a recorder of a host that panics.
struct Panics;

impl metrics::Recorder for Panics {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        panic!("a bug of the host")
    }
    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[test]
fn a_panic_beside_the_handler_keeps_no_place_and_no_lease_and_burns_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&Panics, || {
        runtime.block_on(async {
            let mut bench = Bench::new();
            bench.enqueue(0..1).await;
            bench.visit().await.end(JobOutcome::Done);
            bench.until(|counts| (counts.settled, counts.running, counts.panicked) == (1, 0, 1)).await;
            let job = bench.job(0).await.unwrap();
            assert_eq!((job.state, job.counts.attempts, job.counts.snoozes), (JobState::Waiting, 0, 1));
        });
    });
}

/// Is a randomness of a host that panics while it is told to.
#[derive(Debug)]
struct Moody {
    panics: AtomicBool,
    draws: SeededRandomness,
}

impl Randomness for Moody {
    fn next_u64(&self) -> u64 {
        assert!(!self.panics.load(Ordering::SeqCst), "a bug of the host");
        self.draws.next_u64()
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_while_the_randomness_panics_keeps_no_place_and_no_lease() {
    let moody = Arc::new(Moody { panics: AtomicBool::new(false), draws: SeededRandomness::new(5) });
    let mut bench = Bench::on(new_queue(), WorkerConfig::default(), moody.clone());
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    moody.panics.store(true, Ordering::SeqCst);
    visit.end(JobOutcome::Retry { code: "bug".to_owned(), delay: None });
    visit.over().await;
    moody.panics.store(false, Ordering::SeqCst);
    let settled = bench.until(|counts| (counts.settled, counts.running) == (1, 0));
    assert!(tokio::time::timeout(s(60), settled).await.is_ok(), "its lease is prolonged for ever");
    assert_eq!(bench.job(0).await.unwrap().counts.attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_randomness_panics_claims_and_polls_and_none_of_its_loops_ends() {
    let moody = Arc::new(Moody { panics: AtomicBool::new(true), draws: SeededRandomness::new(5) });
    let mut bench = Bench::on(new_queue(), WorkerConfig::default(), moody);
    for number in 0..3 {
        bench.enqueue(number..number + 1).await;
        bench.visit().await.end(JobOutcome::Done);
    }
    bench.until(|counts| counts.settled == 3).await;
    assert!(bench.supervisor.statuses().iter().all(|status| status.restarts == 0 && status.panics == 0));
}

#[cfg(vip_seeded_bugs)]
#[tokio::test(start_paused = true)]
async fn with_its_seeded_bug_an_undecodable_payload_never_dies() {
    crate::seeded_bugs::activate(Some(crate::seeded_bugs::SeededBug::UndecodableForEver));
    let bench = Bench::new();
    let mut new = new_job(0);
    new.payload = Payload::from_text("\"text\"").unwrap();
    new.max_attempts = 2;
    bench.queue.enqueue(&[new]).await.unwrap();
    bench.until(|counts| counts.undecodable == 5 && counts.settled == 5).await;
    assert_eq!(bench.worker.counts().died, 0);
    crate::seeded_bugs::activate(None);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_end_is_dropped_at_its_deadline_and_not_before() {
    let config = WorkerConfig { attempt_deadline: s(300), ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..1).await;
    let (begin, visit) = (tokio::time::Instant::now(), bench.visit().await);
    visit.over().await;
    assert_eq!(begin.elapsed(), s(300));
    bench.until(|counts| counts.timed_out == 1 && counts.settled == 1).await;
    assert_eq!(bench.job(0).await.unwrap().last_error.as_deref(), Some(codes::TIMED_OUT));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kind_is_never_claimed() {
    let mut bench = Bench::new();
    let mut new = new_job(0);
    new.kind = JobKind::new("other").unwrap();
    bench.queue.enqueue(&[new]).await.unwrap();
    bench.enqueue(1..2).await;
    assert_eq!(bench.visit().await.key, "k1");
    assert!(tokio::time::timeout(s(600), bench.visits.recv()).await.is_err());
    assert_eq!(bench.job(0).await.unwrap().state, JobState::Waiting);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_concurrency_runs_at_once_and_none_is_claimed_without_room() {
    let config = WorkerConfig { concurrency: 3, ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..5).await;
    let visits = bench.visit_many(3).await;
    assert!(tokio::time::timeout(s(30), bench.visits.recv()).await.is_err());
    let stats = bench.queue.stats(&[]).await.unwrap();
    assert_eq!((stats.leased, stats.due), (3, 2));
    visits[1].end(JobOutcome::Done);
    let next = bench.visit().await;
    assert_eq!(next.key, "k3");
    assert!(tokio::time::timeout(s(30), bench.visits.recv()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_takes_a_new_job_at_once() {
    let mut bench = Bench::new();
    assert!(tokio::time::timeout(s(60), bench.visits.recv()).await.is_err());
    let begin = tokio::time::Instant::now();
    bench.enqueue(0..1).await;
    bench.visit().await;
    assert!(begin.elapsed() <= ms(10), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_enqueued_while_it_runs_runs_once_more() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let visit = bench.visit().await;
    bench.enqueue(0..1).await;
    visit.end(JobOutcome::Done);
    bench.visit().await.end(JobOutcome::Done);
    bench.until(|counts| counts.settled == 2).await;
    assert_eq!(bench.job(0).await, None);
}

#[tokio::test(start_paused = true)]
async fn settlements_that_come_together_share_a_call() {
    let config = WorkerConfig { concurrency: 200, ..WorkerConfig::default() };
    let mut bench = Bench::with(new_queue(), config);
    bench.enqueue(0..150).await;
    let visits = bench.visit_many(150).await;
    visits.iter().for_each(|visit| visit.end(JobOutcome::Done));
    bench.until(|counts| counts.settled == 150).await;
    let calls = bench.queue.calls(queue::Call::Settle);
    assert!(calls.len() <= 2 && calls.iter().sum::<usize>() == 150, "{calls:?}");
}

#[test]
fn a_worker_that_could_not_work_is_not_built() {
    let handler = || Scripted {
        queue: new_queue(),
        visits: mpsc::unbounded_channel().0,
        deaths: mpsc::unbounded_channel().0,
        ends: Arc::default(),
    };
    let error = |builder: WorkerBuilder| builder.build().err();
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = tokio.enter();
    assert_eq!(error(Worker::builder().handler(handler())), Some(WorkerError::NoQueue));
    assert_eq!(error(Worker::builder().queue(new_queue())), Some(WorkerError::NoHandler));
    let twice = Worker::builder().queue(new_queue()).handler(handler()).handler(handler());
    assert_eq!(error(twice), Some(WorkerError::KindTwice(JobKind::new(KIND).unwrap())));
    let config = WorkerConfig { concurrency: 0, ..WorkerConfig::default() };
    let wrong = Worker::builder().queue(new_queue()).handler(handler()).config(config);
    assert!(matches!(error(wrong), Some(WorkerError::Config(_))));
    let timing = Timing { lease: s(10), ..Timing::default() };
    let wrong = Worker::builder().queue(new_queue()).handler(handler()).timing(timing);
    assert!(matches!(error(wrong), Some(WorkerError::Timing(_))));
}
