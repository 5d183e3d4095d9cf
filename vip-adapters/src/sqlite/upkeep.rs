//! What keeps the store in order: trimming, sightings, accounts, deliveries and the installation's id.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use vip_core::model::{Account, AccountId, Addresses, InstallationId, Server, Sighting, TenantId};
use vip_core::ports::{Retention, SinkName};

use crate::untrimmed::Untrimmed;

use super::error::{Failure, Obstacle, Refusal};
use super::rows::{self, integer, to_json};
use super::transaction::WriteTransaction;
use super::writer::Write;

/// Forgets the keys of records that ended long enough ago.
#[derive(Debug)]
pub(super) struct TrimKeys(pub(super) Retention);

#[async_trait]
impl Write for TrimKeys {
    type Answer = u64;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, Failure> {
        let queries = transaction.queries();
        let before = self.0.keys_until(transaction.now()).as_micros();
        let ended = transaction.rows(queries.key_servers.query().bind(before).bind(self.0.most)).await?;
        if ended.is_empty() {
            return Ok(0);
        }
        let ended = ended.iter().map(|row| row.try_get::<String, _>("id"));
        let ids = to_json(&ended.collect::<Result<Vec<String>, sqlx::Error>>()?)?;
        let trim = queries.key_trim.query().bind(ids.clone()).bind(self.0.most);
        let keys = transaction.execute(trim).await?;
        transaction.execute(queries.key_trimmed.query().bind(ids)).await?;
        Ok(keys)
    }
}

/// Forgets the operations of records that ended long enough ago.
#[derive(Debug)]
pub(super) struct TrimOperations(pub(super) Retention);

#[async_trait]
impl Write for TrimOperations {
    type Answer = u64;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, Failure> {
        let before = self.0.records_until(transaction.now()).as_micros();
        let trim = transaction.queries().operation_trim.query().bind(before).bind(self.0.most);
        transaction.execute(trim).await
    }
}

/// Forgets all but the tombstone of records that ended long enough ago.
#[derive(Debug)]
pub(super) struct TrimRecords(pub(super) Retention);

#[async_trait]
impl Write for TrimRecords {
    type Answer = u64;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, Failure> {
        let before = self.0.records_until(transaction.now()).as_micros();
        trim_records(transaction, before, u64::from(self.0.most)).await
    }
}

/// Trims records that ended until then; one that cannot be read stays as it is, is told, and holds up none behind it.
async fn trim_records(transaction: &mut WriteTransaction<'_>, before: i64, most: u64) -> Result<u64, Failure> {
    let (mut records, mut untrimmed) = (0, Untrimmed::new());
    loop {
        let wanted = most.saturating_sub(records);
        let query = transaction.queries().server_to_trim.query().bind(before).bind(integer(wanted));
        let rows = transaction.rows(query.bind(untrimmed.count())).await?;
        for row in &rows {
            match trim_record(transaction, row).await {
                Ok(()) => records += 1,
                Err(failure @ Failure::Corrupt(_)) => untrimmed.pass(row.try_get::<String, _>("id")?, failure),
                Err(failure) => return Err(failure),
            }
        }
        let was_last = u64::try_from(rows.len()).is_ok_and(|found| found < wanted);
        if was_last || records >= most || untrimmed.are_too_many() {
            untrimmed.tell();
            return Ok(records);
        }
    }
}

async fn trim_record(transaction: &mut WriteTransaction<'_>, row: &SqliteRow) -> Result<(), Failure> {
    let mut server = rows::server(row)?;
    to_tombstone(&mut server);
    let query = transaction.queries().server_trim.query().bind(row.try_get::<String, _>("id")?);
    let query = query.bind(to_json(&server)?).bind(server.stamp.to_string());
    match transaction.execute(query).await? {
        0 => Err(Failure::corrupt(Obstacle::Untrimmed)),
        _ => Ok(()),
    }
}

/// Keeps id, tenant, state, reference, names, end and fence; the order's details are not needed for ever.
fn to_tombstone(server: &mut Server) {
    server.candidates.clear();
    server.spec.server_types.clear();
    server.spec.image.clear();
    server.spec.locations.clear();
    server.spec.ssh_keys.clear();
    server.spec.labels.clear();
    server.spec.user_data = None;
    server.actions.clear();
    server.addresses = Addresses::default();
}

/// Replaces the sightings of an account.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) account: AccountId,
    pub(super) sightings: Vec<Sighting>,
}

#[async_trait]
impl Write for Sight {
    type Answer = ();

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), Failure> {
        let queries = transaction.queries();
        transaction.execute(queries.sighting_clear.query().bind(self.account.to_string())).await?;
        let insert = queries.sighting_insert.query().bind(self.account.to_string()).bind(to_json(&self.sightings)?);
        transaction.execute(insert).await.map(drop)
    }
}

#[async_trait]
impl Write for Account {
    type Answer = ();

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), Failure> {
        let queries = transaction.queries();
        let written = Self { version: self.version.saturating_add(1), ..self.clone() };
        let statement = if self.version == 0 { &queries.account_insert } else { &queries.account_update };
        let query = statement.query().bind(self.id.to_string()).bind(to_json(&written)?);
        match transaction.execute(query.bind(integer(self.version))).await? {
            0 => Err(Failure::Refused(Refusal::Conflict)),
            _ => Ok(()),
        }
    }
}

/// Remembers how far a sink has come.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) sink: SinkName,
    pub(super) tenant: TenantId,
    pub(super) sequence: u64,
}

#[async_trait]
impl Write for Delivered {
    type Answer = ();

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), Failure> {
        let now = transaction.now().as_micros();
        let query = transaction.queries().audit_delivered.query().bind(self.sink.as_str().to_owned());
        let query = query.bind(self.tenant.to_string()).bind(integer(self.sequence)).bind(now);
        transaction.execute(query).await.map(drop)
    }
}

/// Gives a new file its installation id; an old one keeps its own.
#[derive(Debug)]
pub(super) struct Install(pub(super) InstallationId);

#[async_trait]
impl Write for Install {
    type Answer = ();

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), Failure> {
        let now = transaction.now().as_micros();
        let query = transaction.queries().installation_insert.query().bind(self.0.to_string()).bind(now);
        transaction.execute(query).await.map(drop)
    }
}
