//! Our side: the public API and the worker as a product has them; a task for each job, fence, keys and retries on.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Mutex;
use uuid::Uuid;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::model::{JobId, JobKey, JobKind, NewJob, Payload};
use vip_core::ports::{JobQueue, Store, SystemRandomness};
use vip_core::runtime::{Shutdown, Supervisor};
use vip_core::worker::{Attempt, JobHandler, JobOutcome, RunningWorker, Worker, WorkerConfig};

use crate::sides::{Body, Running, Seen, Side, Work};

/// Attempts at once where much is to be done: what a worker may have at most.
const CONCURRENCY: u32 = 1000;
/// Jobs of one claim there: as many as the cycle by hand takes at once.
const CLAIM: u32 = 500;
/// Longest end of a worker.
const END: Duration = Duration::from_secs(30);

fn kind() -> JobKind {
    JobKind::new("bench").unwrap()
}

fn job(number: usize) -> NewJob {
    let key = JobKey::new(format!("bench:{number}")).unwrap();
    NewJob::new(JobId::from_uuid(Uuid::now_v7()), key, kind(), Payload::encode(&Body::new(number)).unwrap())
}

/// Is a backend, used as its queue, and a connection that looks whether it is empty as the other side does.
pub(crate) struct Ours(PostgresBackend, Mutex<PgConnection>);

impl Ours {
    pub(crate) async fn open(url: &str) -> Self {
        let backend = PostgresBackend::connect(url, PostgresConfig::default()).await.unwrap();
        Self(backend, Mutex::new(PgConnection::connect(url).await.unwrap()))
    }
}

#[async_trait]
impl Side for Ours {
    async fn enqueue(&self, numbers: Range<usize>) {
        let jobs: Vec<NewJob> = numbers.map(job).collect();
        assert_eq!(self.0.enqueue(&jobs).await.unwrap().len(), jobs.len());
    }

    async fn start(&self, seen: Arc<Seen>, work: Work) -> Box<dyn Running> {
        let supervisor = Supervisor::new(Arc::new(SystemRandomness));
        let mut config = WorkerConfig::default();
        if work == Work::Much {
            config.concurrency = CONCURRENCY;
            config.claim_most = CLAIM;
        }
        let worker = Worker::builder().queue(self.0.backend().queue).handler(Counting { seen, work }).config(config);
        let worker = worker.build().unwrap().start(&supervisor);
        Box::new(Product { worker, supervisor })
    }

    async fn is_empty(&self) -> bool {
        let mut connection = self.1.lock().await;
        let row = sqlx::raw_sql("SELECT NOT EXISTS (SELECT FROM vip.jobs)").fetch_one(&mut *connection).await;
        row.unwrap().try_get(0).unwrap()
    }

    async fn close(self: Box<Self>) {
        Store::close(&self.0).await.unwrap();
        self.1.into_inner().close().await.unwrap();
    }
}

struct Product {
    worker: RunningWorker,
    supervisor: Supervisor,
}

#[async_trait]
impl Running for Product {
    async fn end(self: Box<Self>) {
        let mut shutdown = Shutdown::within(END);
        self.worker.shutdown(&mut shutdown).await;
        let stopped = self.supervisor.shutdown(END).await;
        let report = shutdown.finish(stopped);
        assert!(report.is_clean(), "{report}");
    }
}

#[derive(Debug)]
struct Counting {
    seen: Arc<Seen>,
    work: Work,
}

#[async_trait]
impl JobHandler for Counting {
    type Payload = Body;

    fn kind(&self) -> JobKind {
        kind()
    }

    async fn run(&self, body: Body, _attempt: &Attempt) -> JobOutcome {
        match self.work {
            Work::Much => self.seen.note(&body),
            Work::Soon => self.seen.note_wait(&body),
        }
        JobOutcome::Done
    }
}
