//! What keeps the store in order: sealing, trimming, sightings, accounts, deliveries and the installation's id.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row;
use vip_core::model::{
    Account, AccountId, Addresses, ChainHead, InstallationId, Server, Sighting, TenantId, Timestamp, seal_hash,
};
use vip_core::ports::{Retention, SealReport, SinkName, Trimmed};

use super::error::{Failure, Obstacle, Refusal};
use super::rows::{self, integer, to_json, word};
use super::transaction::WriteTransaction;
use super::writer::Write;

/// Gives unsealed records their place.
#[derive(Debug)]
pub(super) struct Seal(pub(super) u32);

#[async_trait]
impl Write for Seal {
    type Answer = SealReport;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<SealReport, Failure> {
        let queries = transaction.queries();
        // One more than wanted, to see whether there are more.
        let rows = transaction.rows(queries.audit_unsealed.query().bind(i64::from(self.0) + 1)).await?;
        let most = usize::try_from(self.0).unwrap_or(usize::MAX);
        let mut chains: BTreeMap<TenantId, Chain> = BTreeMap::new();
        let mut sealed = 0;
        for row in rows.iter().take(most) {
            let tenant: TenantId = word(row, "tenant")?;
            let chain = match chains.entry(tenant) {
                std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let chain = open_chain(transaction, place.key()).await?;
                    place.insert(chain)
                }
            };
            let sequence = chain.head.sequence.saturating_add(1);
            let hash = seal_hash(&chain.head.hash, sequence, row.try_get("body")?);
            let query = queries.audit_seal.query().bind(row.try_get::<i64, _>("position")?);
            let query = query.bind(integer(sequence)).bind(hash.as_str().to_owned());
            if transaction.execute(query).await? != 1 {
                return Err(Failure::corrupt(Obstacle::Head));
            }
            chain.head = ChainHead::new(sequence, hash);
            sealed += 1;
        }
        for (tenant, chain) in &chains {
            chain.move_head(transaction, tenant).await?;
        }
        Ok(SealReport { sealed, more: rows.len() > most })
    }
}

/// Is the end of a tenant's chain while records are added to it.
struct Chain {
    before: u64,
    head: ChainHead,
}

async fn open_chain(transaction: &mut WriteTransaction<'_>, tenant: &TenantId) -> Result<Chain, Failure> {
    let queries = transaction.queries();
    let empty = ChainHead::empty(tenant);
    let open = queries.audit_head_open.query().bind(tenant.to_string()).bind(empty.hash.as_str().to_owned());
    transaction.execute(open).await?;
    let row = transaction.row(queries.audit_head.query().bind(tenant.to_string())).await?;
    let head = rows::chain_head(&row.ok_or_else(|| Failure::corrupt(Obstacle::Head))?)?;
    Ok(Chain { before: head.sequence, head })
}

impl Chain {
    async fn move_head(&self, transaction: &mut WriteTransaction<'_>, tenant: &TenantId) -> Result<(), Failure> {
        let query = transaction.queries().audit_head_move.query().bind(tenant.to_string());
        let query =
            query.bind(integer(self.head.sequence)).bind(self.head.hash.as_str().to_owned()).bind(integer(self.before));
        match transaction.execute(query).await? {
            0 => Err(Failure::corrupt(Obstacle::Head)),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Write for Retention {
    type Answer = Trimmed;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Trimmed, Failure> {
        let queries = transaction.queries();
        let now: Timestamp = transaction.now();
        let (keys_before, records_before) = (now.minus(self.keys).as_micros(), now.minus(self.records).as_micros());
        let keys = transaction.execute(queries.key_trim.query().bind(keys_before).bind(self.most)).await?;
        let operations = queries.operation_trim.query().bind(records_before).bind(self.most);
        let operations = transaction.execute(operations).await?;
        let mut records = 0;
        let rows = transaction.rows(queries.server_to_trim.query().bind(records_before).bind(self.most)).await?;
        for row in &rows {
            let mut server = rows::server(row)?;
            to_tombstone(&mut server);
            let query = queries.server_trim.query().bind(server.id.to_string());
            let query = query.bind(to_json(&server)?).bind(server.stamp.to_string());
            records += transaction.execute(query).await?;
        }
        Ok(Trimmed { keys, operations, records })
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
