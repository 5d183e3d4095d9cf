//! The permit of one call, by which a breaker learns how it ended.

use std::time::Duration;

use super::Breaker;
use super::state::{Outcome, Pass};

/// Lets one call through; dropped without a result, it gives itself back.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once lets nothing through"]
pub struct Permit<'a> {
    pub(super) breaker: &'a Breaker,
    pub(super) pass: Pass,
    pub(super) started: Duration,
    pub(super) open: bool,
}

impl Permit<'_> {
    /// Says how the call ended.
    pub fn record(mut self, outcome: Outcome) {
        self.open = false;
        self.breaker.record(self.pass, self.started, outcome);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // One that takes no place has nothing to give back.
        if self.open && (self.pass.probes.is_some() || self.pass.round.is_some()) {
            self.breaker.record(self.pass, self.started, Outcome::Neutral);
        }
    }
}
