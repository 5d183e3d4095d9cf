//! What a job kind brings along: how to run it, and how to write its end.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::attempt::Attempt;
use crate::model::{JobKind, safe_code};
use crate::telemetry;

/// Runs the jobs of one kind.
///
/// # Contract
///
/// * `run` may be called again for the same job at any time: after a crash, a lost lease, a lost settlement. What it
///   does has to be safe to repeat.
/// * `run` may be dropped at any `await`, at the attempt's deadline and at the deadline of a shutdown.
/// * Before an effect that could outlive the lease, `run` asks [`Attempt::guard`].
///
/// Its unit tests call `run` with an [`Attempt::for_test`]; the example `custom_job` has some.
#[async_trait]
pub trait JobHandler: fmt::Debug + Send + Sync + 'static {
    /// What the payload of a job of this kind is read as.
    type Payload: DeserializeOwned + Send + Sync + 'static;

    /// Names the kind; asked once, when the worker is built.
    fn kind(&self) -> JobKind;

    /// Makes one attempt.
    async fn run(&self, payload: Self::Payload, attempt: &Attempt) -> JobOutcome;

    /// Writes the end of a job that is about to be settled dead; `payload` is none if it cannot be read.
    ///
    /// It is called before the settlement, so that a job is never dead without its end being written. After a crash
    /// in between it is called again. The default writes nothing.
    ///
    /// # Errors
    ///
    /// [`HandlerError`]: the job is not settled dead but snoozed, and comes back to be ended once more.
    async fn died(&self, payload: Option<Self::Payload>, attempt: &Attempt, code: &str) -> Result<(), HandlerError> {
        drop(payload);
        tracing::debug!({ telemetry::JOB_KIND } = %attempt.job().kind, { telemetry::CODE } = code, "a job died");
        Ok(())
    }
}

/// Says how an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum JobOutcome {
    /// Nothing is left to do.
    Done,
    /// It failed; try again. Burns an attempt: for bugs, not for outages.
    Retry {
        /// Why, as a short code without data: up to 100 visible ASCII characters; what is none becomes `_`.
        code: String,
        /// How long to wait; none takes the worker's growing back-off.
        delay: Option<Duration>,
    },
    /// It has to wait, as for the end of an outage; go on after the delay. Burns nothing: `attempt.job().counts.snoozes` lets the
    /// pause grow.
    Snooze {
        /// How long from now.
        delay: Duration,
    },
    /// Another process can do it and this one cannot: it is due again after the delay, and this worker claims nothing
    /// until the others have had time to take it, for a day at most. Burns nothing.
    Leave {
        /// How long from now.
        delay: Duration,
    },
    /// It was not tried, or not to the end; anybody may take it at once. Burns nothing.
    Release,
    /// It failed for good.
    Dead {
        /// Why, as a short code without data: up to 100 visible ASCII characters; what is none becomes `_`.
        code: String,
    },
}

impl JobOutcome {
    /// Makes its code one that every queue can hold.
    pub(super) fn with_safe_code(self) -> Self {
        match self {
            Self::Retry { code, delay } => Self::Retry { code: safe_code(code), delay },
            Self::Dead { code } => Self::Dead { code: safe_code(code) },
            Self::Done | Self::Snooze { .. } | Self::Leave { .. } | Self::Release => self,
        }
    }
}

/// Says that a handler could not write the end of a dead job yet.
#[derive(Debug, thiserror::Error)]
#[error("end of the job could not be written")]
pub struct HandlerError {
    source: Box<dyn Error + Send + Sync>,
}

impl HandlerError {
    /// Wraps what happened beneath.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}
