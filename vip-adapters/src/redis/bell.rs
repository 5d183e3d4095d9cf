//! How a waiting worker learns of jobs: a call that blocks at the server, on a connection of its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::time::{Instant, sleep_until, timeout};
use vip_core::model::JobKind;
use vip_core::telemetry;

use super::link::Link;

/// Shortest wait that is worth a blocking call.
const SHORTEST: Duration = Duration::from_millis(5);
/// How much longer than the server was told to block its answer may take.
const GRACE: Duration = Duration::from_secs(2);

/// Waits for strokes of the bells of some kinds.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Out of here while a wait is under way: a wait that is dropped takes its connection along, and with it the call.
    connection: Mutex<Option<MultiplexedConnection>>,
    /// What the last claim asked for, and when, by the queue's clock in microseconds.
    last_claim: Mutex<(Vec<JobKind>, i64)>,
}

impl Bell {
    /// Remembers a claim: what arrives or becomes due from then on is news.
    pub(super) fn note_claim(&self, kinds: &[JobKind], at: i64) {
        *self.last_claim.lock().unwrap_or_else(PoisonError::into_inner) = (kinds.to_vec(), at);
    }

    pub(super) fn last_claim(&self) -> (Vec<JobKind>, i64) {
        self.last_claim.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns at a stroke of one of the bells, or after `longest`.
    pub(super) async fn wait(&self, link: &Link, bells: &[String], longest: Duration) {
        let end = Instant::now() + longest;
        if longest > SHORTEST && !bells.is_empty() {
            match self.block(link, bells, longest).await {
                Ok(true) => return,
                Ok(false) => {}
                // A hint is missed; whoever waits finds out by claiming.
                Err(error) => telemetry::tell(|| {
                    tracing::debug!(error = %telemetry::causes(&error), "cannot wait for jobs at Redis");
                }),
            }
        }
        sleep_until(end).await;
    }

    /// Says whether there was a stroke.
    async fn block(&self, link: &Link, bells: &[String], longest: Duration) -> Result<bool, RedisError> {
        let kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => match timeout(link.connect_deadline(), link.connect_alone()).await {
                Ok(made) => made?,
                Err(_elapsed) => return Ok(false),
            },
        };
        // A little less, so that the answer is here before its caller stops waiting.
        let block = longest.mul_f64(0.9).as_secs_f64();
        let mut call = redis::cmd("BLPOP");
        call.arg(bells).arg(block);
        let answer: Value = match timeout(longest + GRACE, call.query_async(&mut connection)).await {
            Ok(answer) => answer?,
            Err(_elapsed) => return Ok(false),
        };
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(answer != Value::Nil)
    }
}
