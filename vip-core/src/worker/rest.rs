//! How long a worker claims nothing because others can do what it cannot, and whether that was of any use.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Polls of other workers that a job is left to them.
const POLLS_OF_OTHERS: u32 = 2;
/// Longest time that these are waited for: whatever else this worker has to do waits as well.
const POLLS_MOST: Duration = Duration::from_secs(30);
/// Longest time that a worker leaves jobs to others, whatever a handler asks for.
pub(super) const LEFT_MOST: Duration = Duration::from_secs(24 * 3600);

/// Remembers the last rest of a worker.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    /// Every other worker has polled for what was due by then.
    polled: Instant,
    until: Instant,
    was_in_vain: bool,
}

impl Rest {
    fn lock(&self) -> MutexGuard<'_, Option<Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a rest that lasts until a job that is due after `delay` was in reach of every other worker's polls.
    pub(super) fn begin(&self, delay: Duration, poll_interval: Duration) {
        let due = Instant::now() + delay.min(LEFT_MOST);
        let polls = poll_interval.saturating_mul(POLLS_OF_OTHERS).min(POLLS_MOST);
        // Of the two polls each may be a quarter late: by five eighths of their time one has come. What is left is for the
        // settlement that makes the job due.
        let polled = due + polls * 3 / 8;
        *self.lock() = Some(Last { polled, until: due + polls, was_in_vain: false });
    }

    /// Returns how long other workers' claims come first; none when they do not.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.lock().as_ref()?.until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Says whether another rest would be of no use: for `again` after one in which a job was due and nobody took it. The job
    /// that asks had been due for `waited` when it was claimed.
    pub(super) fn is_in_vain(&self, waited: Duration, again: Duration) -> bool {
        let now = Instant::now();
        let mut last = self.lock();
        let Some(last) = last.as_mut().filter(|last| (last.until..last.until + again).contains(&now)) else {
            return false;
        };
        last.was_in_vain |= now.checked_sub(waited).is_none_or(|due| due <= last.polled);
        last.was_in_vain
    }
}
