//! A store and a queue that belong together.

use std::sync::Arc;

use super::job_queue::JobQueue;
use super::store::Store;

/// Is where orders are kept and jobs wait.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backend {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where jobs wait; the same database as the store: what `commit` enqueues is what `claim` reads.
    pub queue: Arc<dyn JobQueue>,
}

impl Backend {
    /// Pairs a store with the queue in the same database.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn JobQueue>) -> Self {
        Self { store, queue }
    }
}
