//! One job of the table with its mark to run again, and the few ways in which it changes its state.

use crate::model::{ClaimId, Job, JobState, Timestamp, Timing, Why};
use crate::ports::LeaseRef;
use crate::seeded_bugs::{SeededBug, is_on};

/// Is a job and, while it is leased, the mark that it has to run again.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) job: Job,
    rerun: Option<Rerun>,
}

/// Marks a leased job to run again: when, and whether a command or only wakes asked for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rerun {
    pub(super) due: Timestamp,
    pub(super) why: Why,
}

impl Row {
    pub(super) const fn new(job: Job) -> Self {
        Self { job, rerun: None }
    }

    /// Waiting → leased.
    pub(super) const fn lease(&mut self, epoch: u64, claim: ClaimId, until: Timestamp) {
        self.job.state = JobState::Leased;
        self.job.epoch = epoch;
        self.job.claim = Some(claim);
        self.job.lease_until = Some(until);
    }

    /// Leased → waiting, still due as before; returns the mark and clears it.
    pub(super) fn end_lease(&mut self) -> Option<Rerun> {
        self.job.state = JobState::Waiting;
        self.job.claim = None;
        self.job.lease_until = None;
        self.rerun.take().filter(|_| !is_on(SeededBug::RerunMarkLost))
    }

    /// Ends the job, unless a command came while it was leased; says whether it is dead.
    pub(super) fn die(&mut self, rerun: Option<Rerun>) -> bool {
        match rerun {
            Some(Rerun { due, why: Why::Command }) => {
                self.revive(due);
                false
            }
            Some(Rerun { why: Why::Wake, .. }) | None => {
                self.job.state = JobState::Dead;
                true
            }
        }
    }

    /// Makes the job waiting with all its attempts and rescues before it.
    pub(super) const fn revive(&mut self, due: Timestamp) {
        self.job.state = JobState::Waiting;
        self.job.due = due;
        self.job.counts.attempts = 0;
        self.job.counts.rescues = 0;
    }

    /// Makes the job waiting as if nothing had happened to it.
    pub(super) fn start_over(&mut self, due: Timestamp) {
        self.revive(due);
        self.job.counts = crate::model::AttemptCounts::default();
    }

    /// Marks it to run again: at the earlier time, by command if any of them was one.
    pub(super) fn run_again(&mut self, new: Rerun) {
        self.rerun = Some(self.rerun.map_or(new, |old| Rerun { due: old.due.min(new.due), why: old.why.max(new.why) }));
    }

    pub(super) const fn runs_again(&self) -> bool {
        self.rerun.is_some()
    }

    pub(super) fn is_held_by(&self, lease: &LeaseRef) -> bool {
        let is_claim = self.job.claim == Some(lease.claim) || is_on(SeededBug::FenceByAttempt);
        let is_lease = self.job.epoch == lease.epoch && is_claim;
        self.job.state == JobState::Leased && (is_lease || is_on(SeededBug::NoFence))
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.job.lease_until.is_some_and(|until| until <= now)
    }

    /// Says whether it was leased while the clock was ahead: no worker asks for a lease that ends so late.
    pub(super) fn was_leased_ahead(&self, now: Timestamp) -> bool {
        self.job.lease_until.is_some_and(|until| until > now.plus(Timing::FURTHEST_AHEAD))
    }
}
