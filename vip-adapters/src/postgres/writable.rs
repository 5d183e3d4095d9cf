//! Whether the server takes changes: a standby answers every read, and refuses every write.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use vip_core::telemetry;

use super::error::Failure;
use super::session::{Sessions, Write};
use super::transaction::Transaction;

/// Longest wait for an answer: health waits a second for this and for a read before it.
const ANSWER: Duration = Duration::from_millis(300);

/// Writes nothing. Its transaction begins as that of each write does, which a standby refuses; the disk is not asked.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Write for Nothing {
    type Answer = ();

    async fn write(&self, _transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Sessions {
    /// Fails if the server refuses writes. Whatever else goes wrong here, such as busy or lost connections, hinders reads as well:
    /// they tell it.
    pub(super) async fn writable(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + ANSWER.min(self.call_deadline);
        let mut backoff = self.backoff();
        loop {
            // Its own deadline is that of any call: who waits here for a connection is not counted among those who got none.
            match timeout_at(deadline, self.attempt(&Nothing, self.deadline())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) if failure.is_of_a_standby() => return Err(failure),
                Ok(Err(failure)) => {
                    telemetry::tell(|| tracing::debug!(error = ?failure, "nobody said whether changes are taken"));
                    // A connection that broke when the server became a standby is replaced by one that answers.
                    if !backoff.pause(deadline).await {
                        return Ok(());
                    }
                }
                Err(elapsed) => {
                    telemetry::tell(|| {
                        tracing::debug!(error = %elapsed, "nobody said in time whether changes are taken");
                    });
                    return Ok(());
                }
            }
        }
    }
}
