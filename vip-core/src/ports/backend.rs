//! A store and a queue that belong together.

use std::sync::Arc;

use super::connections::Connections;
use super::job_queue::JobQueue;
use super::store::Store;

/// Is where orders are kept and jobs wait.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Backend {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where jobs wait for workers.
    pub queue: Arc<dyn JobQueue>,
    /// Where `commit` enqueues, if that is another place than `queue`: a relay moves jobs from here to there. None if
    /// store and queue are one database: what `commit` enqueues is then what `claim` reads.
    pub outbox: Option<Arc<dyn JobQueue>>,
    /// Who counts the connections that all this needs; none if it needs none.
    pub connections: Option<Arc<dyn Connections>>,
}

impl Backend {
    /// Pairs a store with the queue in the same database.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn JobQueue>) -> Self {
        Self { store, queue, outbox: None, connections: None }
    }

    /// Lets workers claim from a queue elsewhere, such as Redis; the store stays the truth.
    ///
    /// Processes with workers relay what was committed, at least once. All processes on one store have to be given the
    /// same queue: jobs that a worker takes from the store itself are not seen by the workers of the other queue.
    #[must_use]
    pub fn with_queue(self, queue: impl JobQueue) -> Self {
        let Self { store, queue: beside_the_store, outbox, connections } = self;
        Self { store, queue: Arc::new(queue), outbox: Some(outbox.unwrap_or(beside_the_store)), connections }
    }

    /// Lets health and metrics show how busy the connections are.
    #[must_use]
    pub fn with_connections(self, connections: Arc<dyn Connections>) -> Self {
        Self { connections: Some(connections), ..self }
    }
}
