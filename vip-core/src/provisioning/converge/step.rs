//! What converge may do next, what it may look at to decide, and what a decision changes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::outlook;
use crate::model::{
    AccountId, Effect, InstallationId, OutcomeClass, ProviderActionId, ProviderServerId, Server, ServerState, Sighting,
    SightingKey, Timestamp, Timing, Verb, WaitReason,
};
use crate::ports::{OperationChange, ProviderError, ProviderErrorKind, QuotaChange};

/// Share of the usual time of a create after which the first look is worth its request.
const FIRST_LOOK_SHARE: f64 = 0.95;

/// Is what converge does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Announce this effect, then call the provider.
    Call {
        /// What to call.
        effect: Effect,
        /// In which account.
        account: AccountId,
    },
    /// Ask the provider.
    Look(Look),
    /// Record a change that needs no answer.
    Move(Box<Change>),
    /// Wait.
    Wait {
        /// Until when, by the store's clock.
        until: Timestamp,
        /// Why.
        reason: WaitReason,
    },
    /// Nothing is left to do.
    Settled,
}

/// Is a question to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Is there a server with our name, or with our labels?
    Name {
        /// In which account.
        account: AccountId,
    },
    /// How is the server with this id?
    Id {
        /// In which account.
        account: AccountId,
        /// Which one.
        id: ProviderServerId,
        /// What the answer is for.
        why: LookFor,
    },
    /// How far are these actions?
    Actions {
        /// In which account.
        account: AccountId,
        /// Which ones.
        ids: Vec<ProviderActionId>,
    },
}

impl Look {
    /// Returns the account that is asked.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        match self {
            Self::Name { account } | Self::Id { account, .. } | Self::Actions { account, .. } => account,
        }
    }
}

/// Says what a look by id is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookFor {
    /// Whether the new server runs.
    Confirm,
    /// Whether the new server itself says that it does not run, now that its time is over: no list is asked instead.
    Timeout,
    /// Whether the removed server is gone.
    Removal,
    /// Whether a second server is really ours.
    Surplus,
    /// Whether a server of a final or lost record is really there.
    Resurfaced,
    /// Whether a server is really missing.
    Missing,
}

/// Says whether requests may be made in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateView {
    /// Yes.
    Open,
    /// Not before this time, by the store's clock.
    Closed {
        /// When to ask again.
        until: Timestamp,
    },
    /// Yes, but this process holds them back: the provider was failing.
    Resting {
        /// When to ask again, by the store's clock.
        until: Timestamp,
    },
    /// Yes, but this process holds creates back: the provider has only just recovered.
    Easing {
        /// When a create may be tried, by the store's clock.
        until: Timestamp,
    },
}

/// Is all that a decision may look at.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The record.
    pub server: &'a Server,
    /// Sightings of its servers at the provider.
    pub sightings: &'a [Sighting],
    /// Gates of the accounts; an account that is not there is closed.
    pub gates: &'a BTreeMap<AccountId, GateView>,
    /// The time, by the store's clock.
    pub now: Timestamp,
    /// Durations and bounds.
    pub timing: &'a Timing,
    /// This installation.
    pub installation: InstallationId,
    /// A random share from 0 up to 1, for jitter.
    pub jitter: f64,
    /// How long a create of this kind usually takes, once this process has seen some.
    pub usual_create: Option<Duration>,
}

impl View<'_> {
    /// Returns the state that decides: of a parked record the one where it goes on.
    #[must_use]
    pub fn state(&self) -> ServerState {
        match (self.server.state, self.server.parked_from) {
            (ServerState::Parked, Some(from)) => from,
            (state, _) => state,
        }
    }

    /// Returns a delay that doubles from `first` to `most` with the record's back-off, jittered over its upper half.
    #[must_use]
    pub fn backoff(&self, first: Duration, most: Duration) -> Duration {
        let doubled = first.saturating_mul(1_u32.checked_shl(self.server.backoff.min(20)).unwrap_or(u32::MAX));
        self.jittered(doubled.min(most))
    }

    /// Returns the first time after a delay that all looks have in common: looks at one time share a request.
    #[must_use]
    pub fn at_a_common_time(&self, delay: Duration) -> Timestamp {
        let grid = i64::try_from(self.timing.look_again.as_micros()).unwrap_or(i64::MAX).max(1);
        let at = self.now.plus(delay).as_micros();
        Timestamp::from_micros(at.saturating_add(grid - 1).div_euclid(grid).saturating_mul(grid))
    }

    /// Returns the wait after a failure: until the time that was named for it, a little spread, or else a back-off.
    #[must_use]
    pub fn retry_delay(&self, failure: &Failure) -> Duration {
        match failure.retry_after {
            Some(known) => outlook::spread(known, self.jitter),
            None => self.backoff(self.timing.backoff_first, self.timing.backoff_most),
        }
    }

    /// Returns the wait between a create and the first look at it: short of the usual time, so that a shorter one is
    /// noticed, or as set while nothing is known.
    #[must_use]
    pub fn first_look(&self) -> Duration {
        self.usual_create.map_or(self.timing.look_first, |usual| usual.mul_f64(FIRST_LOOK_SHARE))
    }

    /// Returns between half and all of a delay.
    #[must_use]
    pub fn jittered(&self, delay: Duration) -> Duration {
        delay.mul_f64(0.5 + 0.5 * self.jitter.clamp(0.0, 1.0))
    }
}

/// Says that the provider refused a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Account whose token it is.
    pub account: AccountId,
    /// Whether it may read: probing would succeed, so its gate stays closed until the token is exchanged.
    pub may_read: bool,
}

impl Refusal {
    /// Reads a refusal out of a failure; none if the failure is another one.
    #[must_use]
    pub fn of(account: &AccountId, failure: &Failure) -> Option<Self> {
        let may_read = failure.kind == ProviderErrorKind::ReadOnly;
        let refused = may_read || failure.kind == ProviderErrorKind::Unauthorized;
        refused.then(|| Self { account: account.clone(), may_read })
    }
}

/// Is what a decision changes; the loop makes a change set of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Change {
    /// The record as it shall be.
    pub server: Server,
    /// What was done.
    pub verb: Verb,
    /// Effect or look, as a stable name.
    pub effect: Option<&'static str>,
    /// How it ended.
    pub outcome: OutcomeClass,
    /// The provider's or our code for it.
    pub code: Option<String>,
    /// The provider's id of its own request.
    pub correlation_id: Option<String>,
    /// Operations that move.
    pub operations: Vec<OperationChange>,
    /// Quota that is released.
    pub quota: Option<QuotaChange>,
    /// A sighting that is dealt with.
    pub sighting_done: Option<SightingKey>,
    /// The account whose gate closes, because the provider refused the token.
    pub refused_by: Option<Refusal>,
    /// Whether only work fields changed: the next note writes them, no version is made.
    pub only_work: bool,
    /// Whether the provider did not understand us: burns an attempt.
    pub bug: bool,
}

impl Change {
    /// Starts a change of a record.
    pub const fn new(server: Server, verb: Verb) -> Self {
        Self {
            server,
            verb,
            effect: None,
            outcome: OutcomeClass::None,
            code: None,
            correlation_id: None,
            operations: Vec::new(),
            quota: None,
            sighting_done: None,
            refused_by: None,
            only_work: false,
            bug: false,
        }
    }

    /// Sets what was called and how it ended.
    pub const fn of(mut self, effect: &'static str, outcome: OutcomeClass) -> Self {
        self.effect = Some(effect);
        self.outcome = outcome;
        self
    }
}

/// Is why the provider did not do what was asked, as far as a decision is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What may have happened.
    pub kind: ProviderErrorKind,
    /// The provider's code.
    pub code: String,
    /// The provider's id of its own request.
    pub correlation_id: Option<String>,
    /// When to try again, if that is known.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Is the outcome of a request whose answer nobody saw.
    #[must_use]
    pub fn unanswered() -> Self {
        Self {
            kind: ProviderErrorKind::Unknown,
            code: "unanswered".to_owned(),
            correlation_id: None,
            retry_after: None,
        }
    }

    /// Returns why an order waits that goes on by itself after this, whatever it tried: it has no turn, or the provider fails.
    #[must_use]
    pub fn waits_for(&self) -> WaitReason {
        let no_turn =
            [ProviderError::NO_TURN, ProviderError::EASING, ProviderError::CROWDED, ProviderError::CREATES_UNANSWERED];
        if self.kind == ProviderErrorKind::NotSent && no_turn.contains(&self.code.as_str()) {
            WaitReason::Throttled
        } else {
            WaitReason::ProviderUnavailable
        }
    }

    /// Returns the class for the audit.
    #[must_use]
    pub const fn class(&self) -> OutcomeClass {
        match self.kind {
            ProviderErrorKind::NotSent => OutcomeClass::NotSent,
            ProviderErrorKind::Throttled { .. } => OutcomeClass::Throttled,
            ProviderErrorKind::Busy => OutcomeClass::Busy,
            ProviderErrorKind::Exhausted => OutcomeClass::Exhausted,
            ProviderErrorKind::AlreadyExists | ProviderErrorKind::Unknown => OutcomeClass::Unknown,
            ProviderErrorKind::InvalidInput
            | ProviderErrorKind::Placement
            | ProviderErrorKind::Protected
            | ProviderErrorKind::AccountLimit
            | ProviderErrorKind::Unauthorized
            | ProviderErrorKind::ReadOnly
            | ProviderErrorKind::Bug => OutcomeClass::Rejected,
        }
    }
}

impl From<&ProviderError> for Failure {
    fn from(error: &ProviderError) -> Self {
        Self {
            kind: error.kind,
            code: error.code.clone(),
            correlation_id: error.correlation_id.clone(),
            retry_after: error.retry_after,
        }
    }
}
