//! How long a worker claims nothing because others can do what it cannot, and whether that was of any use.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::AccountId;

/// Polls of other workers that a job is left to them.
const POLLS_OF_OTHERS: u32 = 2;
/// Longest time that these are waited for: whatever else this worker has to do waits as well.
const POLLS_MOST: Duration = Duration::from_secs(30);
/// Longest time that a worker leaves jobs to others, whatever a handler asks for.
pub(super) const LEFT_MOST: Duration = Duration::from_secs(24 * 3600);

/// Remembers the rests of a worker.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<Rests>);

#[derive(Debug, Default)]
struct Rests {
    /// When all of them are over.
    until: Option<Instant>,
    /// The last one for each account. Who has the good token of one account need not have another's. There are no more than
    /// this process has tokens of.
    last: BTreeMap<AccountId, Last>,
}

#[derive(Debug)]
struct Last {
    /// Every other worker has polled for what was due by then.
    polled: Instant,
    until: Instant,
    was_in_vain: bool,
}

impl Rests {
    /// Returns for how long no rest for an account is repeated after one that was in vain: for `again`, and as often that as there
    /// are other accounts like it, so that all these rests together take no more time than those of one.
    fn pause(&self, account: &AccountId, again: Duration, now: Instant) -> Duration {
        let most = again.saturating_mul(u32::try_from(self.last.len()).unwrap_or(u32::MAX));
        // One that was in vain long ago may be of an account whose token is good by now.
        let others = self.last.iter().filter(|(other, last)| {
            *other != account && last.was_in_vain && now.saturating_duration_since(last.until) < most
        });
        let others = others.count();
        again.saturating_mul(u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1))
    }
}

impl Rest {
    fn lock(&self) -> MutexGuard<'_, Rests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a rest that lasts until a job that is due after `delay` was in reach of every other worker's polls; it is for the
    /// orders of an account, or for a job of a host's own.
    pub(super) fn begin(&self, account: Option<AccountId>, delay: Duration, poll_interval: Duration) {
        let due = Instant::now() + delay.min(LEFT_MOST);
        let polls = poll_interval.saturating_mul(POLLS_OF_OTHERS).min(POLLS_MOST);
        // Of the two polls each may be a quarter late: by five eighths of their time one has come. What is left is for the
        // settlement that makes the job due.
        let (polled, until) = (due + polls * 3 / 8, due + polls);
        let mut rests = self.lock();
        rests.until = rests.until.max(Some(until));
        if let Some(account) = account {
            rests.last.insert(account, Last { polled, until, was_in_vain: false });
        }
    }

    /// Returns how long other workers' claims come first; none when they do not.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = self.lock().until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Says whether another rest for an account would be of no use: for `again` after one in which a job of it was due and nobody
    /// took it, longer where other accounts fare alike. The job that asks had been due for `waited` when it was claimed.
    pub(super) fn is_in_vain(&self, account: &AccountId, waited: Duration, again: Duration) -> bool {
        let now = Instant::now();
        let mut rests = self.lock();
        let pause = rests.pause(account, again, now);
        let Some(last) = rests.last.get_mut(account) else {
            return false;
        };
        if last.until > now || now.saturating_duration_since(last.until) >= pause {
            return false;
        }
        last.was_in_vain |= now.checked_sub(waited).is_none_or(|due| due <= last.polled);
        last.was_in_vain
    }
}
