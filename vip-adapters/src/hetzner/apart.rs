//! Which servers could not be read when a list showed them last, so that each is reported once and not with every look.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::lists::Inventory;
use super::wire::Id;

/// Most servers that are remembered. A page sets few apart; beyond this all are forgotten, and reported again.
const MOST: usize = 1000;

/// Remembers servers that are set apart.
#[derive(Debug, Default)]
pub(super) struct Apart(Mutex<BTreeSet<Id>>);

impl Apart {
    /// Takes note of a page, and returns what was not set apart before.
    pub(super) fn saw(&self, inventory: &Inventory) -> Vec<Id> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_empty() {
            for id in inventory.page.servers.iter().filter_map(|view| Id::parse(view.id.as_str())) {
                known.remove(&id);
            }
        }
        if known.len() >= MOST {
            known.clear();
        }
        inventory.apart.iter().copied().filter(|id| known.insert(*id)).collect()
    }
}
