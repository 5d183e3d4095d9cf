//! How rows become values of the model, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{Column as _, ColumnIndex, Row};
use uuid::Uuid;
use vip_core::model::{
    Account, AccountId, ChainHash, ChainHead, ChangeId, ClaimId, Desired, Fingerprint, Job, JobId, JobKind, JobState,
    NewJob, Operation, OperationId, Payload, SealedRecord, Server, ServerId, Sighting, SightingKey, Timestamp, Why,
};
use vip_core::ports::{KeyRecord, Loaded, QueueStats, RecordedRef, Stalled, StoreStats};

use crate::unclear;
use crate::unread_accounts::{self, UnreadAccounts};

use super::error::{Failure, Obstacle};
use crate::unreadable;

/// Longest delay that is stored, some 100,000 years in microseconds.
const MICROS_MOST: i64 = 1 << 61;

/// Is a column by its name or its place.
pub(super) trait Column: ColumnIndex<PgRow> {}

impl<C: ColumnIndex<PgRow>> Column for C {}

/// Reads a column of text as any value whose JSON is a string: ids, names, states.
pub(super) fn word<T: DeserializeOwned>(row: &PgRow, column: impl Column) -> Result<T, Failure> {
    let text: String = row.try_get(column)?;
    parse(text)
}

fn optional_word<T: DeserializeOwned>(row: &PgRow, column: impl Column) -> Result<Option<T>, Failure> {
    row.try_get::<Option<String>, _>(column)?.map(parse).transpose()
}

/// Reads a column that is a hint: one that this program cannot read is none, and costs no job.
fn hint<T: DeserializeOwned>(row: &PgRow, column: impl Column, job: JobId) -> Option<T> {
    let Ok(hint) = optional_word(row, column) else {
        unreadable::report_hint(job);
        return None;
    };
    hint
}

fn parse<T: DeserializeOwned>(text: String) -> Result<T, Failure> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(Failure::corrupt)
}

fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, Failure> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(Failure::corrupt)
}

/// Writes a value as JSON.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::corrupt)
}

/// Reads a column of ids.
pub(super) fn id<T>(row: &PgRow, column: impl Column, wrap: impl Fn(Uuid) -> T) -> Result<T, Failure> {
    Ok(wrap(row.try_get(column)?))
}

fn optional_id<T>(row: &PgRow, column: impl Column, wrap: impl Fn(Uuid) -> T) -> Result<Option<T>, Failure> {
    Ok(row.try_get::<Option<Uuid>, _>(column)?.map(wrap))
}

/// Reads a column of time.
pub(super) fn time(row: &PgRow, column: impl Column) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_micros(row.try_get(column)?))
}

fn optional_time(row: &PgRow, column: impl Column) -> Result<Option<Timestamp>, Failure> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
}

/// Reads a column that counts.
pub(super) fn count<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
    row: &PgRow,
    column: impl Column,
) -> Result<T, Failure> {
    T::try_from(row.try_get::<i64, _>(column)?).map_err(Failure::corrupt)
}

fn small(row: &PgRow, column: impl Column) -> Result<u32, Failure> {
    u32::try_from(row.try_get::<i32, _>(column)?).map_err(Failure::corrupt)
}

/// Writes a number that counts; the database's integers end where no count will ever come.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a duration in microseconds, so that adding it to any time of our age stays within the range.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(MICROS_MOST)
}

/// Writes kinds, each once.
pub(super) fn kinds(kinds: &[JobKind]) -> Vec<String> {
    let mut names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Reads the state of a job.
pub(super) fn state(row: &PgRow, column: impl Column) -> Result<JobState, Failure> {
    match row.try_get::<i16, _>(column)? {
        0 => Ok(JobState::Waiting),
        1 => Ok(JobState::Leased),
        2 => Ok(JobState::Dead),
        _ => Err(Failure::corrupt(Obstacle::JobState)),
    }
}

/// Writes why a job is enqueued; a command is the greater one.
pub(super) const fn why_number(why: Why) -> i16 {
    match why {
        Why::Wake => 1,
        Why::Command => 2,
    }
}

/// Returns the stable name of a wish.
pub(super) const fn desired_name(desired: Desired) -> &'static str {
    match desired {
        Desired::Present => "present",
        Desired::Absent => "absent",
    }
}

/// Holds the columns that are the truth about who may write a record.
#[derive(Debug)]
pub(super) struct Fence {
    version: u64,
    holder: Option<ClaimId>,
    holder_epoch: u64,
}

impl Fence {
    pub(super) fn of(row: &PgRow) -> Result<Self, Failure> {
        Ok(Self {
            version: count(row, "version")?,
            holder: optional_id(row, "holder", ClaimId::from_uuid)?,
            holder_epoch: count(row, "holder_epoch")?,
        })
    }

    pub(super) const fn put_on(self, server: &mut Server) {
        server.version = self.version;
        server.holder = self.holder;
        server.holder_epoch = self.holder_epoch;
    }
}

/// Reads a record; where the body is older than the fence columns, the columns are right.
pub(super) fn server(row: &PgRow) -> Result<Server, Failure> {
    let mut server: Server = json(row, "body")?;
    server.stamp = id(row, "stamp", ChangeId::from_uuid)?;
    Fence::of(row)?.put_on(&mut server);
    Ok(server)
}

/// Reads a record with all that a decision may look at; an account that cannot be read is left out.
pub(super) fn loaded(row: &PgRow, unread: &UnreadAccounts) -> Result<Loaded, Failure> {
    let (sightings, accounts) = (json(row, "sightings")?, unread.leave_out(json(row, "accounts")?));
    Ok(Loaded { server: server(row)?, sightings, accounts, now: time(row, "now")? })
}

pub(super) fn recorded_ref(row: &PgRow) -> Result<RecordedRef, Failure> {
    let server = id(row, "id", ServerId::from_uuid)?;
    let (state, desired) = unclear::standing(server, word(row, "state"), word(row, "desired"));
    Ok(RecordedRef {
        server,
        tenant: word(row, "tenant")?,
        state,
        desired,
        account: optional_word(row, "account")?,
        id: optional_word(row, "provider_id")?,
        open: row.try_get("open")?,
        removing: optional_word(row, "removing_id")?,
        provider_name: word(row, "provider_name")?,
        create_hash: word(row, "create_hash")?,
    })
}

pub(super) fn stalled(row: &PgRow) -> Result<Stalled, Failure> {
    Ok(Stalled {
        server: id(row, "id", ServerId::from_uuid)?,
        tenant: word(row, "tenant")?,
        wake_at: time(row, "wake_at")?,
    })
}

pub(super) fn operation(row: &PgRow) -> Result<Operation, Failure> {
    let mut operation = Operation::pending(
        id(row, "id", OperationId::from_uuid)?,
        word(row, "tenant")?,
        id(row, "server", ServerId::from_uuid)?,
        word(row, "verb")?,
    );
    operation.status = word(row, "status")?;
    operation.code = row.try_get("code")?;
    operation.request_id = optional_word(row, "request_id")?;
    operation.created_at = time(row, "created_at")?;
    operation.updated_at = time(row, "updated_at")?;
    Ok(operation)
}

pub(super) fn key_record(row: &PgRow) -> Result<KeyRecord, Failure> {
    Ok(KeyRecord {
        key: word(row, "key")?,
        fingerprint: Fingerprint::from_stored(row.try_get::<String, _>("fingerprint")?),
        operation: id(row, "operation", OperationId::from_uuid)?,
        server: id(row, "server", ServerId::from_uuid)?,
    })
}

pub(super) fn sighting(row: &PgRow) -> Result<Sighting, Failure> {
    Ok(Sighting {
        key: SightingKey { account: word(row, "account")?, id: word(row, "provider_id")? },
        server: optional_id(row, "server", ServerId::from_uuid)?,
        class: word(row, "class")?,
        first_seen: time(row, "first_seen")?,
        last_seen: time(row, "last_seen")?,
        count: count(row, "count")?,
        ripe: row.try_get("ripe")?,
    })
}

pub(super) fn account(row: &PgRow, id: &AccountId) -> Result<Account, Failure> {
    unread_accounts::read(id.as_str(), row.try_get("body")?).map_err(Failure::corrupt)
}

pub(super) fn chain_head(row: &PgRow) -> Result<ChainHead, Failure> {
    Ok(ChainHead::new(count(row, "sequence")?, ChainHash::from_stored(row.try_get::<String, _>("hash")?)))
}

pub(super) fn sealed_record(row: &PgRow) -> Result<SealedRecord, Failure> {
    let hash = ChainHash::from_stored(row.try_get::<String, _>("hash")?);
    Ok(SealedRecord::new(count(row, "sequence")?, hash, row.try_get("body")?))
}

pub(super) fn store_stats(row: &PgRow) -> Result<StoreStats, Failure> {
    Ok(StoreStats {
        unsealed: count(row, "unsealed")?,
        parked: count(row, "parked")?,
        next_wake: optional_time(row, "next_wake")?,
        oldest_removal: oldest_removal(row)?,
        sightings: json::<BTreeMap<_, _>>(row, "sightings")?,
        accounts: accounts(row)?,
    })
}

fn oldest_removal(row: &PgRow) -> Result<Option<Duration>, Failure> {
    let now = time(row, "now")?;
    Ok(optional_time(row, "oldest_removal")?.map(|since| now.since(since)))
}

/// Reads the accounts that are needed; what is no name of one is in a damaged record alone, and hides no other.
fn accounts(row: &PgRow) -> Result<BTreeSet<AccountId>, Failure> {
    let names: Vec<serde_json::Value> = json(row, "accounts")?;
    Ok(names.into_iter().filter_map(|name| serde_json::from_value(name).ok()).collect())
}

macro_rules! job_columns {
    ($columns:ident: $($name:ident)+) => {
        /// Holds the places of the columns of a job: rows of one answer have the same, so that a name is looked up once and not
        /// for each row.
        #[derive(Debug)]
        struct $columns {
            $($name: usize,)+
        }

        impl $columns {
            fn of(row: &PgRow) -> Result<Self, Failure> {
                Ok(Self { $($name: row.try_column(stringify!($name))?.ordinal(),)+ })
            }
        }
    };
}

job_columns! {
    JobColumns:
    id key kind payload tenant request_id trace_parent due attempts snoozes rescues max_attempts epoch lease_until last_error
}

job_columns! {
    StandingColumns: state claim
}

impl JobColumns {
    /// Reads a job, but for whether it is leased and to whom.
    fn job(&self, row: &PgRow) -> Result<Job, Failure> {
        let payload = Payload::from_text(row.try_get::<String, _>(self.payload)?).map_err(Failure::corrupt)?;
        let id = id(row, self.id, JobId::from_uuid)?;
        // The constructor takes a request; every field that a request does not have is set below.
        let request = NewJob::new(id, word(row, self.key)?, word(row, self.kind)?, payload);
        let mut job = Job::waiting(request, time(row, self.due)?);
        job.tenant = optional_word(row, self.tenant)?;
        job.request_id = hint(row, self.request_id, id);
        job.trace_parent = hint(row, self.trace_parent, id);
        job.counts.attempts = small(row, self.attempts)?;
        job.counts.snoozes = small(row, self.snoozes)?;
        job.counts.rescues = small(row, self.rescues)?;
        job.max_attempts = small(row, self.max_attempts)?;
        job.epoch = count(row, self.epoch)?;
        job.lease_until = optional_time(row, self.lease_until)?;
        job.last_error = row.try_get(self.last_error)?;
        Ok(job)
    }
}

impl StandingColumns {
    fn put_on(&self, row: &PgRow, job: &mut Job) -> Result<(), Failure> {
        job.state = state(row, self.state)?;
        job.claim = optional_id(row, self.claim, ClaimId::from_uuid)?;
        Ok(())
    }
}

/// Reads jobs, each by itself: one that cannot be read does not hide the others.
pub(super) fn jobs(rows: &[PgRow]) -> Result<impl Iterator<Item = Result<Job, Failure>>, Failure> {
    let standing = rows.first().map(StandingColumns::of).transpose()?;
    let whole = move |(row, job): (&PgRow, Result<Job, Failure>)| {
        let mut job = job?;
        standing.as_ref().map_or(Ok(()), |columns| columns.put_on(row, &mut job))?;
        Ok(job)
    };
    Ok(rows.iter().zip(read(rows)?).map(whole))
}

/// Reads the jobs that a claim has got, each by itself.
pub(super) fn claimed(rows: &[PgRow], claim: ClaimId) -> Result<impl Iterator<Item = Result<Job, Failure>>, Failure> {
    let leased = move |mut job: Job| {
        (job.state, job.claim) = (JobState::Leased, Some(claim));
        job
    };
    Ok(read(rows)?.map(move |job| job.map(leased)))
}

fn read(rows: &[PgRow]) -> Result<impl Iterator<Item = Result<Job, Failure>>, Failure> {
    let columns = rows.first().map(JobColumns::of).transpose()?;
    // Without a row there are no columns, and nothing to read.
    Ok(columns.into_iter().flat_map(move |columns| rows.iter().map(move |row| columns.job(row))))
}

pub(super) fn queue_stats(row: &PgRow) -> Result<QueueStats, Failure> {
    let now = time(row, "now")?;
    let oldest = optional_time(row, "oldest_due")?.map(|due| now.since(due));
    Ok(QueueStats::new(count(row, "due")?, count(row, "later")?, count(row, "leased")?, count(row, "dead")?, oldest))
}
