//! The bounds of a worker at their limits, and the worker on several threads in real time.

use std::sync::mpsc as blocking;

use super::queue::{Call, Fault};
use super::*;

/// A handler that is done at once, or blocks its thread until the test lets go.
#[derive(Debug)]
struct Immediate {
    done: mpsc::UnboundedSender<u32>,
    gate: Option<Mutex<blocking::Receiver<()>>>,
}

#[async_trait]
impl JobHandler for Immediate {
    type Payload = u32;

    fn kind(&self) -> JobKind {
        JobKind::new(KIND).unwrap()
    }

    async fn run(&self, payload: u32, _: &Attempt) -> JobOutcome {
        self.done.send(payload).unwrap();
        if let Some(gate) = &self.gate {
            assert!(gate.lock().unwrap().recv().is_ok());
        }
        JobOutcome::Done
    }
}

fn start(
    queue: &Arc<TestQueue>,
    concurrency: u32,
    gate: Option<blocking::Receiver<()>>,
) -> (Supervisor, RunningWorker, mpsc::UnboundedReceiver<u32>) {
    let (done, seen) = mpsc::unbounded_channel();
    let supervisor = Supervisor::new(Arc::new(SeededRandomness::new(3)));
    let worker = Worker::builder()
        .queue(queue.clone())
        .handler(Immediate { done, gate: gate.map(Mutex::new) })
        .config(WorkerConfig { concurrency, ..WorkerConfig::default() })
        .build()
        .unwrap()
        .start(&supervisor);
    (supervisor, worker, seen)
}

async fn enqueue(queue: &TestQueue, count: u32) {
    let jobs: Vec<NewJob> = (0..count).map(new_job).collect();
    queue.enqueue(&jobs).await.unwrap();
}

async fn pass(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_a_thousand_settlements_wait_and_all_are_settled_in_batches_afterwards() {
    let queue = new_queue();
    let most = u32::try_from(claim::UNSETTLED_MOST).unwrap();
    enqueue(&queue, most + 1).await;
    queue.always(Call::Settle, Fault::Before);
    let (_supervisor, worker, _seen) = start(&queue, 1, None);
    pass(s(45)).await;
    assert_eq!(worker.counts().claimed, u64::from(most));
    assert_eq!(queue.calls(Call::Heartbeat).into_iter().max(), Some(500), "heartbeats are batched as well");
    let before = queue.calls(Call::Settle).len();
    queue.heal();
    pass(s(10)).await;
    assert_eq!(worker.counts().settled, u64::from(most) + 1);
    let sizes = queue.calls(Call::Settle).split_off(before);
    assert_eq!(sizes.iter().max(), Some(&settle::SETTLE_BATCH), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_asks_for_as_many_as_there_is_room_for_and_for_256_at_most() {
    for (concurrency, asked) in [(255, 255), (256, 256), (257, 256)] {
        let queue = new_queue();
        let (_supervisor, _worker, _seen) = start(&queue, concurrency, None);
        pass(ms(1)).await;
        assert_eq!(queue.calls(Call::Claim)[0], asked);
    }
}

#[tokio::test(start_paused = true)]
async fn more_expired_leases_than_one_call_reaps_are_reaped_at_once() {
    for (expired, calls) in [(99_u32, 1), (100, 2), (101, 2)] {
        let queue = new_queue();
        enqueue(&queue, expired).await;
        let claim = crate::model::ClaimId::from_uuid(Uuid::from_u128(9));
        let kinds = vec![JobKind::new(KIND).unwrap()];
        let request = crate::ports::ClaimRequest { kinds, most: 1000, lease: ms(1), claim };
        assert_eq!(queue.claim(&request).await.unwrap().len(), usize::try_from(expired).unwrap());
        pass(ms(2)).await;
        let (_supervisor, worker, _seen) = start(&queue, 1, None);
        pass(ms(2)).await;
        assert_eq!(worker.counts().reaped, u64::from(expired));
        assert_eq!(queue.calls(Call::Reap).len(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_settlement_waits_for_others_for_five_milliseconds_while_something_runs_and_not_at_all_otherwise() {
    for (running, waits) in [(false, ms(0)), (true, ms(5))] {
        let mut bench = Bench::new();
        bench.enqueue(0..2).await;
        let visits = bench.visit_many(2).await;
        if !running {
            visits[1].end(JobOutcome::Done);
            bench.until(|counts| counts.settled == 1).await;
        }
        let begin = tokio::time::Instant::now();
        visits[0].end(JobOutcome::Done);
        let settled = if running { 1 } else { 2 };
        bench.until(|counts| counts.settled == settled).await;
        assert!(begin.elapsed() >= waits && begin.elapsed() <= waits + ms(2), "{:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_on_two_threads_do_every_job_once() {
    let queue = new_queue();
    let (first_supervisor, first, mut one) = start(&queue, 8, None);
    let (second_supervisor, second, mut two) = start(&queue, 8, None);
    enqueue(&queue, 2000).await;
    let mut seen = Vec::new();
    let all = async {
        while seen.len() < 2000 {
            tokio::select! {
                Some(number) = one.recv() => seen.push(number),
                Some(number) = two.recv() => seen.push(number),
            }
        }
    };
    let ended = tokio::time::timeout(s(60), all).await;
    assert!(ended.is_ok(), "after a minute {} of 2000 jobs were run", seen.len());
    for (worker, supervisor) in [(first, first_supervisor), (second, second_supervisor)] {
        let mut shutdown = Shutdown::within(s(20));
        worker.shutdown(&mut shutdown).await;
        let report = shutdown.finish(supervisor.shutdown(s(5)).await);
        assert!(report.is_clean() && report.claimed == report.finished, "{report}");
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
    assert_eq!(queue.stats(&[]).await.unwrap(), crate::ports::QueueStats::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_blocks_its_thread_is_reported_as_left() {
    let queue = new_queue();
    enqueue(&queue, 1).await;
    let (let_go, gate) = blocking::channel();
    let (supervisor, worker, mut seen) = start(&queue, 1, Some(gate));
    assert_eq!(seen.recv().await, Some(0));
    let mut shutdown = Shutdown::within(Duration::ZERO);
    worker.shutdown(&mut shutdown).await;
    let report = shutdown.finish(supervisor.shutdown(s(5)).await);
    assert!(report.tasks_left == 1 && !report.is_clean(), "{report}");
    assert_eq!(queue.stats(&[]).await.unwrap().leased, 1, "what still runs keeps its lease");
    let_go.send(()).unwrap();
}
