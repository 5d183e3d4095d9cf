//! Which servers, or actions, could not be read when they were shown last, so that each is reported once and not with every look.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::wire::Id;

/// Most that are remembered. A page sets few apart; beyond this all are forgotten, and reported again.
const MOST: usize = 1000;

/// Remembers what is set apart, of one kind.
#[derive(Debug, Default)]
pub(super) struct Apart(Mutex<BTreeSet<Id>>);

impl Apart {
    /// Takes note of what an answer shows whole and of what it does not, and returns what was not set apart before.
    pub(super) fn saw(&self, whole: impl IntoIterator<Item = Id>, odd: impl IntoIterator<Item = Id>) -> Vec<Id> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_empty() {
            for id in whole {
                known.remove(&id);
            }
        }
        if known.len() >= MOST {
            known.clear();
        }
        odd.into_iter().filter(|id| known.insert(*id)).collect()
    }
}
