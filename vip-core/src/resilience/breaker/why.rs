//! Why a circuit opened, and why a call was not let through.

use super::state::Scope;

/// Says why a circuit opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Too many calls failed in a row.
    InARow,
    /// Too large a share of calls failed.
    FailedShare,
    /// Too large a share of calls was slow.
    SlowShare,
    /// The first call after an outage failed.
    FirstAfterOutage,
    /// The probe failed.
    ProbeFailed,
}

impl Cause {
    /// Returns the stable name, as logged.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InARow => "failures_in_a_row",
            Self::FailedShare => "share_of_failures",
            Self::SlowShare => "share_of_slow_calls",
            Self::FirstAfterOutage => "first_after_outage",
            Self::ProbeFailed => "probe_failed",
        }
    }
}

/// Says why a call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The circuit is open.
    Open(Scope, Cause),
    /// Another call probes.
    Probing(Scope),
    /// As many creates as may be are on their way, shortly after an outage.
    Ramp,
    /// An operator holds it open.
    Forced,
}

impl Why {
    /// Returns the stable code, as recorded with whatever waits for it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Open(Scope::All, _) => "breaker_open",
            Self::Open(Scope::Creates, _) => "breaker_open_for_creates",
            Self::Probing(_) => "breaker_probing",
            Self::Ramp => "breaker_easing",
            Self::Forced => "breaker_forced_open",
        }
    }
}
