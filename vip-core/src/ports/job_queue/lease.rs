//! Leases and what is said with them.

use std::time::Duration;

use super::QueueError;
use crate::model::{ClaimId, Job, JobId, JobKind};

/// Asks for due jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Kinds that the worker knows.
    pub kinds: Vec<JobKind>,
    /// Most jobs to claim.
    pub most: u32,
    /// How long the lease holds; at most 24 h, which [`Timing::check`](crate::model::Timing::check) sees to.
    pub lease: Duration,
    /// Random id of this claim; chosen by the worker.
    pub claim: ClaimId,
}

/// Identifies a lease: the fence token of whoever holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseRef {
    /// The job.
    pub job: JobId,
    /// Which claim on it, counted.
    pub epoch: u64,
    /// Which claim on it, by its random id.
    pub claim: ClaimId,
}

impl LeaseRef {
    /// Highest epoch that a queue may be told to [rise above](super::JobQueue::raise_epochs).
    ///
    /// Epochs begin at a clock in microseconds, so this is one in the year 2255. The claims after it, a million millions of them,
    /// still have numbers that are exact where a queue counts in floating point, as Redis does.
    pub const EPOCH_MOST: u64 = (1 << 53) - (1 << 40);

    /// Refuses an epoch above [`EPOCH_MOST`](Self::EPOCH_MOST): there would be no room left above it.
    ///
    /// # Errors
    ///
    /// [`QueueError::Corrupt`].
    pub fn check_epoch(epoch: u64) -> Result<(), QueueError> {
        if epoch <= Self::EPOCH_MOST {
            return Ok(());
        }
        Err(QueueError::Corrupt { source: format!("no clock gives an epoch of {epoch}").into() })
    }
}

/// Is a lease on a job; it ends by settling or by time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Lease {
    /// What identifies it.
    pub reference: LeaseRef,
    /// How long it was granted for.
    pub duration: Duration,
}

/// Is a claimed job and the lease on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Claimed {
    /// The job, as it is while leased.
    pub job: Job,
    /// The lease.
    pub lease: Lease,
}

/// Says what an enqueue did. Whoever throws it away takes a job that was refused for one that will run:
///
/// ```compile_fail
/// # #![deny(unused_must_use)]
/// # use vip_core::{model::NewJob, ports::QueueError, provisioner::Operator};
/// # async fn run(operator: Operator, job: NewJob) -> Result<(), QueueError> {
/// operator.enqueue(job).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "`Conflict` and `Dead` mean that the job will not run"]
pub enum Enqueued {
    /// The key was new.
    Inserted,
    /// The key was waiting; it is due at the earlier time.
    Merged,
    /// The key is leased; it runs again afterwards.
    WillRunAgain,
    /// The key was dead and a command revived it.
    Revived,
    /// The key is dead and a wake does not revive it.
    Dead,
    /// The key is there with another kind or payload; nothing changed.
    Conflict,
}

/// Says how an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left to do.
    Done,
    /// It failed; try again after the delay. Burns an attempt.
    Retry {
        /// How long from now.
        delay: Duration,
        /// Why, as a short code without data.
        code: String,
    },
    /// It has to wait; go on after the delay. Burns nothing.
    Snooze {
        /// How long from now.
        delay: Duration,
    },
    /// It was not tried, or not to the end; anybody may take it at once. Burns nothing.
    Release,
    /// It failed for good.
    Dead {
        /// Why, as a short code without data.
        code: String,
    },
}

/// Ends a lease with a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The lease.
    pub lease: LeaseRef,
    /// How the attempt ended.
    pub verdict: Verdict,
}

/// Says what a settlement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It ended the lease.
    Applied,
    /// It ended the lease, and the job is dead now.
    Died,
    /// The lease was not the present one; nothing changed.
    Stale,
}

/// Counts what a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueStats {
    /// Jobs that are due and not leased.
    pub due: u64,
    /// Jobs that wait for their time.
    pub later: u64,
    /// Leased jobs.
    pub leased: u64,
    /// Dead jobs.
    pub dead: u64,
    /// How long the oldest due job has been due.
    pub oldest_due: Option<Duration>,
}

impl QueueStats {
    /// Makes counts.
    #[must_use]
    pub const fn new(due: u64, later: u64, leased: u64, dead: u64, oldest_due: Option<Duration>) -> Self {
        Self { due, later, leased, dead, oldest_due }
    }
}
