//! Tenants whose audit chain cannot be gone on with: each is told once and left alone for a while, and holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vip_core::model::Timestamp;
use vip_core::ports::SealReport;
use vip_core::telemetry;

/// How long a chain that was found broken is left alone: the sealer comes twice a second, and would read it while it holds the lock.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Says what a round of sealing did, and to whom; tenants are named as they are stored.
#[derive(Debug)]
pub(crate) struct Sealed<F> {
    pub(crate) report: SealReport,
    /// Those whose records got their places.
    pub(crate) sound: BTreeSet<String>,
    /// Those whose chain cannot be gone on with: their records wait until somebody has repaired it.
    pub(crate) broken: BTreeMap<String, F>,
}

/// Not derived: a failure has no default, and none is needed.
impl<F> Default for Sealed<F> {
    fn default() -> Self {
        Self { report: SealReport::default(), sound: BTreeSet::new(), broken: BTreeMap::new() }
    }
}

/// Remembers whose chain is broken: each is told once, and looked at again after a while.
#[derive(Debug, Default)]
pub(crate) struct BrokenChains(Mutex<BTreeMap<String, Timestamp>>);

impl BrokenChains {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns those that are left alone now, as they are stored.
    pub(crate) fn left_alone(&self, now: Timestamp) -> BTreeSet<String> {
        // One that was found in the future was found before the clock was set back.
        let is_left = |found: Timestamp| found <= now && now.since(found) < LEFT_ALONE;
        self.lock().iter().filter(|(_, found)| is_left(**found)).map(|(tenant, _)| tenant.clone()).collect()
    }

    /// Tells an operator which chains a round has found broken, each once until its records are sealed again.
    pub(crate) fn tell(&self, done: &Sealed<impl Debug>, now: Timestamp) {
        let mut found = self.lock();
        found.retain(|tenant, _at| !done.sound.contains(tenant));
        for (tenant, failure) in &done.broken {
            if found.insert(tenant.clone(), now).is_none() {
                telemetry::tell(|| {
                    tracing::error!(
                        %tenant,
                        error = ?failure,
                        "the audit chain of a tenant is broken: its records are not sealed until it is repaired"
                    );
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unwritable::unwritable;

    #[test]
    fn a_log_that_cannot_be_written_ends_no_round_of_sealing() {
        let _log = unwritable();
        let (chains, now) = (BrokenChains::default(), Timestamp::from_micros(7));
        let broken = BTreeMap::from([("acme".to_owned(), "why")]);
        chains.tell(&Sealed { broken, ..Sealed::default() }, now);
        assert_eq!(chains.left_alone(now), BTreeSet::from(["acme".to_owned()]));
    }

    #[test]
    fn a_chain_that_was_found_broken_is_left_alone_for_a_minute_and_no_longer_than_it_is_broken() {
        let (chains, now) = (BrokenChains::default(), Timestamp::from_micros(7));
        let found = |broken: &[&str], sound: &[&str]| Sealed {
            broken: broken.iter().map(|tenant| ((*tenant).to_owned(), "why")).collect(),
            sound: sound.iter().map(|tenant| (*tenant).to_owned()).collect(),
            ..Sealed::default()
        };
        chains.tell(&found(&["acme", "globex"], &[]), now);
        chains.tell(&found(&[], &["globex"]), now);
        let acme = BTreeSet::from(["acme".to_owned()]);
        assert_eq!(chains.left_alone(now.plus(LEFT_ALONE).minus(Duration::from_micros(1))), acme);
        assert_eq!(chains.left_alone(now.plus(LEFT_ALONE)), BTreeSet::new());
        assert_eq!(chains.left_alone(now.minus(Duration::from_micros(1))), BTreeSet::new(), "the clock was set back");
        chains.tell(&found(&["acme"], &[]), now.plus(LEFT_ALONE));
        assert_eq!(chains.left_alone(now.plus(LEFT_ALONE)), acme);
    }
}
