//! How rows become values of the model, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use vip_core::model::{
    Account, AccountId, ChainHash, ChainHead, Desired, Fingerprint, Job, JobId, JobKind, NewJob, Operation, Payload,
    SealedRecord, Server, Sighting, SightingKey, Timestamp,
};
use vip_core::ports::{KeyRecord, Loaded, QueueStats, RecordedRef, Stalled, StoreStats};

use crate::unclear;
use crate::unread_accounts::{self, UnreadAccounts};
use crate::unreadable;

use super::error::Failure;

/// Reads a column of text as any value whose JSON is a string: ids, names, states.
pub(super) fn word<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, Failure> {
    let text: String = row.try_get(column)?;
    parse(text)
}

fn optional_word<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<Option<T>, Failure> {
    row.try_get::<Option<String>, _>(column)?.map(parse).transpose()
}

/// Reads a column that is a hint: one that this program cannot read is none, and costs no job.
fn hint<T: DeserializeOwned>(row: &SqliteRow, column: &str, job: JobId) -> Option<T> {
    let Ok(hint) = optional_word(row, column) else {
        unreadable::report_hint(job);
        return None;
    };
    hint
}

fn parse<T: DeserializeOwned>(text: String) -> Result<T, Failure> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(Failure::corrupt)
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, Failure> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(Failure::corrupt)
}

/// Writes a value as JSON.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::corrupt)
}

/// Reads a column of time.
pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_micros(row.try_get(column)?))
}

fn optional_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, Failure> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
}

/// Reads a column that counts.
pub(super) fn count<T: TryFrom<i64, Error: std::error::Error + Send + Sync + 'static>>(
    row: &SqliteRow,
    column: &str,
) -> Result<T, Failure> {
    T::try_from(row.try_get::<i64, _>(column)?).map_err(Failure::corrupt)
}

/// Writes a number that counts; SQLite's integers end where no count will ever come.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a duration from now as a time.
pub(super) fn after(now: Timestamp, delay: Duration) -> i64 {
    now.plus(delay).as_micros()
}

/// Writes kinds as the JSON array that the statements take.
pub(super) fn kinds(kinds: &[JobKind]) -> Result<String, Failure> {
    to_json(&kinds)
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
    holder: Option<vip_core::model::ClaimId>,
    holder_epoch: u64,
}

impl Fence {
    pub(super) fn of(row: &SqliteRow) -> Result<Self, Failure> {
        Ok(Self {
            version: count(row, "version")?,
            holder: optional_word(row, "holder")?,
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
pub(super) fn server(row: &SqliteRow) -> Result<Server, Failure> {
    let mut server: Server = json(row, "body")?;
    server.stamp = word(row, "stamp")?;
    Fence::of(row)?.put_on(&mut server);
    Ok(server)
}

/// Reads a record with all that a decision may look at; an account that cannot be read is left out.
pub(super) fn loaded(row: &SqliteRow, unread: &UnreadAccounts, now: Timestamp) -> Result<Loaded, Failure> {
    // Bytes, because one damaged account is no reason that none can be read.
    let accounts: Vec<u8> = row.try_get("accounts")?;
    let accounts = serde_json::from_str(&String::from_utf8_lossy(&accounts)).map_err(Failure::corrupt)?;
    let accounts = unread.leave_out(accounts);
    Ok(Loaded { server: server(row)?, sightings: json(row, "sightings")?, accounts, now })
}

pub(super) fn recorded_ref(row: &SqliteRow) -> Result<RecordedRef, Failure> {
    let server = word(row, "id")?;
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

pub(super) fn stalled(row: &SqliteRow) -> Result<Stalled, Failure> {
    Ok(Stalled { server: word(row, "id")?, tenant: word(row, "tenant")?, wake_at: time(row, "wake_at")? })
}

pub(super) fn operation(row: &SqliteRow) -> Result<Operation, Failure> {
    let mut operation =
        Operation::pending(word(row, "id")?, word(row, "tenant")?, word(row, "server")?, word(row, "verb")?);
    operation.status = word(row, "status")?;
    operation.code = row.try_get("code")?;
    operation.request_id = optional_word(row, "request_id")?;
    operation.created_at = time(row, "created_at")?;
    operation.updated_at = time(row, "updated_at")?;
    Ok(operation)
}

pub(super) fn key_record(row: &SqliteRow) -> Result<KeyRecord, Failure> {
    Ok(KeyRecord {
        key: word(row, "key")?,
        fingerprint: Fingerprint::from_stored(row.try_get::<String, _>("fingerprint")?),
        operation: word(row, "operation")?,
        server: word(row, "server")?,
    })
}

pub(super) fn sighting(row: &SqliteRow) -> Result<Sighting, Failure> {
    Ok(Sighting {
        key: SightingKey { account: word(row, "account")?, id: word(row, "provider_id")? },
        server: optional_word(row, "server")?,
        class: word(row, "class")?,
        first_seen: time(row, "first_seen")?,
        last_seen: time(row, "last_seen")?,
        count: count(row, "count")?,
        ripe: row.try_get("ripe")?,
    })
}

pub(super) fn account(row: &SqliteRow, id: &AccountId) -> Result<Account, Failure> {
    unread_accounts::read(id.as_str(), row.try_get("body")?).map_err(Failure::corrupt)
}

pub(super) fn chain_head(row: &SqliteRow) -> Result<ChainHead, Failure> {
    Ok(ChainHead::new(count(row, "sequence")?, ChainHash::from_stored(row.try_get::<String, _>("hash")?)))
}

pub(super) fn sealed_record(row: &SqliteRow) -> Result<SealedRecord, Failure> {
    let hash = ChainHash::from_stored(row.try_get::<String, _>("hash")?);
    Ok(SealedRecord::new(count(row, "sequence")?, hash, row.try_get("body")?))
}

pub(super) fn store_stats(row: &SqliteRow, now: Timestamp) -> Result<StoreStats, Failure> {
    Ok(StoreStats {
        unsealed: count(row, "unsealed")?,
        parked: count(row, "parked")?,
        next_wake: optional_time(row, "next_wake")?,
        oldest_removal: optional_time(row, "oldest_removal")?.map(|since| now.since(since)),
        sightings: json::<BTreeMap<_, _>>(row, "sightings")?,
        accounts: accounts(row)?,
    })
}

/// Reads the accounts that are needed; what is no name of one is in a damaged record alone, and hides no other.
fn accounts(row: &SqliteRow) -> Result<BTreeSet<AccountId>, Failure> {
    let names: Vec<serde_json::Value> = json(row, "accounts")?;
    Ok(names.into_iter().filter_map(|name| serde_json::from_value(name).ok()).collect())
}

pub(super) fn job(row: &SqliteRow) -> Result<Job, Failure> {
    let payload = Payload::from_text(row.try_get::<String, _>("payload")?).map_err(Failure::corrupt)?;
    let id = word(row, "id")?;
    // The constructor takes a request; every field that a request does not have is set below.
    let request = NewJob::new(id, word(row, "key")?, word(row, "kind")?, payload);
    let mut job = Job::waiting(request, time(row, "due")?);
    job.tenant = optional_word(row, "tenant")?;
    job.request_id = hint(row, "request_id", id);
    job.trace_parent = hint(row, "trace_parent", id);
    job.state = word(row, "state")?;
    job.counts.attempts = count(row, "attempts")?;
    job.counts.snoozes = count(row, "snoozes")?;
    job.counts.rescues = count(row, "rescues")?;
    job.max_attempts = count(row, "max_attempts")?;
    job.claim = optional_word(row, "claim")?;
    job.epoch = count(row, "epoch")?;
    job.lease_until = optional_time(row, "lease_until")?;
    job.last_error = row.try_get("last_error")?;
    Ok(job)
}

pub(super) fn queue_stats(row: &SqliteRow, now: Timestamp) -> Result<QueueStats, Failure> {
    let oldest = optional_time(row, "oldest_due")?.map(|due| now.since(due));
    Ok(QueueStats::new(count(row, "due")?, count(row, "later")?, count(row, "leased")?, count(row, "dead")?, oldest))
}
