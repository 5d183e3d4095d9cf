//! What scripts are told and what they answer, in both directions.

use std::str::FromStr;
use std::time::Duration;

use redis::Value;
use vip_core::model::{
    ClaimId, Job, JobId, JobKey, JobKind, JobState, NameError, NewJob, Payload, RequestId, TenantId, Timestamp,
    TraceParent,
};
use vip_core::ports::{Enqueued, LeaseRef, QueueStats, Settled, Settlement, Verdict};

use super::error::{Failure, Obstacle};
use crate::unreadable;

/// Longest delay or lease that is told: beyond it Lua's numbers lose microseconds. Longer ones are cut to it.
const DELAY_MOST: Duration = Duration::from_secs(50 * 365 * 86_400);

/// Writes a delay in microseconds.
pub(super) fn micros(delay: Duration) -> Vec<u8> {
    bytes(delay.min(DELAY_MOST).as_micros())
}

pub(super) fn bytes(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub(super) fn of_new(new: &NewJob) -> [Vec<u8>; 10] {
    [
        bytes(new.id),
        bytes(new.key.as_str()),
        bytes(new.kind.as_str()),
        bytes(new.payload.as_str()),
        bytes(new.tenant.as_ref().map_or("", TenantId::as_str)),
        bytes(new.request_id.as_ref().map_or("", RequestId::as_str)),
        micros(new.delay),
        bytes(new.why.as_str()),
        bytes(new.max_attempts),
        bytes(new.trace_parent.as_ref().map_or("", TraceParent::as_str)),
    ]
}

pub(super) fn of_lease(lease: &LeaseRef) -> [Vec<u8>; 3] {
    [bytes(lease.job), bytes(lease.epoch), bytes(lease.claim)]
}

pub(super) fn of_settlement(settlement: &Settlement) -> Vec<Vec<u8>> {
    let (verdict, delay, code) = match &settlement.verdict {
        Verdict::Done => ("done", Duration::ZERO, ""),
        Verdict::Retry { delay, code } => ("retry", *delay, code.as_str()),
        Verdict::Snooze { delay } => ("snooze", *delay, ""),
        Verdict::Release => ("release", Duration::ZERO, ""),
        Verdict::Dead { code } => ("dead", Duration::ZERO, code.as_str()),
    };
    of_lease(&settlement.lease).into_iter().chain([bytes(verdict), micros(delay), bytes(code)]).collect()
}

fn form() -> Failure {
    Failure::corrupt(Obstacle::Form)
}

pub(super) fn list(value: Value) -> Result<Vec<Value>, Failure> {
    if let Value::Array(values) = value { Ok(values) } else { Err(form()) }
}

pub(super) fn integer(value: &Value) -> Result<i64, Failure> {
    if let Value::Int(number) = value { Ok(*number) } else { Err(form()) }
}

pub(super) fn count(value: &Value) -> Result<u64, Failure> {
    u64::try_from(integer(value)?).map_err(Failure::corrupt)
}

pub(super) fn text(value: Value) -> Result<String, Failure> {
    let Value::BulkString(bytes) = value else { return Err(form()) };
    // Without the bytes, which may be a payload: whoever logs the failure shows all that it holds.
    String::from_utf8(bytes).map_err(|error| Failure::corrupt(error.utf8_error()))
}

pub(super) fn enqueued(value: Value) -> Result<Enqueued, Failure> {
    Ok(match text(value)?.as_str() {
        "inserted" => Enqueued::Inserted,
        "merged" => Enqueued::Merged,
        "will_run_again" => Enqueued::WillRunAgain,
        "revived" => Enqueued::Revived,
        "dead" => Enqueued::Dead,
        "conflict" => Enqueued::Conflict,
        _ => return Err(form()),
    })
}

pub(super) fn settled(value: Value) -> Result<Settled, Failure> {
    Ok(match text(value)?.as_str() {
        "applied" => Settled::Applied,
        "died" => Settled::Died,
        "stale" => Settled::Stale,
        _ => return Err(form()),
    })
}

/// Reads the fields of a job one after the other.
struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    /// Reads the next field; an empty one is none, and so is one that an older program did not write.
    fn optional(&mut self, name: &'static str) -> Result<Option<String>, Failure> {
        let value = self.0.next().ok_or_else(|| Failure::corrupt(Obstacle::Field(name)))?;
        if value == Value::Nil {
            return Ok(None);
        }
        text(value).map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    fn needed(&mut self, name: &'static str) -> Result<String, Failure> {
        self.optional(name)?.ok_or_else(|| Failure::corrupt(Obstacle::Field(name)))
    }

    fn parsed<T: FromStr>(&mut self, name: &'static str) -> Result<T, Failure>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.needed(name)?.parse().map_err(Failure::corrupt)
    }

    fn checked<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(String) -> Result<T, NameError>,
    ) -> Result<T, Failure> {
        check(self.needed(name)?).map_err(Failure::corrupt)
    }

    fn optional_checked<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(String) -> Result<T, NameError>,
    ) -> Result<Option<T>, Failure> {
        self.optional(name)?.map(check).transpose().map_err(Failure::corrupt)
    }

    /// Reads a field that is a hint: one that this program cannot read is none, and costs no job.
    fn hint<T>(
        &mut self,
        name: &'static str,
        job: JobId,
        check: impl FnOnce(String) -> Result<T, NameError>,
    ) -> Option<T> {
        let Ok(hint) = self.optional_checked(name, check) else {
            unreadable::report_hint(job);
            return None;
        };
        hint
    }

    fn state(&mut self) -> Result<JobState, Failure> {
        let name = self.needed("state")?;
        let known = [JobState::Waiting, JobState::Leased, JobState::Dead];
        known.into_iter().find(|state| state.as_str() == name).ok_or_else(|| Failure::corrupt(Obstacle::Field("state")))
    }
}

fn field(value: &Value, place: usize) -> Option<&str> {
    let Value::Array(fields) = value else { return None };
    let Value::BulkString(bytes) = fields.get(place)? else { return None };
    str::from_utf8(bytes).ok()
}

/// Reads the id of a job that may not be readable.
pub(super) fn id(value: &Value) -> Option<String> {
    field(value, 0).map(ToOwned::to_owned)
}

/// Reads the lease of a claimed job that may not be readable; the epoch's place is that of the list of shown fields.
pub(super) fn lease(value: &Value, claim: ClaimId) -> Option<LeaseRef> {
    const EPOCH: usize = 14;
    Some(LeaseRef { job: field(value, 0)?.parse().ok()?, epoch: field(value, EPOCH)?.parse().ok()?, claim })
}

pub(super) fn job(value: Value) -> Result<Job, Failure> {
    let mut fields = Fields(list(value)?.into_iter());
    let id = fields.parsed("id")?;
    let key = fields.checked("key", JobKey::new)?;
    let kind = fields.checked("kind", JobKind::new)?;
    let payload = fields.checked("payload", Payload::from_text)?;
    let tenant = fields.optional_checked("tenant", TenantId::new)?;
    let request_id = fields.hint("request_id", id, RequestId::new);
    let trace_parent = fields.hint("trace_parent", id, TraceParent::new);
    let state = fields.state()?;
    let due = Timestamp::from_micros(fields.parsed("due")?);
    // The constructor takes a request; every field that a request does not have is set below.
    let mut job = Job::waiting(NewJob::new(id, key, kind, payload), due);
    (job.tenant, job.request_id, job.trace_parent, job.state) = (tenant, request_id, trace_parent, state);
    job.counts.attempts = fields.parsed("attempts")?;
    job.counts.snoozes = fields.parsed("snoozes")?;
    job.counts.rescues = fields.parsed("rescues")?;
    job.max_attempts = fields.parsed("max_attempts")?;
    job.claim = fields.optional("claim")?.map(|claim| claim.parse().map_err(Failure::corrupt)).transpose()?;
    job.epoch = fields.parsed("epoch")?;
    let lease_until = fields.optional("lease_until")?.map(|until| until.parse().map_err(Failure::corrupt));
    job.lease_until = lease_until.transpose()?.map(Timestamp::from_micros);
    job.last_error = fields.optional("last_error")?;
    Ok(job)
}

pub(super) fn stats(value: Value) -> Result<QueueStats, Failure> {
    let values = list(value)?;
    let [due, later, leased, dead, oldest] = values.as_slice() else { return Err(form()) };
    let oldest = u64::try_from(integer(oldest)?).ok().map(Duration::from_micros);
    Ok(QueueStats::new(count(due)?, count(later)?, count(leased)?, count(dead)?, oldest))
}
