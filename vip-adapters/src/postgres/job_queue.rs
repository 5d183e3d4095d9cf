//! `JobQueue` on PostgreSQL: a call is one statement, or one transaction of few.

use std::time::Duration;

use async_trait::async_trait;
use vip_core::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest};
use vip_core::ports::{
    ClaimRequest, Claimed, Durability, Enqueued, JobQueue, LeaseRef, QueueError, QueueStats, Settled, Settlement,
};

use super::PostgresBackend;
use super::jobs::{Cancel, EnqueueJobs, Reap, Replay};
use super::leases::{self, Beat};
use super::rows;
use super::store::{COUNTED_MOST, page};
use super::upkeep::RaiseEpochs;
use crate::unreadable;

/// Rounds of one reap; each looks at a thousand claims.
const REAP_ROUNDS: u32 = 20;

#[async_trait]
impl JobQueue for PostgresBackend {
    fn durability(&self) -> Durability {
        self.kept()
    }

    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError> {
        match jobs {
            [] => Ok(Vec::new()),
            [job] => Ok(self.enqueue_together(job).await?),
            jobs => Ok(self.write(EnqueueJobs::new(jobs.to_vec())).await?),
        }
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError> {
        self.watcher().note_claim(&request.kinds);
        Ok(self.claim_next(request).await?)
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
        let settlements = settlements.to_vec();
        Ok(self.call(|sessions| leases::settle(sessions, settlements)).await?)
    }

    async fn wait(&self, timeout: Duration) {
        self.watcher().wait(timeout).await;
    }

    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError> {
        let mut reaped = 0;
        // Claims whose jobs were all settled go this way too, and there may be many more of them than expired jobs: without
        // further rounds they would pile up in front of a claim whose worker has died.
        for _ in 0..REAP_ROUNDS {
            if reaped >= most {
                break;
            }
            let Some(found) = self.write(Reap { max_rescues, most: most - reaped }).await? else { break };
            reaped += found;
        }
        Ok(reaped)
    }

    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError> {
        LeaseRef::check_epoch(above)?;
        Ok(self.write(RaiseEpochs(above)).await?)
    }

    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError> {
        Ok(self.write(Cancel(key.clone())).await?)
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        let found = self.sessions().rows(|queries| queries.job_find.query().bind(key.to_string())).await?;
        let job = rows::jobs(&found)?.next();
        Ok(job.transpose()?)
    }

    async fn list(&self, state: JobState, request: &PageRequest) -> Result<Page<Job>, QueueError> {
        let rows = self.sessions().rows(|queries| {
            let statement = match state {
                JobState::Waiting => &queries.job_list,
                JobState::Leased => &queries.job_list_leased,
                JobState::Dead => &queries.job_list_dead,
            };
            statement.query().bind(request.after).bind(i64::from(request.limit.items()) + 1)
        });
        let rows = rows.await?;
        Ok(page(&rows, request, rows::jobs(&rows)?, unreadable::report)?)
    }

    async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        Ok(self.write(Replay(job)).await?)
    }

    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError> {
        let now = self.sessions().bound_now();
        let kinds = rows::kinds(kinds);
        let query = |queries: &super::queries::Queries| {
            queries.job_stats.query().bind(now).bind(kinds.clone()).bind(COUNTED_MOST)
        };
        let row = self.sessions().row(query).await?;
        Ok(row.map_or_else(|| Ok(QueueStats::default()), |row| rows::queue_stats(&row))?)
    }
}
