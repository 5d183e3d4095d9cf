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
}
