//! One run of a job: what it may look at, and how it learns that its lease or its time is over.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handler::JobOutcome;
use super::rest::Rest;
use crate::model::{AccountId, Job, RequestId};
use crate::ports::{Claimed, Lease, LeaseRef};

/// Is one run of a job under one lease.
pub struct Attempt {
    job: Job,
    hold: Arc<Hold>,
    signals: Arc<Signals>,
    /// The account whose orders its end leaves to others.
    left: Mutex<Option<AccountId>>,
}

impl Attempt {
    pub(super) const fn new(job: Job, hold: Arc<Hold>, signals: Arc<Signals>) -> Self {
        Self { job, hold, signals, left: Mutex::new(None) }
    }

    /// Makes an attempt outside of a worker, for tests of handlers: claimed now, never prolonged. What [`guard`](Self::guard) lets
    /// through has to end `margin` before the lease does.
    #[must_use]
    pub fn for_test(claimed: Claimed, margin: Duration) -> Self {
        let hold = Arc::new(Hold::new(claimed.lease, margin, Instant::now()));
        Self::new(claimed.job, hold, Arc::default())
    }

    /// Does what a refused heartbeat does, for tests of handlers: [`guard`](Self::guard) refuses from now on.
    pub fn lose_lease(&self) {
        self.hold.lose();
    }

    /// Does what a shutdown of the worker does, for tests of handlers: it [is stopping](Self::is_stopping).
    ///
    /// Not for handlers themselves: of an attempt that a worker made it tells that worker and all its other attempts, too.
    pub fn stop(&self) {
        self.signals.stopping.cancel();
    }

    /// Does what the deadline of a shutdown does.
    #[cfg(test)]
    pub(crate) fn cut(&self) {
        self.signals.cancelled.cancel();
    }

    /// Shows the job as it was when it was claimed.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// Returns what identifies the lease: the fence token of every write.
    #[must_use]
    pub fn lease(&self) -> LeaseRef {
        self.hold.reference()
    }

    /// Returns for how long the job had been due when it was claimed, by the queue's clock.
    pub(super) fn waited(&self) -> Option<Duration> {
        let until = self.job.lease_until?;
        Some(until.minus(self.hold.lease.duration).since(self.job.due))
    }

    /// Says whether it is of no use to [leave](Self::leave) an order of an account to others: nobody took what this worker left to
    /// them of it last. It is so for every order of the account until `again` after that rest; then others may be there. Where
    /// several accounts fare so it lasts as many times longer.
    pub(crate) fn is_left_in_vain(&self, account: &AccountId, again: Duration) -> bool {
        self.signals.rest.is_in_vain(account, self.waited().unwrap_or_default(), again)
    }

    /// Makes the outcome that [leaves](JobOutcome::Leave) an order of an account to others.
    pub(crate) fn leave(&self, account: &AccountId, delay: Duration) -> JobOutcome {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(account.clone());
        JobOutcome::Leave { delay }
    }

    /// Returns the account whose orders are left to others; none for a job of a host's own.
    pub(super) fn left(&self) -> Option<AccountId> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the request that asked for the job, if any.
    #[must_use]
    pub const fn request_id(&self) -> Option<&RequestId> {
        self.job.request_id.as_ref()
    }

    /// Counts this run among those that may burn: 1 for the first.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.job.counts.attempts.saturating_add(1)
    }

    /// Makes sure that something that takes up to `needed` ends within the lease (rule F5).
    ///
    /// The lease is counted from before its claim, or its last granted heartbeat, was *sent*, on this process's
    /// monotonic clock: whatever the queue's clock says, the queue cannot have started it earlier. It narrows the
    /// window of a stalled worker; the fence of the store decides.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`] if the time is too short, or if the queue has said that the lease is over.
    pub fn guard(&self, needed: Duration) -> Result<(), LeaseLost> {
        let left = self.hold.left().ok_or(LeaseLost { needed, left: Duration::ZERO })?;
        if needed.saturating_add(self.hold.margin) < left { Ok(()) } else { Err(LeaseLost { needed, left }) }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.hold.left().is_none()
    }

    /// Says whether the worker shuts down: a handler of many steps ends at the next safe point with
    /// [`Release`](super::JobOutcome::Release).
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.signals.stopping.is_cancelled()
    }

    /// Resolves when the worker shuts down.
    pub async fn stopping(&self) {
        self.signals.stopping.cancelled().await;
    }

    /// Says whether the deadline of the shutdown is over: this run is being dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.signals.cancelled.is_cancelled()
    }

    /// Resolves at the deadline of the shutdown; for what a handler has handed to other tasks.
    pub async fn cancelled(&self) {
        self.signals.cancelled.cancelled().await;
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Attempt")
            .field("job", &self.job.id)
            .field("kind", &self.job.kind)
            .field("lease", &self.hold.reference())
            .finish_non_exhaustive()
    }
}

/// Says that an effect must not start, because it could outlive the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lease is over or too short: {needed:?} needed, {left:?} left")]
pub struct LeaseLost {
    /// How long the effect may take.
    pub needed: Duration,
    /// How long the lease still holds; zero if it is lost.
    pub left: Duration,
}

/// Tells all attempts of a worker that it stops, that it has stopped waiting for them, and how it rested for others.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) stopping: CancellationToken,
    pub(super) cancelled: CancellationToken,
    pub(super) rest: Rest,
}

impl Signals {
    /// Makes a guard that tells all attempts both when it is dropped.
    pub(super) fn cut_on_drop(self: &Arc<Self>) -> CutOnDrop {
        CutOnDrop(Arc::clone(self))
    }
}

/// Cuts all attempts of a worker when it is dropped.
#[derive(Debug)]
pub(super) struct CutOnDrop(Arc<Signals>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.stopping.cancel();
        self.0.cancelled.cancel();
    }
}

/// Is what a worker knows about one of its leases; shared by the attempt and the heartbeat loop.
#[derive(Debug)]
pub(super) struct Hold {
    lease: Lease,
    /// What has to be left of it where an effect could end last.
    margin: Duration,
    /// When the last request that proved the lease was sent; none once the lease is lost.
    proven: Mutex<Option<Instant>>,
}

impl Hold {
    /// Starts a hold; `sent` is the time before the claim went out.
    pub(super) const fn new(lease: Lease, margin: Duration, sent: Instant) -> Self {
        Self { lease, margin, proven: Mutex::new(Some(sent)) }
    }

    pub(super) const fn reference(&self) -> LeaseRef {
        self.lease.reference
    }

    /// Notes a granted heartbeat; `sent` is the time before it went out. A lost lease stays lost.
    pub(super) fn prolong(&self, sent: Instant) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        *proven = proven.map(|before| before.max(sent));
    }

    /// Notes that the queue said the lease is over.
    pub(super) fn lose(&self) {
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns how long the lease holds for certain; none once it is lost.
    pub(super) fn left(&self) -> Option<Duration> {
        let proven = *self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.map(|sent| self.lease.duration.saturating_sub(sent.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{ClaimId, JobId, JobKey, JobKind, NewJob, Payload, Timestamp};

    fn attempt(lease: Duration, margin: Duration) -> Attempt {
        let id = JobId::from_uuid(Uuid::from_u128(1));
        let new = NewJob::new(
            id,
            JobKey::new("a:1").unwrap(),
            JobKind::new("a").unwrap(),
            Payload::from_text("null").unwrap(),
        );
        let reference = LeaseRef { job: id, epoch: 1, claim: ClaimId::from_uuid(Uuid::from_u128(2)) };
        let job = Job::waiting(new, Timestamp::from_micros(0));
        Attempt::for_test(Claimed { job, lease: Lease { reference, duration: lease } }, margin)
    }

    #[tokio::test(start_paused = true)]
    async fn an_effect_that_fits_the_lease_starts_and_one_that_does_not_is_refused() {
        let s = Duration::from_secs;
        let attempt = attempt(s(60), s(5));
        tokio::time::advance(s(20)).await;
        assert_eq!(attempt.guard(s(35) - Duration::from_nanos(1)), Ok(()));
        assert_eq!(attempt.guard(s(35)), Err(LeaseLost { needed: s(35), left: s(40) }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_granted_heartbeat_counts_from_when_it_was_sent() {
        let s = Duration::from_secs;
        let attempt = attempt(s(60), s(5));
        tokio::time::advance(s(20)).await;
        let sent = Instant::now();
        tokio::time::advance(s(3)).await;
        attempt.hold.prolong(sent);
        assert_eq!(attempt.hold.left(), Some(s(57)));
        attempt.hold.prolong(sent - s(10));
        assert_eq!(attempt.hold.left(), Some(s(57)), "an answer that was overtaken shortens nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_lease_stays_lost() {
        let attempt = attempt(Duration::from_secs(60), Duration::ZERO);
        attempt.lose_lease();
        attempt.hold.prolong(Instant::now());
        assert!(attempt.guard(Duration::ZERO).is_err());
    }
}
