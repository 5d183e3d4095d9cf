//! Where jobs wait, are leased to workers, and are settled.

mod each;
mod error;
mod lease;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub(crate) use each::{Each, enqueue_each};
pub use error::QueueError;
pub use lease::{ClaimRequest, Claimed, Enqueued, Lease, LeaseRef, QueueStats, Settled, Settlement, Verdict};

use super::store::Durability;
use crate::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest};

/// Most jobs of one [`JobQueue::enqueue`]: as many as every queue takes at once. A call with more is for its caller to split.
pub const ENQUEUE_MOST: usize = 256;

/// Keeps jobs, leases each to one worker at a time, and lets go of it only against the lease.
///
/// All times are the queue's own clock. A lease is (job, epoch, random claim id); every call that ends or prolongs one
/// carries all three in the condition of the statement that writes. The contract below says what each call does to a job;
/// `docs/protocol.md` §6 shows the same as one table.
///
/// # Contract
///
/// * A queue holds at most one job per key (`one_job_per_key`).
/// * Enqueuing a waiting key moves it earlier, never later (`enqueue_moves_earlier_only`).
/// * Enqueuing a leased key marks it to run again after whatever settles it (`enqueue_while_leased_runs_again`).
/// * Enqueuing a dead key revives it by command, and answers `Dead` to a wake (`a_command_revives_a_dead_job`).
/// * Another kind or payload under a key is `Conflict` (`another_payload_is_a_conflict`).
/// * A job is held by at most one unexpired lease (`job_is_claimed_by_one_worker_only`).
/// * No job is claimed before it is due, nor one of a kind that was not asked for (`only_due_known_kinds_are_claimed`).
/// * The epoch rises with every claim, across all jobs, and is never reset (`epoch_rises_for_ever`).
/// * Once epochs were raised, those of later claims are higher than the number named; none is ever lowered by it, and a number
///   above [`LeaseRef::EPOCH_MOST`] is refused (`epochs_are_raised_and_never_lowered`).
/// * Nothing changes for a lease that is not the present one (`stale_lease_changes_nothing`).
/// * An expired lease may still settle until it is reaped, not heartbeat (`expired_lease_settles_but_does_not_beat`).
/// * `reap` makes expired jobs claimable, counting a rescue; beyond the bound they are dead
///   (`expired_lease_is_claimable`, `rescues_are_bounded`).
/// * A lease that ends later than any can, since the clock was ahead when it was granted, is reaped like one that has expired
///   (`a_lease_that_ends_beyond_any_is_reaped`).
/// * Attempts, snoozes and rescues are counted apart (`attempts_snoozes_and_rescues_are_counted_apart`).
/// * Rescues count in a row: a snooze, an end or a revival forgets them
///   (`rescues_before_a_snooze_or_a_revival_do_not_count`).
/// * Every call may be repeated after an unknown outcome (`repeated_calls_change_nothing`).
/// * A wake marks a leased job to run again, but does not keep it from dying (`a_wake_does_not_save_a_dying_job`).
/// * `cancel` leaves a leased job alone (`a_leased_job_is_not_cancelled`).
/// * `replay` starts a dead job over and marks a leased one (`replay_starts_a_dead_job_over_and_marks_a_leased_one`).
/// * A job says who asked for it, from the claim to the dead (`a_job_says_who_asked_for_it`).
/// * Lists are in pages, ascending by id; counts are by state and kind (`jobs_are_listed_in_pages_and_counted`).
/// * All of this holds for 32 callers at once, and no wake is lost (`many_workers_never_share_a_job`).
/// * Any sequence of calls answers as the in-memory queue does (`random_calls_of_a_queue_answer_as_in_memory`).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait JobQueue: fmt::Debug + Send + Sync + 'static {
    /// Says what may be lost.
    fn durability(&self) -> Durability;

    /// Enqueues jobs, all or none; answers in their order. At most [`ENQUEUE_MOST`] at once: a queue may refuse more as
    /// [`QueueError::Corrupt`], as the one on Redis does.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; if the outcome is unknown, repeat with the same ids.
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, QueueError>;

    /// Claims due jobs of the named kinds, earliest due first, at most `request.most`.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; after an unknown outcome the claimed jobs come back when their leases expire.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claimed>, QueueError>;

    /// Prolongs leases, however many, to `lease` from now; answers which are still held, in their order.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; whether any was prolonged is unknown, so assume that none was.
    async fn heartbeat(&self, leases: &[LeaseRef], lease: Duration) -> Result<Vec<bool>, QueueError>;

    /// Ends leases, however many; answers for each whether it was the present one, in their order.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; repeat it as it was: a second one finds no such claim and changes nothing.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, QueueError>;

    /// Waits until a job may have become due, at most for `timeout`. A hint: it may return early or late.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    async fn wait(&self, timeout: Duration);

    /// Returns jobs whose leases have expired, or end [further ahead](crate::model::Timing::FURTHEST_AHEAD) than any, to waiting, at most
    /// `most`; counts how many.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; repeat.
    async fn reap(&self, max_rescues: u32, most: u32) -> Result<u32, QueueError>;

    /// Lets the epochs of later claims be higher than `above`, and never lower than they would be; says whether it had to.
    ///
    /// For a record that was written under an epoch which this queue has not reached, such as that of a queue whose clock was
    /// ahead, and that is lost by now. Leases keep their epochs, so raising makes no claim of a stalled worker good again.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; repeat. [`QueueError::Corrupt`] if `above` is [more](LeaseRef::check_epoch) than any epoch.
    async fn raise_epochs(&self, above: u64) -> Result<bool, QueueError>;

    /// Removes a job that is waiting or dead; says whether it was there. A leased one is left alone.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; repeat.
    async fn cancel(&self, key: &JobKey) -> Result<bool, QueueError>;

    /// Shows one job.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be asked.
    async fn find(&self, key: &JobKey) -> Result<Option<Job>, QueueError>;

    /// Lists jobs in a state, in ascending order of their ids.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be asked.
    async fn list(&self, state: JobState, page: &PageRequest) -> Result<Page<Job>, QueueError>;

    /// Makes a dead job waiting with counters at zero; a leased one runs once more. Says whether anything changed.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; repeat.
    async fn replay(&self, job: JobId) -> Result<bool, QueueError>;

    /// Counts jobs by state; the oldest due job's age is what an alarm looks at.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the queue cannot be asked.
    async fn stats(&self, kinds: &[JobKind]) -> Result<QueueStats, QueueError>;
}
