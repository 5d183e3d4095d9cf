//! Where committed audit records go afterwards.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::retryability::Retryability;
use crate::model::{NameError, RequestId, SealedRecord, TenantId};

/// How long a sink may take for a batch. A delivery that takes longer is dropped, and has failed.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(60);

/// Receives sealed audit records: a file, a table in another database, a host's own collector.
///
/// # Contract
///
/// * A batch is of one tenant, in ascending order of its sequence numbers (`batches_arrive_in_order`).
/// * `Ok` means that every record of the batch is kept (`ok_means_kept`).
/// * A batch may come again, whole or in part; a record is identified by tenant, sequence number and hash
///   (`a_repeated_batch_adds_nothing`).
/// * Two workers may deliver one batch at the same time: it is kept once, and none of its records is lost, whichever of the two is
///   refused and comes again (`a_batch_that_comes_twice_at_once_is_kept_once`).
/// * A known number with another hash is another record, and both are kept: a store that was put back to a backup gives
///   numbers once more (`a_number_with_another_hash_is_kept_beside_the_first`).
/// * A batch that was not taken is an error, and comes again (`a_refused_batch_may_come_again`).
/// * Each tenant has numbers of its own (`tenants_do_not_meet`).
///
/// Each sink is delivered to by itself: one that fails, or hangs, keeps no record from another. Nor does a tenant whose records a
/// sink does not take keep those of other tenants from it.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait AuditSink: fmt::Debug + Send + Sync + 'static {
    /// Names this sink in the store, which remembers how far it has delivered to it.
    fn name(&self) -> SinkName;

    /// Takes a batch, of 500 records at the most, within [`DELIVERY_LIMIT`].
    ///
    /// # Errors
    ///
    /// [`AuditSinkError`]; the batch is sent again later, after a pause that grows. So it is when the time is over.
    ///
    /// # Cancel safety
    ///
    /// Is dropped when its time is over, and at the end of a shutdown: what it took until then may be kept, or not.
    async fn deliver(&self, tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError>;

    /// Ends the sink: what it buffers is kept, its resources are given back. It is asked for this once; again if a shutdown ended
    /// before the answer.
    ///
    /// # Errors
    ///
    /// [`AuditSinkError`] if what it holds could not be kept.
    async fn close(&self) -> Result<(), AuditSinkError>;
}

/// Names a sink: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkName(String);

impl SinkName {
    /// Checks and wraps a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] unless it has 1 to 255 visible ASCII characters.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        RequestId::new(text).map(|checked| Self(checked.into()))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says that a batch was not taken.
#[derive(Debug, thiserror::Error)]
#[error("audit sink did not take the batch")]
#[non_exhaustive]
pub struct AuditSinkError {
    /// What happened beneath.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl AuditSinkError {
    /// Wraps what happened beneath.
    #[must_use]
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }

    /// Says that the batch may be sent again.
    #[must_use]
    pub const fn retryability(&self) -> Retryability {
        Retryability::Temporary
    }
}
