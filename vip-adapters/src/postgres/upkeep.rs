//! What keeps the store in order: trimming, sightings, accounts, deliveries and the installation's id.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row;
use uuid::Uuid;
use vip_core::model::{Account, AccountId, Addresses, InstallationId, Server, Sighting, TenantId};
use vip_core::ports::{Retention, SinkName};

use crate::untrimmed::Untrimmed;

use super::error::{Failure, Refusal};
use super::rows::{self, integer, to_json};
use super::session::{Repeat, Write};
use super::transaction::Transaction;

/// Forgets the keys of records that ended long enough ago.
#[derive(Debug)]
pub(super) struct TrimKeys(pub(super) Retention);

#[async_trait]
impl Write for TrimKeys {
    type Answer = u64;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
        let queries = transaction.queries();
        let before = self.0.keys_until(transaction.now()).as_micros();
        let ended = queries.key_servers.query().bind(before).bind(i64::from(self.0.most));
        let ended = transaction.rows(ended).await?;
        if ended.is_empty() {
            return Ok(0);
        }
        // In the order of their ids, in which the rows are locked: two that trim at once never wait in a circle.
        let ended = ended.iter().map(|row| -> Result<(Uuid, Uuid), Failure> {
            Ok((row.try_get::<Uuid, _>("id")?, row.try_get::<Uuid, _>("stamp")?))
        });
        let ended = ended.collect::<Result<BTreeMap<Uuid, Uuid>, Failure>>()?;
        let (ids, stamps): (Vec<Uuid>, Vec<Uuid>) = ended.into_iter().unzip();
        let trim = queries.key_trim.query().bind(ids.clone()).bind(i64::from(self.0.most));
        let keys = transaction.execute(trim).await?;
        transaction.execute(queries.key_trimmed.query().bind(ids).bind(stamps)).await?;
        Ok(keys)
    }
}

/// Forgets the operations of records that ended long enough ago.
#[derive(Debug)]
pub(super) struct TrimOperations(pub(super) Retention);

#[async_trait]
impl Write for TrimOperations {
    type Answer = u64;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
        let before = self.0.records_until(transaction.now()).as_micros();
        let trim = transaction.queries().operation_trim.query().bind(before).bind(i64::from(self.0.most));
        transaction.execute(trim).await
    }
}

/// Forgets all but the tombstone of records that ended long enough ago.
#[derive(Debug)]
pub(super) struct TrimRecords(pub(super) Retention);

#[async_trait]
impl Write for TrimRecords {
    type Answer = u64;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
        let before = self.0.records_until(transaction.now()).as_micros();
        let most = usize::try_from(self.0.most).unwrap_or(usize::MAX);
        let tombstones = tombstones(transaction, before, most).await?;
        if tombstones.is_empty() {
            return Ok(0);
        }
        let bodies = tombstones.values().map(to_json).collect::<Result<Vec<String>, Failure>>()?;
        let trim = transaction.queries().server_trim.query();
        let trim = trim.bind(tombstones.keys().copied().collect::<Vec<_>>()).bind(bodies);
        let trim = trim.bind(tombstones.values().map(|server| server.stamp.as_uuid()).collect::<Vec<_>>());
        transaction.execute(trim).await
    }
}

/// Reads records that ended until then, and makes their tombstones; one that cannot be read is told, and holds up none behind it.
/// In the order of their ids, in which the rows are locked: two that trim at once never wait in a circle.
async fn tombstones(
    transaction: &mut Transaction<'_>,
    before: i64,
    most: usize,
) -> Result<BTreeMap<Uuid, Server>, Failure> {
    let (mut tombstones, mut seen, mut untrimmed) = (BTreeMap::new(), Vec::new(), Untrimmed::new());
    loop {
        let wanted = most.saturating_sub(tombstones.len());
        let query = transaction.queries().server_to_trim.query().bind(before);
        let query = query.bind(i64::try_from(wanted).unwrap_or(i64::MAX)).bind(seen.clone());
        let rows = transaction.rows(query).await?;
        for row in &rows {
            let id: Uuid = row.try_get("id")?;
            seen.push(id);
            match rows::server(row) {
                Ok(mut server) => {
                    to_tombstone(&mut server);
                    tombstones.insert(id, server);
                }
                Err(failure @ Failure::Corrupt(_)) => untrimmed.pass(id, failure),
                Err(failure) => return Err(failure),
            }
        }
        // Those that cannot be read stood in the places of others.
        if rows.len() < wanted || tombstones.len() >= most || untrimmed.are_too_many() {
            untrimmed.tell();
            return Ok(tombstones);
        }
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

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        let queries = transaction.queries();
        transaction.rows(queries.sighting_turn.query().bind(self.account.to_string())).await?;
        transaction.execute(queries.sighting_clear.query().bind(self.account.to_string())).await?;
        let insert = queries.sighting_insert.query().bind(self.account.to_string()).bind(to_json(&self.sightings)?);
        transaction.execute(insert).await.map(drop)
    }
}

#[async_trait]
impl Write for Account {
    type Answer = ();
    // A second one would be refused, because the first has raised the version.
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        let queries = transaction.queries();
        let written = Self { version: self.version.saturating_add(1), ..self.clone() };
        let statement = if self.version == 0 { &queries.account_insert } else { &queries.account_update };
        let mut query = statement.query().bind(self.id.to_string()).bind(to_json(&written)?);
        if self.version != 0 {
            query = query.bind(integer(self.version));
        }
        match transaction.execute(query).await? {
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

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        let now = transaction.now().as_micros();
        let query = transaction.queries().audit_delivered.query().bind(self.sink.as_str().to_owned());
        let query = query.bind(self.tenant.to_string()).bind(integer(self.sequence)).bind(now);
        transaction.execute(query).await.map(drop)
    }
}

/// How far the epochs have to lie behind to be raised: a second's worth of numbers.
const EPOCH_ROOM: i64 = 1_000_000;

/// Raises the epochs to a number that they lie behind by more than [`EPOCH_ROOM`]; says whether they do.
async fn raise_epochs(transaction: &mut Transaction<'_>, to: i64) -> Result<bool, Failure> {
    let queries = transaction.queries();
    transaction.rows(queries.epoch_turn.query()).await?;
    Ok(transaction.row(queries.epoch_raise.query().bind(to).bind(EPOCH_ROOM)).await?.is_some())
}

/// Lets the epochs of later claims be higher than a number; says whether they were not.
#[derive(Debug)]
pub(super) struct RaiseEpochs(pub(super) u64);

#[async_trait]
impl Write for RaiseEpochs {
    type Answer = bool;
    // A second one would say that they were.
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<bool, Failure> {
        // Above the number by what has to be left free, so that they are raised as soon as they lie behind the number itself.
        raise_epochs(transaction, integer(self.0).saturating_add(EPOCH_ROOM)).await
    }
}

/// Gives a new database its installation id and raises the epochs to the clock; an old one keeps its id.
#[derive(Debug)]
pub(super) struct Install(pub(super) InstallationId);

#[async_trait]
impl Write for Install {
    type Answer = ();

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        let now = transaction.now().as_micros();
        let queries = transaction.queries();
        transaction.execute(queries.installation_insert.query().bind(self.0.as_uuid()).bind(now)).await?;
        raise_epochs(transaction, now).await.map(drop)
    }
}
