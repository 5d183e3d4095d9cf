//! What the in-memory ports share: one lock around all rows, so that a commit spans store and queue.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::jobs::JobTable;
use super::tables::Tables;

/// Is the lock around the rows, and the bell that rings when a job may have become due.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) state: Mutex<MemoryState>,
    pub(super) wake: Notify,
}

/// Holds all rows.
#[derive(Debug, Default)]
pub(super) struct MemoryState {
    pub(super) jobs: JobTable,
    /// Servers, operations, keys, sightings and audit records.
    pub(super) tables: Tables,
    pub(super) refusal: CommitRefusal,
}

/// Says which of the next commits are refused, for tests of what happens then.
#[derive(Debug, Default)]
pub(super) struct CommitRefusal {
    pub(super) passing: u32,
    pub(super) refused: u32,
}

impl CommitRefusal {
    /// Counts a commit; says whether it is refused.
    pub(super) const fn refuses(&mut self) -> bool {
        if self.passing > 0 {
            self.passing -= 1;
            return false;
        }
        let is_refused = self.refused > 0;
        self.refused = self.refused.saturating_sub(1);
        is_refused
    }
}
