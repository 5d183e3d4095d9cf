//! What an operator sees and does of jobs: those of the queue, and the dead ones that a queue elsewhere did not take.

use super::Operator;
use crate::model::{Job, JobId, JobKey, JobState, NewJob, Page, PageRequest};
use crate::ports::{Enqueued, JobQueue, QueueError, QueueStats};

impl Operator {
    fn outbox(&self) -> Option<&dyn JobQueue> {
        self.shared.context.outbox.as_deref()
    }

    /// Lists jobs in a state, in ascending order of their ids.
    ///
    /// Beside a queue elsewhere the dead ones are also those that it did not take (code `relay_conflict`: another job
    /// stands there under the same key); they are kept in the store. While both have some, [`Page::unreadable`] may be too low.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be asked.
    pub async fn jobs(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError> {
        let here = self.shared.context.queue.list(state, page).await?;
        match self.outbox() {
            Some(outbox) if state == JobState::Dead => Ok(merged(here, outbox.list(state, page).await?, page)),
            Some(_) | None => Ok(here),
        }
    }

    /// Shows the job of a key; beside a queue elsewhere one that is still in the store, if that queue has none.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be asked.
    pub async fn job(&self, key: &JobKey) -> Result<Option<Job>, QueueError> {
        let found = self.shared.context.queue.find(key).await?;
        match (found, self.outbox()) {
            (None, Some(outbox)) => outbox.find(key).await,
            (found, _) => Ok(found),
        }
    }

    /// Lets a dead job run again, with its counters at zero; says whether anything changed. One that a queue elsewhere
    /// did not take is relayed once more, and is dead again if the other job still stands there.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be used.
    pub async fn replay(&self, job: JobId) -> Result<bool, QueueError> {
        let is_replayed = self.shared.context.queue.replay(job).await?;
        match self.outbox() {
            Some(outbox) if !is_replayed => outbox.replay(job).await,
            Some(_) | None => Ok(is_replayed),
        }
    }

    /// Counts jobs by state; beside a queue elsewhere the dead ones that it did not take are among the dead.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be asked.
    pub async fn queue_stats(&self) -> Result<QueueStats, QueueError> {
        let mut stats = self.shared.context.queue.stats(&[]).await?;
        if let Some(outbox) = self.outbox() {
            stats.dead = stats.dead.saturating_add(outbox.stats(&[]).await?.dead);
        }
        Ok(stats)
    }

    /// Looks at a job, not at another one under its key: in the queue, and whether it is still to be relayed.
    pub(super) async fn standing(&self, job: &Job) -> Result<Standing, QueueError> {
        // In the order in which jobs move: one that is relayed between two looks is seen by the second.
        let waiting = match self.outbox() {
            Some(outbox) => outbox.find(&job.key).await?.filter(|found| found.id == job.id),
            None => None,
        };
        match waiting {
            Some(found) if found.state == JobState::Dead => return Ok(Standing::Queued(Box::new(found))),
            Some(_) => return Ok(Standing::ToBeRelayed),
            None => {}
        }
        Ok(match self.shared.context.queue.find(&job.key).await? {
            Some(found) if found.id == job.id => Standing::Queued(Box::new(found)),
            // The relay may have joined ours with the one that stands there: how ours fared is not known.
            Some(_) if self.outbox().is_some() => Standing::ToBeRelayed,
            Some(_) | None => Standing::Gone,
        })
    }

    /// Enqueues a job of a host's own kind; its handler is given to the builder.
    ///
    /// The same job joins one that waits under its key. One that runs will run once more; one that is dead is revived; once
    /// it is done its key is free, and it runs again. So what must not happen twice, its handler has to know. While a job of
    /// another kind or payload stands under the key, dead or not, the answer is [`Enqueued::Conflict`], and nothing is
    /// changed.
    ///
    /// ```
    /// # use vip_core::{model::NewJob, provisioner::Operator};
    /// use vip_core::ports::Enqueued;
    ///
    /// # async fn run(operator: Operator, job: NewJob) -> Result<(), Box<dyn std::error::Error>> {
    /// if operator.enqueue(job).await? == Enqueued::Conflict {
    ///     return Err("another job stands under this key".into());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueError`]; after an unknown outcome repeat it with the same id.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, QueueError> {
        let answers = self.shared.context.queue.enqueue(std::slice::from_ref(&job)).await?;
        let missing = || QueueError::Corrupt { source: "the queue answered for no job".into() };
        answers.into_iter().next().ok_or_else(missing)
    }

    /// Makes an id for a job: time-ordered and random.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        JobId::from_uuid(self.shared.context.randomness.uuid_at(self.shared.context.clock.now()))
    }
}

/// Says where a job is.
#[derive(Debug)]
pub(super) enum Standing {
    /// In the queue, or dead beside it.
    Queued(Box<Job>),
    /// Still in the store, on its way to the queue, or one with another there.
    ToBeRelayed,
    /// It is done.
    Gone,
}

/// Joins pages of two queues into one: in the order of their ids, and none beyond where one of them ended early.
fn merged(here: Page<Job>, there: Page<Job>, page: &PageRequest) -> Page<Job> {
    let limit = usize::try_from(page.limit.items()).unwrap_or(usize::MAX);
    let end = [here.next, there.next].into_iter().flatten().min();
    // What a page left out is counted if all of it is taken: nobody knows where in a page it stood, and what is behind the end is
    // read once more with the next one. So none is counted twice, and some of a page that is cut not at all.
    let left_out = |of: &Page<Job>| if of.next == end { of.unreadable } else { 0 };
    let unreadable = left_out(&here).saturating_add(left_out(&there));
    let mut items = here.items;
    items.extend(there.items);
    items.retain(|job| end.is_none_or(|end| job.id.as_uuid() <= end));
    items.sort_by_key(|job| job.id);
    // The same job may be dead in both: the second one shows when the first is replayed.
    items.dedup_by_key(|job| job.id);
    let is_cut = items.len() > limit;
    items.truncate(limit);
    let next = if is_cut { items.last().map(|job| job.id.as_uuid()) } else { end };
    Page::new(items, next).with_unreadable(if is_cut { 0 } else { unreadable })
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
