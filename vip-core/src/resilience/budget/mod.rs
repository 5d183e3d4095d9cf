//! Budget: lets requests go in the order of their priority, at the rate that the provider gives, and no faster after an outage.
//!
//! The provider's own headers are the state: every process that shares the account reads the same ones. A request of low
//! priority leaves a share of the limit free, so what settles an open question never waits for a refresh of the catalog.
//! Whoever cannot have a turn within its deadline is told when to come back, and holds nothing meanwhile.

mod client;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub use client::Budgeted;

use self::state::{Ledger, Place, Sent, Turn, Want};
use crate::ports::{Pace, Priority, ProviderError, RateLimit};

/// Longest wait for a turn: a worker has more to do than to wait.
const WAIT_MOST: Duration = Duration::from_secs(15);
/// Most calls that wait for a turn.
const WAITING_MOST: usize = 1000;

/// Holds the numbers of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// Creates of one account that have no answer yet, in this process. Default 10, at least 1; a further one waits.
    pub creates_unanswered: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { creates_unanswered: 10 }
    }
}

/// Says that no create could ever be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("budget: creates_unanswered ≥ 1 does not hold; else no server is ever created")]
pub struct BudgetSettingsError;

/// Is the budget of one account in this process.
#[derive(Debug)]
pub struct Budget {
    origin: Instant,
    ledger: Mutex<Ledger>,
    changed: Notify,
    /// Places for creates: those who wait for one stand in nobody's way.
    creates: Arc<Semaphore>,
    creates_most: u32,
}

/// Shows a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetView {
    /// Requests an hour, once the provider has said so.
    pub limit_per_hour: Option<u32>,
    /// About how many are left now.
    pub left: Option<u32>,
    /// Calls that wait for their turn.
    pub waiting: usize,
    /// Creates that have no answer yet.
    pub creates_unanswered: u32,
}

impl Budget {
    /// Makes a budget of which nothing is known yet.
    ///
    /// # Errors
    ///
    /// [`BudgetSettingsError`] if no create could ever be sent.
    pub fn new(settings: &BudgetSettings) -> Result<Self, BudgetSettingsError> {
        if settings.creates_unanswered == 0 {
            return Err(BudgetSettingsError);
        }
        let creates_most = settings.creates_unanswered;
        let places = usize::try_from(creates_most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            origin: Instant::now(),
            ledger: Mutex::new(Ledger::new()),
            changed: Notify::new(),
            creates: Arc::new(Semaphore::new(places)),
            creates_most,
        })
    }

    /// Shows it.
    #[must_use]
    pub fn view(&self) -> BudgetView {
        let ledger = self.ledger();
        let known = ledger.left(self.origin.elapsed());
        let free = u32::try_from(self.creates.available_permits()).unwrap_or(u32::MAX);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the limit")]
        let left = known.map(|(_, left)| left.max(0.0) as u32);
        BudgetView {
            limit_per_hour: known.map(|(limit, _)| limit),
            left,
            waiting: ledger.waiting(),
            creates_unanswered: self.creates_most.saturating_sub(free),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, at most for half of the time that there is; the other half is for the request. What is only tried
    /// ([`Priority::BestEffort`]) has its turn at once or not at all.
    ///
    /// # Errors
    ///
    /// An error that says "not sent" and when to come back.
    ///
    /// # Cancel safety
    ///
    /// Whoever is dropped leaves the queue.
    async fn turn(
        self: &Arc<Self>,
        want: Want,
        deadline: Duration,
        pace: impl Fn() -> Option<Pace>,
    ) -> Result<Turned, ProviderError> {
        let began = self.origin.elapsed();
        // While it waited, a try in vain would keep the place of a create that is wanted.
        let most = if want.priority == Priority::BestEffort { Duration::ZERO } else { (deadline / 2).min(WAIT_MOST) };
        let latest = began.saturating_add(most);
        if self.ledger().waiting() >= WAITING_MOST {
            let away = self.ledger().send_away(began, want.priority, began, pace());
            return Err(ProviderError::held_back(ProviderError::CROWDED, away));
        }
        let place = if want.is_create {
            Some(self.place_for_create(want.priority, began, latest, pace()).await?)
        } else {
            None
        };
        let queued = Queued { budget: self, place: self.ledger().queue(want.priority) };
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let (now, pace) = (self.origin.elapsed(), pace());
            let turn = self.ledger().turn(now, queued.place, want, pace);
            let until = match turn {
                Turn::Go => {
                    drop(queued);
                    return Ok(Turned { budget: self.clone(), want, open: true, _place: place });
                }
                Turn::Wait(until) => until,
            };
            if until > latest {
                let code = self.ledger().why_no_turn(pace);
                let away = self.ledger().send_away(now, want.priority, until, pace);
                return Err(ProviderError::held_back(code, away));
            }
            let wait = until.saturating_sub(now).max(Duration::from_millis(1));
            // Both ends mean: look again.
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

impl Budget {
    async fn place_for_create(
        &self,
        priority: Priority,
        began: Duration,
        latest: Duration,
        pace: Option<Pace>,
    ) -> Result<OwnedSemaphorePermit, ProviderError> {
        let waited = tokio::time::timeout(latest.saturating_sub(began), self.creates.clone().acquire_owned());
        match waited.await {
            Ok(Ok(place)) => Ok(place),
            // It is never closed; whoever waited in vain comes back.
            Ok(Err(_)) | Err(_) => {
                let now = self.origin.elapsed();
                let away = self.ledger().send_away(now, priority, now, pace);
                Err(ProviderError::held_back(ProviderError::CREATES_UNANSWERED, away))
            }
        }
    }
}

/// Is a place in the queue; it is left when this goes away.
#[derive(Debug)]
struct Queued<'a> {
    budget: &'a Budget,
    place: Place,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.budget.ledger().leave(self.place);
        self.budget.changed.notify_waiters();
    }
}

/// Is a call that had its turn.
#[derive(Debug)]
struct Turned {
    budget: Arc<Budget>,
    want: Want,
    open: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Turned {
    /// Says how the call ended.
    fn ended(mut self, sent: Sent, rate: Option<RateLimit>) {
        self.open = false;
        self.end(sent, rate);
    }

    fn end(&self, sent: Sent, rate: Option<RateLimit>) {
        self.budget.ledger().ended(self.budget.origin.elapsed(), self.want, sent, rate);
        self.budget.changed.notify_waiters();
    }
}

impl Drop for Turned {
    fn drop(&mut self) {
        if self.open {
            // Its caller went away: it may have been sent.
            self.end(Sent::Unanswered, None);
        }
    }
}

/// Is a turn that waits for its effect to be announced; it is given back if that never happens.
#[derive(Debug)]
struct SetAside(Option<Turned>);

impl SetAside {
    const fn new(turned: Turned) -> Self {
        Self(Some(turned))
    }

    /// Says whether it is for an effect of this kind behind this budget.
    fn is_for(&self, budget: &Arc<Budget>, want: Want) -> bool {
        let turned = self.0.as_ref();
        turned.is_some_and(|it| Arc::ptr_eq(&it.budget, budget) && it.want.is_create == want.is_create)
    }

    fn into_turned(mut self) -> Option<Turned> {
        self.0.take()
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        if let Some(turned) = self.0.take() {
            // Nothing was announced, so nothing was sent.
            turned.ended(Sent::No, None);
        }
    }
}

#[cfg(test)]
mod tests;
