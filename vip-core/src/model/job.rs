//! A durable unit of work: its kind, its key, its payload and its state in a queue.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ids::{ClaimId, JobId};
use super::limits;
use super::names::{JobKey, JobKind, NameError, RequestId, TenantId, TraceParent};
use super::timestamp::Timestamp;

/// Is the argument of a job as JSON text of at most 256 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// Writes a value as a payload.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the value cannot be written as JSON or is longer than 256 KiB.
    pub fn encode<T: Serialize>(value: &T) -> Result<Self, NameError> {
        let text = serde_json::to_string(value).map_err(|error| NameError::new(format!("must be JSON: {error}")))?;
        Self::from_text(text)
    }

    /// Wraps text that came from a queue; whether it can be decoded is seen when a handler asks.
    ///
    /// # Errors
    ///
    /// [`NameError`] if it is longer than 256 KiB.
    pub fn from_text(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        if text.len() > limits::JOB_PAYLOAD_BYTES {
            return Err(NameError::new(format!("must have at most {} bytes", limits::JOB_PAYLOAD_BYTES)));
        }
        Ok(Self(text))
    }

    /// Reads the payload back.
    ///
    /// # Errors
    ///
    /// The decoder's error if the text is not the JSON of a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows the length alone: a payload may hold what a log must not.
impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({} bytes)", self.0.len())
    }
}

/// Says why a job is enqueued: a command revives a dead job, a wake does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Something may have to be done.
    Wake,
    /// Somebody asked for it.
    Command,
}

impl Why {
    /// Returns the stable name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Command => "command",
        }
    }
}

/// Asks a queue for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewJob {
    /// Id to give it if the key is new; chosen by the caller, so that a repeat is harmless.
    pub id: JobId,
    /// Its key.
    pub key: JobKey,
    /// Its kind.
    pub kind: JobKind,
    /// Its argument.
    pub payload: Payload,
    /// Tenant that it belongs to, if any.
    pub tenant: Option<TenantId>,
    /// Request that asked for it.
    pub request_id: Option<RequestId>,
    /// Trace that this request belongs to.
    pub trace_parent: Option<TraceParent>,
    /// How long from now, by the queue's clock, until it is due.
    pub delay: std::time::Duration,
    /// Why it is enqueued.
    pub why: Why,
    /// Burned attempts after which it is dead; at least 1.
    pub max_attempts: u32,
}

impl NewJob {
    /// Burned attempts after which a job is dead, unless said otherwise.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 20;

    /// Asks for a job that is due at once, by command.
    #[must_use]
    pub const fn new(id: JobId, key: JobKey, kind: JobKind, payload: Payload) -> Self {
        Self {
            id,
            key,
            kind,
            payload,
            tenant: None,
            request_id: None,
            trace_parent: None,
            delay: std::time::Duration::ZERO,
            why: Why::Command,
            max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
        }
    }
}

/// Says where a job stands in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Due now or later; scheduled, retrying and ready are this one state.
    Waiting,
    /// Claimed by a worker.
    Leased,
    /// Failed for good; kept until it is replayed.
    Dead,
}

impl JobState {
    /// Returns the stable name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Dead => "dead",
        }
    }
}

/// Counts what happened to a job, each apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// Attempts that failed.
    pub attempts: u32,
    /// Attempts that asked to wait; they burn nothing.
    pub snoozes: u32,
    /// Attempts whose worker disappeared.
    pub rescues: u32,
}

/// Is a job as its queue shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its key.
    pub key: JobKey,
    /// Its kind.
    pub kind: JobKind,
    /// Its argument.
    pub payload: Payload,
    /// Tenant that it belongs to, if any.
    pub tenant: Option<TenantId>,
    /// Request that asked for it.
    pub request_id: Option<RequestId>,
    /// Trace that this request belongs to.
    pub trace_parent: Option<TraceParent>,
    /// Where it stands.
    pub state: JobState,
    /// When it is due, by the queue's clock.
    pub due: Timestamp,
    /// What happened to it.
    pub counts: AttemptCounts,
    /// Burned attempts after which it is dead.
    pub max_attempts: u32,
    /// Claim that holds it, while leased.
    pub claim: Option<ClaimId>,
    /// Counts claims; rises for ever.
    pub epoch: u64,
    /// Until when it is leased, by the queue's clock.
    pub lease_until: Option<Timestamp>,
    /// Why the last attempt failed, as a short code.
    pub last_error: Option<String>,
}

impl Job {
    /// Makes a waiting job from a request, due by the queue's clock.
    #[must_use]
    pub fn waiting(new: NewJob, now: Timestamp) -> Self {
        Self {
            id: new.id,
            key: new.key,
            kind: new.kind,
            payload: new.payload,
            tenant: new.tenant,
            request_id: new.request_id,
            trace_parent: new.trace_parent,
            state: JobState::Waiting,
            due: now.plus(new.delay),
            counts: AttemptCounts::default(),
            max_attempts: new.max_attempts,
            claim: None,
            epoch: 0,
            lease_until: None,
            last_error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_at_most_256_kibibytes() {
        assert!(Payload::from_text("x".repeat(256 * 1024)).is_ok());
        assert!(Payload::from_text("x".repeat(256 * 1024 + 1)).is_err());
        // As JSON the text has two quotes more.
        assert!(Payload::encode(&"x".repeat(256 * 1024 - 2)).is_ok());
        assert!(Payload::encode(&"x".repeat(256 * 1024 - 1)).is_err());
    }
}
