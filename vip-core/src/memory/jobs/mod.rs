//! The key table of a queue (`docs/protocol.md` §6) as a pure structure: no lock, no clock, time comes with each call.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use row::{Rerun, Row};

use crate::model::{Job, JobId, JobKey, JobKind, JobState, NewJob, Page, PageRequest, Timestamp, Why};
use crate::ports::{ClaimRequest, Claimed, Enqueued, Lease, LeaseRef, QueueStats, Settled, Settlement, Verdict};
use crate::seeded_bugs::{SeededBug, is_on};

/// Holds the jobs of a queue and moves each as the table says.
///
/// Where the table says "over max": an attempt kills when it makes `attempts` reach `max_attempts`, a rescue when it
/// makes `rescues` exceed `max_rescues`.
#[derive(Debug, Default, Clone)]
pub(crate) struct JobTable {
    rows: BTreeMap<JobId, Row>,
    keys: BTreeMap<JobKey, JobId>,
    /// Waiting jobs in the order in which they are claimed.
    ready: BTreeSet<(Timestamp, JobId)>,
    last_epoch: u64,
    /// Counts every time that a job was put among the waiting ones: who has seen this number has missed none.
    arrivals: u64,
}

impl JobTable {
    /// Adds a job, or merges it into what stands under its key.
    pub(crate) fn enqueue(&mut self, new: &NewJob, now: Timestamp) -> Enqueued {
        let due = now.plus(new.delay);
        let Some(id) = self.keys.get(&new.key).copied() else {
            if self.rows.contains_key(&new.id) {
                return Enqueued::Conflict;
            }
            self.keys.insert(new.key.clone(), new.id);
            self.put(Row::new(Job::waiting(new.clone(), now)));
            return Enqueued::Inserted;
        };
        let Some(row) = self.rows.get(&id) else { return Enqueued::Conflict };
        if row.job.kind != new.kind || row.job.payload != new.payload {
            return Enqueued::Conflict;
        }
        match (row.job.state, new.why) {
            (JobState::Waiting, Why::Wake | Why::Command) => {
                self.change(id, |row| row.job.due = row.job.due.min(due));
                Enqueued::Merged
            }
            (JobState::Leased, why) => {
                self.change(id, |row| row.run_again(Rerun { due, why }));
                Enqueued::WillRunAgain
            }
            (JobState::Dead, Why::Command) => {
                self.change(id, |row| row.revive(due));
                Enqueued::Revived
            }
            (JobState::Dead, Why::Wake) => Enqueued::Dead,
        }
    }

    /// Leases due jobs of the named kinds, earliest due first.
    pub(crate) fn claim(&mut self, request: &ClaimRequest, now: Timestamp) -> Vec<Claimed> {
        let most = usize::try_from(request.most).unwrap_or(usize::MAX);
        let due: Vec<JobId> = self
            .ready
            .iter()
            .take_while(|(due, _)| *due <= now)
            .filter(|(_, id)| self.rows.get(id).is_some_and(|row| request.kinds.contains(&row.job.kind)))
            .map(|(_, id)| *id)
            .take(most)
            .collect();
        due.into_iter().filter_map(|id| self.lease(id, request, now)).collect()
    }

    fn lease(&mut self, id: JobId, request: &ClaimRequest, now: Timestamp) -> Option<Claimed> {
        // Above the clock, so that the epoch rises even after this table was lost and a new one begins at zero.
        let mut epoch = u64::try_from(now.as_micros()).unwrap_or(0).max(self.last_epoch.saturating_add(1));
        self.last_epoch = epoch;
        if is_on(SeededBug::FenceByAttempt) || is_on(SeededBug::SnoozeResetsEpoch) {
            // What a snooze does not count does not raise it.
            epoch = u64::from(self.rows.get(&id)?.job.counts.attempts).saturating_add(1);
        }
        self.change(id, |row| row.lease(epoch, request.claim, now.plus(request.lease)));
        let job = self.rows.get(&id)?.job.clone();
        let reference = LeaseRef { job: id, epoch, claim: request.claim };
        Some(Claimed { job, lease: Lease { reference, duration: request.lease } })
    }

    /// Prolongs a lease that is the present one and has not expired.
    pub(crate) fn heartbeat(&mut self, lease: &LeaseRef, duration: Duration, now: Timestamp) -> bool {
        let until = now.plus(duration);
        let Some(row) = self.rows.get_mut(&lease.job) else { return false };
        if !row.is_held_by(lease) || row.has_expired(now) {
            return false;
        }
        row.job.lease_until = row.job.lease_until.max(Some(until));
        true
    }

    /// Ends a lease if it is the present one, expired or not.
    pub(crate) fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let id = settlement.lease.job;
        let is_leased = |row: &Row| row.job.state == JobState::Leased;
        let by_job = is_on(SeededBug::SettleByJobAlone) && self.rows.get(&id).is_some_and(is_leased);
        if !by_job && !self.is_current(&settlement.lease) {
            return Settled::Stale;
        }
        let Some(mut row) = self.take(id) else { return Settled::Stale };
        let rerun = row.end_lease();
        let earliest = |delay: Duration| rerun.map_or(now.plus(delay), |again| again.due.min(now.plus(delay)));
        let mut dies = false;
        match &settlement.verdict {
            Verdict::Done => {
                let Some(again) = rerun else {
                    self.keys.remove(&row.job.key);
                    return Settled::Applied;
                };
                row.revive(again.due);
            }
            Verdict::Retry { delay, code } => {
                row.job.counts.attempts = row.job.counts.attempts.saturating_add(1);
                row.job.last_error = Some(code.clone());
                row.job.due = earliest(*delay);
                dies = row.job.counts.attempts >= row.job.max_attempts;
            }
            Verdict::Snooze { delay } => {
                row.job.counts.snoozes = row.job.counts.snoozes.saturating_add(1);
                // A run that ended by itself: the workers that disappeared before it tell nothing about the job any more.
                row.job.counts.rescues = 0;
                row.job.due = earliest(*delay);
            }
            Verdict::Release => row.job.due = now,
            Verdict::Dead { code } => {
                row.job.last_error = Some(code.clone());
                dies = true;
            }
        }
        let died = dies && row.die(rerun);
        self.put(row);
        if died { Settled::Died } else { Settled::Applied }
    }

    /// Ends leases that have expired, and those that were granted while the clock was ahead, earliest first, at most `most`.
    pub(crate) fn reap(&mut self, max_rescues: u32, most: u32, now: Timestamp) -> u32 {
        let mut expired: Vec<(Option<Timestamp>, JobId)> = self
            .rows
            .values()
            .filter(|row| row.job.state == JobState::Leased && (row.has_expired(now) || row.was_leased_ahead(now)))
            .map(|row| (row.job.lease_until, row.job.id))
            .collect();
        expired.sort_unstable();
        let mut reaped = 0;
        for (_, id) in expired.into_iter().take(usize::try_from(most).unwrap_or(usize::MAX)) {
            let Some(mut row) = self.take(id) else { continue };
            let rerun = row.end_lease().map(|again| Rerun { due: now, ..again });
            row.job.due = now;
            row.job.counts.rescues = row.job.counts.rescues.saturating_add(1);
            if row.job.counts.rescues > max_rescues {
                row.job.last_error = Some(LOST_WORKER.to_owned());
                row.die(rerun);
            }
            self.put(row);
            reaped += 1;
        }
        reaped
    }

    /// Lets the epochs of later claims be higher than a number; says whether they were not.
    pub(crate) const fn raise_epochs(&mut self, above: u64) -> bool {
        let is_behind = self.last_epoch < above;
        if is_behind {
            self.last_epoch = above;
        }
        is_behind
    }

    /// Removes a job that nobody works on.
    pub(crate) fn cancel(&mut self, key: &JobKey) -> bool {
        let Some(id) = self.keys.get(key).copied() else { return false };
        if self.rows.get(&id).is_none_or(|row| row.job.state == JobState::Leased) {
            return false;
        }
        self.keys.remove(key);
        self.take(id).is_some()
    }

    /// Makes a dead job waiting as if it were new; a leased one runs once more.
    pub(crate) fn replay(&mut self, id: JobId, now: Timestamp) -> bool {
        let Some(row) = self.rows.get(&id) else { return false };
        match row.job.state {
            JobState::Waiting => false,
            JobState::Leased if row.runs_again() => false,
            JobState::Leased => self.change(id, |row| row.run_again(Rerun { due: now, why: Why::Command })),
            JobState::Dead => self.change(id, |row| row.start_over(now)),
        }
    }

    /// Shows the job under a key.
    pub(crate) fn find(&self, key: &JobKey) -> Option<Job> {
        self.rows.get(self.keys.get(key)?).map(|row| row.job.clone())
    }

    /// Lists jobs in a state, in ascending order of their ids.
    pub(crate) fn list(&self, state: JobState, page: &PageRequest) -> Page<Job> {
        let limit = usize::try_from(page.limit.items()).unwrap_or(usize::MAX);
        let mut rest = self
            .rows
            .values()
            .map(|row| &row.job)
            .filter(|job| job.state == state && page.after.is_none_or(|after| job.id.as_uuid() > after));
        let items: Vec<Job> = rest.by_ref().take(limit).cloned().collect();
        let next = if rest.next().is_some() { items.last().map(|job| job.id.as_uuid()) } else { None };
        Page::new(items, next)
    }

    /// Counts the jobs of the named kinds, or of all kinds if none is named.
    pub(crate) fn stats(&self, kinds: &[JobKind], now: Timestamp) -> QueueStats {
        let mut stats = QueueStats::default();
        let counted = self.rows.values().map(|row| &row.job);
        for job in counted.filter(|job| kinds.is_empty() || kinds.contains(&job.kind)) {
            match job.state {
                JobState::Waiting if job.due <= now => {
                    stats.due += 1;
                    stats.oldest_due = stats.oldest_due.max(Some(now.since(job.due)));
                }
                JobState::Waiting => stats.later += 1,
                JobState::Leased => stats.leased += 1,
                JobState::Dead => stats.dead += 1,
            }
        }
        stats
    }

    /// Says whether a lease is the present one of its job, expired or not (rules F3, F4).
    pub(crate) fn is_current(&self, lease: &LeaseRef) -> bool {
        self.rows.get(&lease.job).is_some_and(|row| row.is_held_by(lease))
    }

    /// Counts the arrivals among the waiting jobs so far.
    pub(super) const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Returns when the next job becomes due that is not due yet.
    pub(super) fn next_due_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.ready.iter().map(|(due, _)| *due).find(|due| *due > now)
    }

    fn take(&mut self, id: JobId) -> Option<Row> {
        let row = self.rows.remove(&id)?;
        self.ready.remove(&(row.job.due, id));
        Some(row)
    }

    fn put(&mut self, row: Row) {
        if row.job.state == JobState::Waiting {
            self.ready.insert((row.job.due, row.job.id));
            self.arrivals += 1;
        }
        self.rows.insert(row.job.id, row);
    }

    fn change(&mut self, id: JobId, change: impl FnOnce(&mut Row)) -> bool {
        let Some(mut row) = self.take(id) else { return false };
        change(&mut row);
        self.put(row);
        true
    }
}

/// Why a job died whose workers disappeared too often.
const LOST_WORKER: &str = "lost_worker";

#[cfg(test)]
mod sequence_tests;
#[cfg(test)]
mod tests;
