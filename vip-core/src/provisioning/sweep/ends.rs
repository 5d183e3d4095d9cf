//! How the sweeps that this process makes end: when one last came to its end, and since when they fail.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{AccountId, Timing};
use crate::worker::Attempt;

/// Intervals between sweeps for which they have to fail before it is told.
const INTERVALS: u32 = 3;
/// Shortest time for which they have to fail before it is told: what is over sooner has kept no disagreement from being ripe.
const LEAST: Duration = Duration::from_secs(30 * 60);

/// Remembers, for each account, how the sweeps of this process ended. Other processes sweep the same accounts; of them it
/// knows nothing.
#[derive(Debug)]
pub(crate) struct SweepEnds {
    patience: Duration,
    accounts: Mutex<BTreeMap<AccountId, Ends>>,
}

#[derive(Debug, Default)]
struct Ends {
    complete: Option<Instant>,
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    code: String,
}

/// Is a sweep that a job makes. Dropped before it has ended it was cut, by the deadline of its attempt or by a panic, and has failed.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    ends: &'a SweepEnds,
    account: &'a AccountId,
    attempt: &'a Attempt,
    began: Instant,
    has_ended: bool,
}

impl UnderWay<'_> {
    /// Ends it; how it ended is noted by the caller.
    pub(super) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // What the shutdown of this process cuts tells nothing of the account.
        if !self.has_ended && !self.attempt.is_cancelled() {
            self.ends.failed_since(self.account, "cut", self.began);
        }
    }
}

/// Says for how long the sweeps of an account have failed, and why the last one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SweepFault {
    pub(crate) lasts: Duration,
    pub(crate) code: String,
}

impl SweepEnds {
    /// Knows of no sweep yet.
    pub(crate) fn new(timing: &Timing) -> Self {
        let patience = timing.sweep_interval.saturating_mul(INTERVALS).max(LEAST);
        Self { patience, accounts: Mutex::default() }
    }

    /// Begins a sweep.
    pub(super) fn begin<'a>(&'a self, account: &'a AccountId, attempt: &'a Attempt) -> UnderWay<'a> {
        UnderWay { ends: self, account, attempt, began: Instant::now(), has_ended: false }
    }

    /// Notes that a sweep came to its end.
    pub(super) fn complete(&self, account: &AccountId) {
        let ends = Ends { complete: Some(Instant::now()), failing: None };
        self.lock().insert(account.clone(), ends);
    }

    /// Notes that a sweep failed.
    pub(super) fn failed(&self, account: &AccountId, code: &str) {
        self.failed_since(account, code, Instant::now());
    }

    /// Notes that a sweep failed, and that nothing was swept since a time: while a job was under way nobody else had it.
    fn failed_since(&self, account: &AccountId, code: &str, since: Instant) {
        let mut accounts = self.lock();
        let ends = accounts.entry(account.clone()).or_default();
        // Between failures that are far apart others have swept.
        let is_near = |failing: &Failing| since.saturating_duration_since(failing.last) <= self.patience;
        let before = ends.failing.take().filter(is_near);
        let since = before.map_or(since, |failing| failing.since);
        ends.failing = Some(Failing { since, last: Instant::now(), code: code.to_owned() });
    }

    /// Returns how long ago a sweep of an account came to its end here; if none has, since when they fail.
    pub(crate) fn age(&self, account: &AccountId) -> Option<Duration> {
        let accounts = self.lock();
        let ends = accounts.get(account)?;
        let begin = ends.complete.or_else(|| ends.failing.as_ref().map(|failing| failing.since));
        begin.map(|begin| begin.elapsed())
    }

    /// Returns what somebody should know of an account whose sweeps fail here, for long and until now.
    pub(crate) fn fault(&self, account: &AccountId) -> Option<SweepFault> {
        let accounts = self.lock();
        let failing = accounts.get(account)?.failing.as_ref()?;
        let lasts = failing.since.elapsed();
        let is_told = lasts >= self.patience && failing.last.elapsed() <= self.patience;
        is_told.then(|| SweepFault { lasts, code: failing.code.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Ends>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn account() -> AccountId {
        AccountId::default_account()
    }

    fn ends(interval: Duration) -> SweepEnds {
        SweepEnds::new(&Timing { sweep_interval: interval, ..Timing::default() })
    }

    async fn pass(time: Duration) {
        tokio::time::advance(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_told_after_three_intervals_and_half_an_hour() {
        for (interval, patience) in [(1, 1800), (300, 1800), (600, 1800), (3600, 3 * 3600)] {
            let (ends, patience) = (ends(Duration::from_secs(interval)), Duration::from_secs(patience));
            ends.failed(&account(), "first");
            pass(patience - MOMENT).await;
            ends.failed(&account(), "second");
            assert_eq!(ends.fault(&account()), None, "{interval}");
            pass(MOMENT).await;
            let fault = SweepFault { lasts: patience, code: "second".to_owned() };
            assert_eq!(ends.fault(&account()), Some(fault), "{interval}");
            ends.complete(&account());
            assert_eq!(ends.fault(&account()), None, "{interval}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_long_ago_say_nothing_of_what_others_have_swept_since() {
        let (ends, patience) = (ends(Duration::from_secs(300)), LEAST);
        ends.failed(&account(), "first");
        pass(patience).await;
        ends.failed(&account(), "second");
        pass(patience).await;
        assert!(ends.fault(&account()).is_some());
        pass(MOMENT).await;
        assert_eq!(ends.fault(&account()), None, "nothing has failed here for long");
        ends.failed(&account(), "third");
        assert_eq!(ends.fault(&account()), None, "it begins anew");
        pass(patience).await;
        assert_eq!(ends.fault(&account()).map(|fault| fault.lasts), Some(patience));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_that_was_cut_has_failed_since_it_began_however_long_that_is_ago() {
        let (ends, long) = (ends(Duration::from_secs(300)), 2 * LEAST);
        for round in 1..=3_u32 {
            let began = Instant::now();
            pass(long).await;
            ends.failed_since(&account(), "cut", began);
            assert_eq!(ends.fault(&account()).map(|fault| fault.lasts), Some(long * round));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_is_that_of_the_last_sweep_that_came_to_its_end_or_else_of_the_first_that_failed() {
        let ends = ends(Duration::from_secs(300));
        assert_eq!(ends.age(&account()), None);
        ends.failed(&account(), "first");
        pass(MOMENT).await;
        ends.failed(&account(), "first");
        assert_eq!(ends.age(&account()), Some(MOMENT));
        ends.complete(&account());
        pass(LEAST).await;
        ends.failed(&account(), "second");
        pass(MOMENT).await;
        assert_eq!(ends.age(&account()), Some(LEAST + MOMENT));
        assert_eq!(ends.age(&AccountId::new("another").unwrap()), None);
    }
}
