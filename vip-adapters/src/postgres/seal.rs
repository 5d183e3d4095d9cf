//! Sealing: gives committed audit records their place in the chain of their tenant, many at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use vip_core::model::{ChainHead, TenantId, seal_hash};
use vip_core::ports::SealReport;

use super::error::{Failure, Obstacle};
use super::rows::{self, integer, word};
use super::session::Write;
use super::transaction::Transaction;

/// Gives unsealed records their place; writers of new records do not wait for it.
#[derive(Debug)]
pub(super) struct Seal(pub(super) u32);

/// Is the end of a tenant's chain while records are added to it.
struct Chain {
    before: u64,
    head: ChainHead,
}

/// Is what one statement writes: where each record stands now.
#[derive(Default)]
struct Places {
    positions: Vec<i64>,
    sequences: Vec<i64>,
    hashes: Vec<String>,
}

#[async_trait]
impl Write for Seal {
    type Answer = SealReport;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<SealReport, Failure> {
        let queries = transaction.queries();
        transaction.rows(queries.audit_turn.query()).await?;
        // One more than wanted, to see whether there are more.
        let rows = transaction.rows(queries.audit_unsealed.query().bind(i64::from(self.0) + 1)).await?;
        let most = usize::try_from(self.0).unwrap_or(usize::MAX);
        let more = rows.len() > most;
        let rows = rows.get(..most).unwrap_or(&rows);
        if rows.is_empty() {
            return Ok(SealReport { sealed: 0, more });
        }
        let mut chains = open_chains(transaction, rows).await?;
        let places = place(rows, &mut chains)?;
        let sealed = u32::try_from(rows.len()).map_err(Failure::corrupt)?;
        let query = queries.audit_seal.query().bind(places.positions).bind(places.sequences).bind(places.hashes);
        if transaction.execute(query).await? != u64::from(sealed) {
            return Err(Failure::corrupt(Obstacle::Head));
        }
        move_heads(transaction, &chains).await?;
        Ok(SealReport { sealed, more })
    }
}

async fn open_chains(transaction: &mut Transaction<'_>, rows: &[PgRow]) -> Result<BTreeMap<TenantId, Chain>, Failure> {
    let queries = transaction.queries();
    let mut tenants = rows.iter().map(|row| word(row, "tenant")).collect::<Result<Vec<TenantId>, Failure>>()?;
    tenants.sort();
    tenants.dedup();
    let names: Vec<String> = tenants.iter().map(ToString::to_string).collect();
    let empty = tenants.iter().map(|tenant| ChainHead::empty(tenant).hash.as_str().to_owned()).collect::<Vec<_>>();
    transaction.execute(queries.audit_heads_open.query().bind(names.clone()).bind(empty)).await?;
    let mut chains = BTreeMap::new();
    for row in transaction.rows(queries.audit_heads.query().bind(names)).await? {
        let head = rows::chain_head(&row)?;
        chains.insert(word(&row, "tenant")?, Chain { before: head.sequence, head });
    }
    Ok(chains)
}

/// Numbers the records in the order of their positions, which is that of the versions of each server.
fn place(rows: &[PgRow], chains: &mut BTreeMap<TenantId, Chain>) -> Result<Places, Failure> {
    let mut places = Places::default();
    for row in rows {
        let tenant: TenantId = word(row, "tenant")?;
        let chain = chains.get_mut(&tenant).ok_or_else(|| Failure::corrupt(Obstacle::Head))?;
        let sequence = chain.head.sequence.saturating_add(1);
        let hash = seal_hash(&chain.head.hash, sequence, row.try_get("body")?);
        places.positions.push(row.try_get("position")?);
        places.sequences.push(integer(sequence));
        places.hashes.push(hash.as_str().to_owned());
        chain.head = ChainHead::new(sequence, hash);
    }
    Ok(places)
}

async fn move_heads(transaction: &mut Transaction<'_>, chains: &BTreeMap<TenantId, Chain>) -> Result<(), Failure> {
    let query = transaction.queries().audit_heads_move.query();
    let query = query
        .bind(chains.keys().map(ToString::to_string).collect::<Vec<_>>())
        .bind(chains.values().map(|chain| integer(chain.head.sequence)).collect::<Vec<_>>())
        .bind(chains.values().map(|chain| chain.head.hash.as_str().to_owned()).collect::<Vec<_>>())
        .bind(chains.values().map(|chain| integer(chain.before)).collect::<Vec<_>>());
    let moved = transaction.execute(query).await?;
    if usize::try_from(moved).ok() == Some(chains.len()) { Ok(()) } else { Err(Failure::corrupt(Obstacle::Head)) }
}
