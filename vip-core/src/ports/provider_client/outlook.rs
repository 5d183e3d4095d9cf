//! What a client knows of its account without asking: whether requests are held back, what the budget is, how long things take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Orders calls by who waits when the budget of an account is short; the first one waits last.
///
/// A caller may say it in [`RequestContext::priority`](super::RequestContext::priority); else the method decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Settles an effect of unknown outcome, or undoes one: a look by name or labels, a removal after a failure.
    Settle,
    /// Changes something: a create, a delete.
    Change,
    /// Asks how far something is.
    Poll,
    /// Reads for somebody who waits at a screen: for calls of a host's own, the product makes none.
    UserRead,
    /// Compares everything with the records.
    Sweep,
    /// Refreshes what can be ordered.
    Catalog,
    /// Asks whether a refusal still stands; takes what all others leave over, and waits for no turn.
    BestEffort,
}

impl Priority {
    /// All priorities, the most urgent first.
    pub const ALL: [Self; 7] =
        [Self::Settle, Self::Change, Self::Poll, Self::UserRead, Self::Sweep, Self::Catalog, Self::BestEffort];

    /// Returns the stable name, as logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Change => "change",
            Self::Poll => "poll",
            Self::UserRead => "user_read",
            Self::Sweep => "sweep",
            Self::Catalog => "catalog",
            Self::BestEffort => "best_effort",
        }
    }
}

/// Is what the last answer said of the account's request budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests an hour; one comes back every `3600 / limit` seconds.
    pub limit_per_hour: u32,
    /// Requests that are left now, for all processes that share the account.
    pub remaining: u32,
    /// Counts the answers that said so, so that one is not read twice.
    pub answers: u64,
}

/// Says until when requests are held back in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// When to ask again.
    pub retry_after: Duration,
    /// For how long requests have been held back already.
    pub since: Duration,
    /// Why, as a short code.
    pub code: &'static str,
}

/// Says how much of the request rate may be used after an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Percent of the rate at which requests come back.
    pub percent: u8,
    /// How long until all of it may be used again.
    pub full_after: Duration,
}

/// Is what a client knows without a request; each decorator adds its part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outlook {
    /// What the last answer said of the budget.
    pub rate: Option<RateLimit>,
    /// Whether all requests are held back.
    pub shut: Option<Shut>,
    /// Whether creates alone are held back.
    pub creates_shut: Option<Shut>,
    /// In which locations creates are held back, while they are not elsewhere.
    pub creates_shut_in: BTreeMap<String, Shut>,
    /// Whether creates have failed and are not all let in again, also while the next one may try.
    pub creates_doubted: bool,
    /// In which locations they have, while they have not elsewhere.
    pub creates_doubted_in: BTreeSet<String>,
    /// How much of the rate may be used, shortly after an outage.
    pub pace: Option<Pace>,
    /// How long a create usually takes until its server runs, by server type; now and then less, to see whether it still takes so long.
    pub usual_creates: Arc<BTreeMap<String, Duration>>,
}
