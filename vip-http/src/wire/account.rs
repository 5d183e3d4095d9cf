//! Accounts at a provider, as an operator sees them: gates, breakers, budgets, sightings, sweeps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vip_core::model::{Account, Actor, Gate, Sighting};
use vip_core::provisioning::sweep::{SweepFinding, SweepMode, SweepReport};
use vip_core::resilience::{BreakerMode, BreakerState, BreakerView, BudgetView};

/// Is an account that this process has a client of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountBody {
    /// Its name.
    id: String,
    /// Its tokens and whether they may be used.
    gates: Vec<GateBody>,
    /// Servers that were missing when it last became suspect: who vouches for a token says that this is known.
    missing: u64,
    /// This process's breaker.
    breaker: BreakerBody,
    /// Requests an hour, once the provider has said so.
    limit_per_hour: Option<u32>,
    /// About how many requests are left now.
    requests_left: Option<u32>,
    /// Calls that wait for their turn.
    waiting: usize,
}

/// Is one token of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GateBody {
    /// Identifies the token without revealing it.
    token_digest: String,
    /// `open`, `blocked` or `suspect`.
    gate: &'static str,
    /// What made it suspect.
    why: Option<String>,
    /// Who vouched for it last.
    vouched_by: Option<String>,
    /// When that was.
    #[schema(format = DateTime)]
    vouched_at: Option<String>,
}

/// Is a breaker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BreakerBody {
    // How it was told to behave.
    // No doc comment here: with one, utoipa describes the field as an object.
    #[schema(inline)]
    mode: BreakerModeBody,
    /// Where it stands: `closed`, `easing`, `open` or `probing`.
    state: &'static str,
    /// Calls in the window.
    calls: u64,
    /// Those that failed by an outage.
    failed: u64,
    /// Those that were slow.
    slow: u64,
}

/// Says how a breaker shall behave.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerModeBody {
    /// It decides by what it sees.
    Automatic,
    /// Nothing is let through.
    ForcedOpen,
    /// Everything is let through.
    ForcedClosed,
    /// It decides and says so in the log, and everything is let through.
    ObserveOnly,
}

/// Tells a breaker how to behave, until it is told otherwise or the process ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetBreakerBody {
    // The mode.
    // No doc comment here: with one, utoipa describes the field as an object.
    #[schema(inline)]
    pub(crate) mode: BreakerModeBody,
}

impl From<BreakerModeBody> for BreakerMode {
    fn from(mode: BreakerModeBody) -> Self {
        match mode {
            BreakerModeBody::Automatic => Self::Automatic,
            BreakerModeBody::ForcedOpen => Self::ForcedOpen,
            BreakerModeBody::ForcedClosed => Self::ForcedClosed,
            BreakerModeBody::ObserveOnly => Self::ObserveOnly,
        }
    }
}

impl From<BreakerView> for BreakerBody {
    fn from(view: BreakerView) -> Self {
        Self {
            mode: match view.mode {
                BreakerMode::Automatic => BreakerModeBody::Automatic,
                BreakerMode::ForcedOpen => BreakerModeBody::ForcedOpen,
                BreakerMode::ForcedClosed => BreakerModeBody::ForcedClosed,
                BreakerMode::ObserveOnly => BreakerModeBody::ObserveOnly,
            },
            state: match view.state {
                BreakerState::Closed => "closed",
                BreakerState::Easing { .. } => "easing",
                BreakerState::Open { .. } => "open",
                BreakerState::Probing { .. } => "probing",
            },
            calls: view.calls,
            failed: view.failed,
            slow: view.slow,
        }
    }
}

impl AccountBody {
    /// Puts together what is known of an account.
    pub(crate) fn new(account: Account, breaker: BreakerView, budget: &BudgetView) -> Self {
        let gates = account.gates.into_iter().map(|entry| {
            let token_digest = entry.digest.to_string();
            let (gate, why) = match entry.gate {
                Gate::Open => ("open", None),
                Gate::Blocked { .. } => ("blocked", None),
                Gate::Suspect { why } => ("suspect", Some(why)),
                _ => ("unknown", None),
            };
            let (vouched_by, vouched_at) = match entry.vouched {
                Some(vouched) => (name_of(vouched.by), Some(vouched.at.to_string())),
                None => (None, None),
            };
            GateBody { token_digest, gate, why, vouched_by, vouched_at }
        });
        Self {
            id: account.id.into(),
            gates: gates.collect(),
            missing: account.missing_seen,
            breaker: breaker.into(),
            limit_per_hour: budget.limit_per_hour,
            requests_left: budget.left,
            waiting: budget.waiting,
        }
    }
}

/// Lists accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountsBody {
    /// All of them: there are as many as the host has configured.
    pub(crate) items: Vec<AccountBody>,
}

/// Is a disagreement that the last sweep saw.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SightingBody {
    /// The provider's id.
    provider_id: String,
    /// The record that its label names, if any.
    #[schema(format = Uuid)]
    server_id: Option<String>,
    /// How it disagrees: `missing`, `resurfaced`, `surplus`, `unrecorded` or `drift`.
    class: &'static str,
    /// First sighting in an unbroken row.
    #[schema(format = DateTime)]
    first_seen: String,
    /// Last sighting.
    #[schema(format = DateTime)]
    last_seen: String,
    /// How often it was sighted in a row.
    count: u32,
    /// Whether converge may act on it.
    ripe: bool,
}

impl From<Sighting> for SightingBody {
    fn from(sighting: Sighting) -> Self {
        Self {
            provider_id: sighting.key.id.into(),
            server_id: sighting.server.map(|id| id.to_string()),
            class: sighting.class.as_str(),
            first_seen: sighting.first_seen.to_string(),
            last_seen: sighting.last_seen.to_string(),
            count: sighting.count,
            ripe: sighting.ripe,
        }
    }
}

/// Lists sightings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SightingsBody {
    /// All of them, as of the last sweep.
    pub(crate) items: Vec<SightingBody>,
}

/// Vouches for a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmBody {
    /// `missing` of the account as it was shown: that many servers may be given up as lost.
    pub(crate) missing: u64,
}

/// Returns the name that the host gave; workers vouch for nothing.
fn name_of(actor: Actor) -> Option<String> {
    match actor {
        Actor::Operator { name } | Actor::Principal { name } => Some(name),
        Actor::Worker { .. } | _ => None,
    }
}

/// Asks for a sweep now.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SweepBody {
    /// What it may lead to; only a report if nothing is said.
    pub(crate) mode: Option<SweepModeBody>,
}

/// Says what a sweep may lead to.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SweepModeBody {
    /// Nothing is removed: it is said what would be.
    #[default]
    Report,
    /// Servers that are ours and too many are removed, a few in each sweep.
    Repair,
}

impl From<SweepModeBody> for SweepMode {
    fn from(mode: SweepModeBody) -> Self {
        match mode {
            SweepModeBody::Report => Self::Report,
            SweepModeBody::Repair => Self::Repair,
        }
    }
}

/// Says what a sweep saw.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SweepReportBody {
    /// Servers that the account shows with this installation's label.
    listed: usize,
    /// Servers that are recorded in it.
    recorded: usize,
    /// Everything in which the two disagree.
    findings: Vec<FindingBody>,
    /// What is paid each month for servers that no record wants, in words.
    extra_cost: Option<String>,
    /// Why prices are missing although there was something to price.
    unpriced_because: Option<String>,
    /// Servers that were woken because their time to move had passed.
    stalled: usize,
    /// Servers that were woken because of a ripe sighting.
    woken: usize,
    /// Why the account was not looked at, if it was not.
    skipped: Option<String>,
}

/// Is one disagreement and what follows from it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingBody {
    /// The provider's id.
    provider_id: String,
    /// The record that it belongs to, if any.
    #[schema(format = Uuid)]
    server_id: Option<String>,
    /// How it disagrees.
    class: &'static str,
    /// What follows: `not_yet`, `look`, `removal`, `later_removal`, `operator` or `suspect`.
    consequence: &'static str,
    /// What nobody ordered and is paid for each month, in words.
    monthly: Option<String>,
}

impl From<&SweepFinding> for FindingBody {
    fn from(finding: &SweepFinding) -> Self {
        Self {
            provider_id: finding.key.id.to_string(),
            server_id: finding.server.map(|id| id.to_string()),
            class: finding.class.as_str(),
            consequence: finding.consequence.as_str(),
            monthly: finding.monthly.as_ref().map(|price| price.gross.to_string()),
        }
    }
}

impl From<SweepReport> for SweepReportBody {
    fn from(report: SweepReport) -> Self {
        Self {
            extra_cost: report.extra_cost().map(|cost| cost.to_string()),
            findings: report.findings.iter().map(FindingBody::from).collect(),
            listed: report.listed,
            recorded: report.recorded,
            unpriced_because: report.unpriced_because,
            stalled: report.stalled,
            woken: report.woken,
            skipped: report.skipped,
        }
    }
}
