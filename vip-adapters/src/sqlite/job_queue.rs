//! `JobQueue` on SQLite: reads go to the readers, everything else to the writer.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use vip_core::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest, Timing};
use vip_core::ports::{
    ClaimRequest, Claimed, Durability, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled, Settlement,
};

use super::SqliteBackend;
use super::error::Failure;
use super::jobs::{Beat, Cancel, EnqueueJobs, RaiseEpochs, Reap, Replay, Settle};
use super::rows;
use super::store::page;
use crate::unreadable;

#[async_trait]
impl JobQueue for SqliteBackend {
    fn durability(&self) -> Durability {
        self.kept()
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.write(EnqueueJobs(jobs.to_vec())).await?)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        let now = self.time();
        self.watcher().note_claim(now);
        let kinds = rows::kinds(&request.kinds)?;
        let due = |queries: &super::queries::Queries| queries.job_due.query().bind(now.as_micros()).bind(kinds.clone());
        if !self.is_there(due).await? {
            return Ok(Vec::new());
        }
        Ok(self.write(request.clone()).await?)
    }

    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.write(Beat { leases: leases.to_vec(), lease }).await?)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.write(Settle(settlements.to_vec())).await?)
    }

    async fn wait(&self, timeout: Duration) {
        self.watcher().wait(timeout).await;
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        let (now, beyond) = (self.time(), rows::after(self.time(), Timing::FURTHEST_AHEAD));
        if !self.is_there(|queries| queries.job_expired.query().bind(now.as_micros()).bind(beyond)).await? {
            return Ok(0);
        }
        Ok(self.write(Reap { max_rescues, most }).await?)
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        LeaseRef::check_epoch(above)?;
        Ok(self.write(RaiseEpochs(above)).await?)
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        Ok(self.write(Cancel(key.clone())).await?)
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        let row = self.reader().row(|queries| queries.job_find.query().bind(key.to_string())).await?;
        Ok(row.as_ref().map(rows::job).transpose()?)
    }

    async fn list(&self, state: JobState, request: &PageRequest) -> Result<Page<Job>, QueueError> {
        let rows = self.reader().rows(|queries| {
            let query = queries.job_list.query().bind(state.as_str());
            query.bind(super::store::after_text(request)).bind(i64::from(request.limit.items()) + 1)
        });
        let rows = rows.await?;
        Ok(page(&rows, request, rows.iter().map(rows::job), unreadable::report)?)
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        Ok(self.write(Replay(job)).await?)
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        let now = self.time();
        let kinds = rows::kinds(kinds)?;
        let query =
            |queries: &super::queries::Queries| queries.job_stats.query().bind(now.as_micros()).bind(kinds.clone());
        let row = self.reader().row(query).await?;
        Ok(row.map_or_else(|| Ok(QueueStats::default()), |row| rows::queue_stats(&row, now))?)
    }
}

impl SqliteBackend {
    async fn is_there(
        &self,
        query: impl Fn(&super::queries::Queries) -> super::queries::Query + Send,
    ) -> Result<bool, Failure> {
        let row = self.reader().row(query).await?;
        Ok(row.map(|row| row.try_get::<bool, _>(0)).transpose()?.unwrap_or(false))
    }
}
