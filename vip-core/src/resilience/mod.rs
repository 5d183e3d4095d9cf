//! Decorators around a provider: each is a `ProviderClient` around a `ProviderClient`, one file each, in this order:
//!
//! ```text
//!   who asks ─▶ Batched ─▶ Retrying ─▶ Budgeted ─▶ Guarded ─▶ the provider's client
//!               looks      deadline,   a turn, by  the        one request, sent once
//!               share      safe        priority    breaker
//!               requests   repeats     and rate
//! ```
//!
//! - `Batched` is outermost: what it saves never asks for a turn.
//! - `Retrying` stands before the turn: a repeat waits for one like any other request.
//! - `Budgeted` stands before the breaker, so that a wait for a turn is never taken for a slow provider. It first asks
//!   what is held back behind it, and a call that the breaker refuses all the same gives its token back.
//! - `Guarded` is next to the wire: it sees each request and its answer, and nothing else.
//!
//! [`Stack::new`] is the one place where they are put together.

mod batched;
pub mod breaker;
pub mod budget;
pub mod cached;
mod gather;
mod metered;
mod pages;
mod recent;
mod retry;
mod usual;

use std::sync::Arc;

pub use batched::Batched;
pub use breaker::{Breaker, BreakerMode, BreakerSettings, BreakerSettingsError, BreakerState, BreakerView, Guarded};
pub use budget::{Budget, BudgetSettings, BudgetSettingsError, BudgetView, Budgeted};
pub use metered::Metered;
pub use retry::{RetryPolicy, Retrying};

use crate::model::{AccountId, InstallationId, Timing};
use crate::ports::{ProviderClient, Randomness};

/// Holds the settings of everything that stands around a provider.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// When calls are held back because the provider fails.
    pub breaker: BreakerSettings,
    /// How many creates may be without an answer.
    pub budget: BudgetSettings,
    /// What is repeated at once.
    pub retry: RetryPolicy,
}

impl Settings {
    /// Returns settings in proportion to a product's timings.
    #[must_use]
    pub fn for_timing(timing: &Timing) -> Self {
        Self { breaker: BreakerSettings::for_timing(timing), ..Self::default() }
    }
}

/// Says which setting is out of its bounds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// One of the breaker's.
    #[error(transparent)]
    Breaker(#[from] BreakerSettingsError),
    /// One of the budget's.
    #[error(transparent)]
    Budget(#[from] BudgetSettingsError),
}

/// Is one account's client with everything around it, and the parts that somebody may want to look at.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The outermost client.
    pub client: Arc<dyn ProviderClient>,
    /// The breaker.
    pub breaker: Arc<Breaker>,
    /// The budget.
    pub budget: Arc<Budget>,
}

impl Stack {
    /// Puts everything around a client.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] if a setting is out of its bounds.
    pub fn new(
        account: AccountId,
        client: Arc<dyn ProviderClient>,
        installation: InstallationId,
        around: &Around<'_>,
    ) -> Result<Self, SettingsError> {
        let Around { settings, randomness, timing } = around;
        let client: Arc<dyn ProviderClient> = Arc::new(Metered::new(account.clone(), client));
        let breaker = Arc::new(Breaker::new(account, settings.breaker.clone(), (*randomness).clone())?);
        let budget = Arc::new(Budget::new(&settings.budget)?);
        let guarded = Arc::new(Guarded::new(client, breaker.clone(), installation));
        let budgeted = Arc::new(Budgeted::new(guarded, budget.clone()));
        let retrying = Arc::new(Retrying::new(budgeted, settings.retry.clone(), (*randomness).clone()));
        Ok(Self { client: Arc::new(Batched::new(retrying, installation, timing)), breaker, budget })
    }
}

/// Is what all accounts' stacks have in common.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The settings.
    pub settings: &'a Settings,
    /// The product's timings.
    pub timing: &'a Timing,
    /// Source of jitter.
    pub randomness: &'a Arc<dyn Randomness>,
}
