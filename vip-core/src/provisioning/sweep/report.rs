//! What a sweep found, what follows from it, and what it costs.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::ripen::Ripened;
use crate::model::{AccountId, Money, Price, ServerId, Sighting, SightingClass, SightingKey};
use crate::ports::{Catalog, ServerView};

/// Knows what servers cost: a kept catalog, which may be hours old.
#[async_trait]
pub trait Prices: fmt::Debug + Send + Sync + 'static {
    /// Returns the catalog of an account.
    ///
    /// # Errors
    ///
    /// Why there is none; a sweep goes on without prices and says so.
    async fn catalog(&self, account: &AccountId) -> Result<Arc<Catalog>, Box<dyn Error + Send + Sync>>;
}

/// Says what a sweep in repair mode leads to; in report mode what it would have led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consequence {
    /// Nothing yet: it has not been seen for long enough.
    NotYet,
    /// Converge looks at it by its id, or for it by its name, and removes nothing.
    Look,
    /// Converge looks at it by its id and removes it, if its labels still say that it is ours.
    Removal,
    /// As a removal, in a later sweep: this one removes as many as it may.
    LaterRemoval,
    /// Nothing by itself: an operator decides.
    Operator,
    /// Nothing: the account is suspect, and what it shows is not believed.
    Suspect,
}

impl Consequence {
    /// Returns the stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotYet => "not_yet",
            Self::Look => "look",
            Self::Removal => "removal",
            Self::LaterRemoval => "later_removal",
            Self::Operator => "operator",
            Self::Suspect => "suspect",
        }
    }
}

/// Is one disagreement, with what follows from it and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepFinding {
    /// What was found, or is missing.
    pub key: SightingKey,
    /// The record that it belongs to, if any.
    pub server: Option<ServerId>,
    /// How it disagrees.
    pub class: SightingClass,
    /// What follows.
    pub consequence: Consequence,
    /// Its type at the provider; none if it is missing.
    pub server_type: Option<String>,
    /// Its location at the provider; none if it is missing.
    pub location: Option<String>,
    /// What nobody ordered and is paid for each month; none if the price is not known, or if it costs nothing extra.
    pub monthly: Option<Price>,
}

impl SweepFinding {
    /// Says whether this server is paid for although no record wants it.
    #[must_use]
    pub const fn costs_extra(&self) -> bool {
        costs_extra(self.class, self.consequence)
    }
}

/// Is what an account costs each month beyond what is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExtraCost {
    /// Sum of the known gross prices; none if there is none, or if they are in several currencies.
    pub gross: Option<Money>,
    /// Servers in that sum.
    pub priced: usize,
    /// Servers whose price is not known: the sum is too low by these.
    pub unpriced: usize,
}

impl fmt::Display for ExtraCost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gross {
            Some(gross) => write!(formatter, "{gross} a month for {} servers", self.priced)?,
            None => write!(formatter, "no sum for {} servers", self.priced)?,
        }
        if self.unpriced > 0 {
            write!(formatter, ", and {} of unknown price", self.unpriced)?;
        }
        Ok(())
    }
}

/// Says what one sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SweepReport {
    /// Servers that the account shows with this installation's label.
    pub listed: usize,
    /// Servers that are recorded in it.
    pub recorded: usize,
    /// Everything in which the two disagree.
    pub sightings: Vec<Sighting>,
    /// The same, with what follows in repair mode and with what it costs.
    pub findings: Vec<SweepFinding>,
    /// Why prices are missing although there was something to price.
    pub unpriced_because: Option<String>,
    /// Servers that were woken because their time to move had passed.
    pub stalled: usize,
    /// Servers that were woken because of a ripe sighting.
    pub woken: usize,
    /// Why the account was not looked at, if it was not.
    pub skipped: Option<String>,
}

impl SweepReport {
    /// Adds up what is paid for although no record wants it; none if there is nothing of that kind.
    #[must_use]
    pub fn extra_cost(&self) -> Option<ExtraCost> {
        let extra: Vec<&SweepFinding> = self.findings.iter().filter(|finding| finding.costs_extra()).collect();
        if extra.is_empty() {
            return None;
        }
        let known: Vec<&Money> = extra.iter().filter_map(|found| found.monthly.as_ref()).map(|it| &it.gross).collect();
        let mut amounts = known.iter();
        let first = amounts.next().map(|amount| (*amount).clone());
        let gross = first.and_then(|first| amounts.try_fold(first, |sum, amount| sum.plus(amount)));
        Some(ExtraCost { gross, priced: known.len(), unpriced: extra.len() - known.len() })
    }

    /// Takes over what ripened, with prices if anything has one.
    pub(super) async fn describe(
        &mut self,
        account: &AccountId,
        ripened: Ripened,
        listed: &[ServerView],
        prices: Option<&Arc<dyn Prices>>,
    ) {
        let found = || ripened.sightings.iter().zip(&ripened.consequences);
        let is_priced = found().any(|(sighting, consequence)| costs_extra(sighting.class, *consequence));
        let catalog = match prices {
            Some(prices) if is_priced => match prices.catalog(account).await {
                Ok(catalog) => Some(catalog),
                Err(error) => {
                    tracing::warn!(account.id = %account, error = %crate::telemetry::causes(error.as_ref()), "prices are not known");
                    self.unpriced_because = Some(error.to_string());
                    None
                }
            },
            Some(_) => None,
            None => {
                self.unpriced_because = is_priced.then(|| "no price list was given".to_owned());
                None
            }
        };
        let described = found().map(|(sighting, consequence)| {
            let seen = listed.iter().find(|seen| seen.id == sighting.key.id);
            let price = seen
                .filter(|_| costs_extra(sighting.class, *consequence))
                .and_then(|seen| catalog.as_ref()?.price(&seen.server_type, &seen.location));
            SweepFinding {
                key: sighting.key.clone(),
                server: sighting.server,
                class: sighting.class,
                consequence: *consequence,
                server_type: seen.map(|seen| seen.server_type.clone()),
                location: seen.map(|seen| seen.location.clone()),
                monthly: price.map(|price| price.monthly.clone()),
            }
        });
        self.findings = described.collect();
        self.sightings = ripened.sightings;
    }
}

const fn costs_extra(class: SightingClass, consequence: Consequence) -> bool {
    match (class, consequence) {
        // A lost server that is there again, or one that its order knows nothing of, is one that its record wants.
        (SightingClass::Resurfaced, Consequence::Look) | (SightingClass::Missing | SightingClass::Drift, _) => false,
        (SightingClass::Surplus | SightingClass::Resurfaced | SightingClass::Unrecorded, _) => true,
    }
}
