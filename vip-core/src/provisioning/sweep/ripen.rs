//! Says which disagreements have lasted long enough for converge to look at them; pure.

use serde::{Deserialize, Serialize};

use super::classify::Finding;
use super::report::Consequence;
use crate::model::{ServerId, Sighting, SightingClass, Timestamp, Timing};
use crate::seeded_bugs::{SeededBug, is_on};

/// Says what the sweep may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SweepMode {
    /// Surplus and resurfaced servers are removed, a few per sweep.
    #[default]
    Repair,
    /// They are only reported.
    Report,
}

/// Is what a sweep writes down, and whom it wakes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ripened {
    /// All sightings of the account, in place of those before.
    pub sightings: Vec<Sighting>,
    /// What follows from each of them in repair mode, in their order.
    pub consequences: Vec<Consequence>,
    /// Records with a ripe sighting.
    pub wake: Vec<ServerId>,
}

/// Joins what was found with the sightings before; what was not found again is forgotten.
///
/// A sighting is ripe when two reads at least half a sweep interval apart saw the same class and the first was at least
/// the grace ago (S3). Surplus and resurfaced servers ripen a few at a time, oldest first (S5). With `suspect` nothing
/// ripens at all (S7).
#[must_use]
pub fn ripen(
    before: &[Sighting],
    findings: &[Finding],
    suspect: bool,
    mode: SweepMode,
    now: Timestamp,
    timing: &Timing,
) -> Ripened {
    let mut sightings: Vec<Sighting> = findings.iter().map(|found| joined(before, found, now)).collect();
    sightings.sort_by(|one, other| (one.first_seen, &one.key).cmp(&(other.first_seen, &other.key)));
    let mut removals = timing.removals_per_sweep;
    let mut wake = Vec::new();
    let mut consequences = Vec::with_capacity(sightings.len());
    for sighting in &mut sightings {
        let at_once = findings.iter().any(|found| found.key == sighting.key && found.at_once);
        let old_enough = sighting.count >= 2
            && sighting.last_seen.since(sighting.first_seen) >= timing.sweep_interval / 2
            && now.since(sighting.first_seen) >= timing.sweep_grace;
        let old_enough = old_enough || is_on(SeededBug::SweepOnFirstSighting);
        let consequence = match sighting.class {
            // No setting removes a server without a record; drift is for people to read.
            SightingClass::Unrecorded | SightingClass::Drift => Consequence::Operator,
            SightingClass::Missing | SightingClass::Surplus | SightingClass::Resurfaced if suspect => {
                Consequence::Suspect
            }
            SightingClass::Missing | SightingClass::Surplus | SightingClass::Resurfaced if !at_once && !old_enough => {
                Consequence::NotYet
            }
            SightingClass::Missing => Consequence::Look,
            SightingClass::Surplus | SightingClass::Resurfaced if at_once => Consequence::Look,
            SightingClass::Surplus | SightingClass::Resurfaced if removals == 0 => Consequence::LaterRemoval,
            SightingClass::Surplus | SightingClass::Resurfaced => {
                removals -= 1;
                Consequence::Removal
            }
        };
        sighting.ripe = match consequence {
            Consequence::Look => true,
            Consequence::Removal => mode == SweepMode::Repair,
            Consequence::NotYet | Consequence::LaterRemoval | Consequence::Operator | Consequence::Suspect => false,
        };
        consequences.push(consequence);
        if sighting.ripe {
            wake.extend(sighting.server);
        }
    }
    wake.sort_unstable();
    wake.dedup();
    Ripened { sightings, consequences, wake }
}

fn joined(before: &[Sighting], found: &Finding, now: Timestamp) -> Sighting {
    let earlier = before.iter().find(|sighting| sighting.key == found.key && sighting.class == found.class);
    // One that was seen first in the future was so before the clock was set back, and would not ripen until then.
    let earlier = earlier.filter(|sighting| sighting.first_seen <= now);
    Sighting {
        key: found.key.clone(),
        server: found.server,
        class: found.class,
        first_seen: earlier.map_or(now, |sighting| sighting.first_seen),
        last_seen: now,
        count: earlier.map_or(1, |sighting| sighting.count.saturating_add(1)),
        ripe: false,
    }
}
