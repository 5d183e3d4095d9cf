//! A worker on the memory queue, under the paused clock: its jobs wait for the test to say how they end.

mod attempts;
mod bounds;
mod claims;
mod faults;
mod left;
mod loops;
mod queue;
mod shutdown;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::queue::TestQueue;
use super::*;
use crate::memory::{MemoryQueue, VirtualClock};
use crate::model::{Job, JobId, JobKey, JobState, NewJob, Payload, Timestamp};
use crate::ports::{Clock, SeededRandomness};
use crate::runtime::{Shutdown, ShutdownReport};

const KIND: &str = "test";
/// Longer than anything that a test waits for.
const HOURS: Duration = s(7200);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type Act = Box<dyn FnOnce(&Attempt) -> Option<JobOutcome> + Send>;

/// Is a run that waits for the test.
#[derive(Debug)]
struct Visit {
    key: String,
    number: u32,
    acts: mpsc::UnboundedSender<Act>,
}

impl Visit {
    fn act(&self, act: impl FnOnce(&Attempt) -> Option<JobOutcome> + Send + 'static) {
        assert!(self.acts.send(Box::new(act)).is_ok(), "the run is over");
    }

    fn end(&self, outcome: JobOutcome) {
        self.act(|_| Some(outcome));
    }

    fn panic(&self) {
        self.act(|_| panic!("a bug"));
    }

    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Attempt) -> T + Send + 'static) -> T {
        let (answer, answered) = oneshot::channel();
        self.act(move |attempt| {
            assert!(answer.send(question(attempt)).is_ok());
            None
        });
        answered.await.unwrap()
    }

    /// Resolves when the run has ended or was dropped.
    async fn over(&self) {
        self.acts.closed().await;
    }
}

/// Is the end of a job, as its handler was told.
#[derive(Debug, PartialEq, Eq)]
struct Death {
    key: String,
    code: String,
    readable: bool,
    state: JobState,
}

#[derive(Debug)]
struct Scripted {
    queue: Arc<TestQueue>,
    visits: mpsc::UnboundedSender<Visit>,
    deaths: mpsc::UnboundedSender<Death>,
    /// How the next ends go; after them all are written.
    ends: Arc<Mutex<VecDeque<End>>>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Fails,
    Panics,
}

#[async_trait]
impl JobHandler for Scripted {
    type Payload = u32;

    fn kind(&self) -> JobKind {
        JobKind::new(KIND).unwrap()
    }

    async fn run(&self, _: u32, attempt: &Attempt) -> JobOutcome {
        let (acts, mut inbox) = mpsc::unbounded_channel::<Act>();
        let visit = Visit { key: attempt.job().key.to_string(), number: attempt.number(), acts };
        self.visits.send(visit).unwrap();
        while let Some(act) = inbox.recv().await {
            if let Some(outcome) = act(attempt) {
                return outcome;
            }
        }
        JobOutcome::Done
    }

    async fn died(&self, payload: Option<u32>, attempt: &Attempt, code: &str) -> Result<(), HandlerError> {
        let next = self.ends.lock().unwrap().pop_front();
        match next {
            Some(End::Fails) => return Err(HandlerError::new("the store is away")),
            Some(End::Panics) => panic!("a bug in the end"),
            None => {}
        }
        let job = self.queue.find(&attempt.job().key).await.unwrap().unwrap();
        let (key, code) = (job.key.to_string(), code.to_owned());
        self.deaths.send(Death { key, code, readable: payload.is_some(), state: job.state }).unwrap();
        Ok(())
    }
}

/// Is a supervisor with a worker whose jobs wait for the test.
struct Bench {
    queue: Arc<TestQueue>,
    supervisor: Supervisor,
    worker: RunningWorker,
    visits: mpsc::UnboundedReceiver<Visit>,
    deaths: mpsc::UnboundedReceiver<Death>,
    ends: Arc<Mutex<VecDeque<End>>>,
}

fn new_queue() -> Arc<TestQueue> {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::from_micros(1_000_000_000)));
    Arc::new(TestQueue::new(MemoryQueue::alone(clock)))
}

fn new_job(number: u32) -> NewJob {
    let id = JobId::from_uuid(Uuid::from_u128(u128::from(number) + 1));
    let payload = Payload::encode(&number).unwrap();
    NewJob::new(id, JobKey::new(format!("k{number}")).unwrap(), JobKind::new(KIND).unwrap(), payload)
}

impl Bench {
    fn new() -> Self {
        Self::with(new_queue(), WorkerConfig::default())
    }

    fn with(queue: Arc<TestQueue>, config: WorkerConfig) -> Self {
        Self::on(queue, config, Arc::new(SeededRandomness::new(5)))
    }

    fn on(queue: Arc<TestQueue>, config: WorkerConfig, randomness: Arc<dyn Randomness>) -> Self {
        let (visits, visited) = mpsc::unbounded_channel();
        let (deaths, died) = mpsc::unbounded_channel();
        let ends = Arc::new(Mutex::default());
        let supervisor = Supervisor::new(randomness.clone());
        let worker = Worker::builder()
            .queue(queue.clone())
            .handler(Scripted { queue: queue.clone(), visits, deaths, ends: Arc::clone(&ends) })
            .randomness(randomness)
            .config(config)
            .build()
            .unwrap()
            .start(&supervisor);
        Self { queue, supervisor, worker, visits: visited, deaths: died, ends }
    }

    async fn enqueue(&self, numbers: std::ops::Range<u32>) {
        let jobs: Vec<NewJob> = numbers.map(new_job).collect();
        self.queue.enqueue(&jobs).await.unwrap();
    }

    /// Waits for the next run; fails if none comes within virtual hours.
    async fn visit(&mut self) -> Visit {
        tokio::time::timeout(HOURS, self.visits.recv()).await.unwrap().unwrap()
    }

    /// Waits for the next end of a job; fails if none comes within virtual hours.
    async fn death(&mut self) -> Death {
        tokio::time::timeout(HOURS, self.deaths.recv()).await.unwrap().unwrap()
    }

    async fn visit_many(&mut self, count: usize) -> Vec<Visit> {
        let mut visits = Vec::new();
        while visits.len() < count {
            visits.push(self.visit().await);
        }
        visits
    }

    async fn job(&self, number: u32) -> Option<Job> {
        self.queue.find(&new_job(number).key).await.unwrap()
    }

    /// Lets time pass until the worker's counts are as expected; fails if they are not within virtual hours.
    async fn until(&self, expected: impl Fn(WorkerCounts) -> bool + Send + Sync) {
        let reached = async {
            while !expected(self.worker.counts()) {
                tokio::time::advance(ms(1)).await;
            }
        };
        assert!(tokio::time::timeout(HOURS, reached).await.is_ok(), "{:?}", self.worker.counts());
    }

    async fn shutdown(&self, limit: Duration) -> ShutdownReport {
        let mut shutdown = Shutdown::within(limit);
        self.worker.shutdown(&mut shutdown).await;
        let left = shutdown.left().max(s(1));
        shutdown.finish(self.supervisor.shutdown(left).await)
    }
}
