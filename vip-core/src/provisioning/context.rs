//! What every verb of provisioning works with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{AccountId, ChangeId, InstallationId, ServerId, Timing};
use crate::ports::{
    ChangeSet, Clock, Committed, JobQueue, ProviderClient, Randomness, Retryability, Store, StoreError,
};
use crate::seeded_bugs::{SeededBug, is_on};

/// Holds the ports and settings that accept, converge and sweep share.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where jobs wait.
    pub queue: Arc<dyn JobQueue>,
    /// Where commits enqueue, if that is not `queue`.
    pub outbox: Option<Arc<dyn JobQueue>>,
    /// One client for each account that this process may use.
    pub providers: Arc<BTreeMap<AccountId, Arc<dyn ProviderClient>>>,
    /// The process's clock: for ids and the age of catalogs, and what the store's is compared with before anything is forgotten.
    pub clock: Arc<dyn Clock>,
    /// Source of ids and jitter.
    pub randomness: Arc<dyn Randomness>,
    /// Durations and bounds.
    pub timing: Arc<Timing>,
    /// This installation.
    pub installation: InstallationId,
}

/// Pause before an unanswered commit is repeated; doubles.
const REPEAT_AFTER: Duration = Duration::from_millis(20);

impl Context {
    /// Makes a change set durable: repeats the same one until the store says what became of it (F7).
    ///
    /// # Errors
    ///
    /// The store's last error when the deadline for commits is over, or an error that a repeat cannot change.
    pub async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        let end = Instant::now() + self.timing.commit_deadline;
        let mut pause = REPEAT_AFTER;
        let mut unknown = false;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = tokio::time::timeout(left, self.store.commit(change)).await;
            let error = match answer {
                Ok(Ok(committed)) => {
                    if is_on(SeededBug::AuditOutsideCommit) || is_on(SeededBug::KeyOutsideCommit) {
                        self.write_the_rest(change).await;
                    }
                    return Ok(committed);
                }
                Ok(Err(error)) => error,
                Err(elapsed) => StoreError::OutcomeUnknown { source: Box::new(elapsed) },
            };
            unknown |= error.retryability() == Retryability::OutcomeUnknown;
            let may_repeat = error.retryability() != Retryability::Permanent;
            if !may_repeat || Instant::now() + pause >= end {
                return Err(match error {
                    // An earlier try may have been applied, so "not changed" would be too much said.
                    StoreError::Unavailable { source } | StoreError::Corrupt { source } if unknown => {
                        StoreError::OutcomeUnknown { source }
                    }
                    // It may also be on its way still, and be applied when the quota is free again.
                    StoreError::QuotaExceeded { .. } if unknown => {
                        StoreError::OutcomeUnknown { source: Box::new(error) }
                    }
                    StoreError::Conflict
                    | StoreError::KeyTaken
                    | StoreError::QuotaExceeded { .. }
                    | StoreError::Unavailable { .. }
                    | StoreError::OutcomeUnknown { .. }
                    | StoreError::Corrupt { .. } => error,
                });
            }
            tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * self.randomness.share())).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// Writes what a seeded bug has left out of a commit, in a second one.
    async fn write_the_rest(&self, change: &ChangeSet) {
        if let Err(error) = self.store.commit(change).await {
            tracing::warn!(error = %crate::telemetry::causes(&error), "the rest of a commit was not written");
        }
    }

    /// Makes the id of a commit.
    #[must_use]
    pub fn change_id(&self) -> ChangeId {
        ChangeId::from_uuid(self.randomness.uuid())
    }

    /// Makes the id of a server.
    #[must_use]
    pub fn server_id(&self) -> ServerId {
        ServerId::from_uuid(self.randomness.uuid_at(self.clock.now()))
    }
}
