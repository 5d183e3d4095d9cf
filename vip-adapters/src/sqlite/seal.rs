//! Sealing: gives committed audit records their place in the chain of their tenant, many at a time.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use vip_core::model::{ChainHead, TenantId, seal_hash};

use crate::broken_chains::Sealed;

use super::error::{Failure, Obstacle};
use super::rows::{self, integer, to_json, word};
use super::transaction::WriteTransaction;
use super::writer::Write;

/// Gives unsealed records their place.
#[derive(Debug)]
pub(super) struct Seal {
    /// How many, at most.
    pub(super) most: u32,
    /// Tenants whose records are passed over, as they stand in the file.
    pub(super) passed: BTreeSet<String>,
}

#[async_trait]
impl Write for Seal {
    type Answer = Sealed<Failure>;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Sealed<Failure>, Failure> {
        let mut done = Sealed::default();
        loop {
            let left = self.most.saturating_sub(done.report.sealed);
            // One more than wanted, to see whether there are more.
            let query = transaction.queries().audit_unsealed.query().bind(i64::from(left) + 1);
            let passed: Vec<&String> = self.passed.iter().chain(done.broken.keys()).collect();
            let rows = transaction.rows(query.bind(to_json(&passed)?)).await?;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            done.report.more = rows.len() > left;
            let known = done.broken.len();
            for (tenant, records) in by_tenant(rows.get(..left).unwrap_or(&rows))? {
                match go_on(transaction, &records).await {
                    Ok(sealed) => {
                        done.report.sealed = done.report.sealed.saturating_add(sealed);
                        done.sound.insert(tenant);
                    }
                    Err(failure @ Failure::Corrupt(_)) => drop(done.broken.insert(tenant, failure)),
                    Err(failure) => return Err(failure),
                }
            }
            // Those that were found just now stood in the places of others, who have theirs at once: the next round would meet
            // them again.
            if done.broken.len() == known {
                return Ok(done);
            }
        }
    }
}

/// Sorts records by their tenants; of each in the order of their positions, which is that of the versions of each server.
fn by_tenant(rows: &[SqliteRow]) -> Result<BTreeMap<String, Vec<&SqliteRow>>, Failure> {
    let mut sorted: BTreeMap<String, Vec<&SqliteRow>> = BTreeMap::new();
    for row in rows {
        sorted.entry(row.try_get("tenant")?).or_default().push(row);
    }
    Ok(sorted)
}

/// Adds records of one tenant to its chain: all of them, or none if the failure is one of what is stored.
async fn go_on(transaction: &mut WriteTransaction<'_>, records: &[&SqliteRow]) -> Result<u32, Failure> {
    transaction.part("SAVEPOINT vip_chain").await?;
    let had_changed = transaction.replace_changed(false);
    let added = add(transaction, records).await;
    let has_changed = transaction.replace_changed(had_changed);
    let end = match &added {
        Ok(_) => {
            transaction.replace_changed(had_changed || has_changed);
            "RELEASE vip_chain"
        }
        Err(Failure::Corrupt(_)) => "ROLLBACK TO vip_chain; RELEASE vip_chain",
        // The whole write is taken back.
        Err(Failure::Refused(_) | Failure::Unavailable(_) | Failure::Unknown(_)) => return added,
    };
    transaction.part(end).await?;
    added
}

async fn add(transaction: &mut WriteTransaction<'_>, records: &[&SqliteRow]) -> Result<u32, Failure> {
    let Some(first) = records.first() else { return Ok(0) };
    let tenant: TenantId = word(first, "tenant")?;
    let queries = transaction.queries();
    let mut head = open_chain(transaction, &tenant).await?;
    let before = head.sequence;
    for row in records {
        let sequence = head.sequence.saturating_add(1);
        let hash = seal_hash(&head.hash, sequence, row.try_get("body")?);
        let query = queries.audit_seal.query().bind(row.try_get::<i64, _>("position")?);
        let query = query.bind(integer(sequence)).bind(hash.as_str().to_owned());
        if transaction.execute(query).await? != 1 {
            return Err(Failure::corrupt(Obstacle::Head));
        }
        head = ChainHead::new(sequence, hash);
    }
    let query = queries.audit_head_move.query().bind(tenant.to_string());
    let query = query.bind(integer(head.sequence)).bind(head.hash.as_str().to_owned()).bind(integer(before));
    match transaction.execute(query).await? {
        0 => Err(Failure::corrupt(Obstacle::Head)),
        _ => u32::try_from(records.len()).map_err(Failure::corrupt),
    }
}

async fn open_chain(transaction: &mut WriteTransaction<'_>, tenant: &TenantId) -> Result<ChainHead, Failure> {
    let queries = transaction.queries();
    let empty = ChainHead::empty(tenant);
    let open = queries.audit_head_open.query().bind(tenant.to_string()).bind(empty.hash.as_str().to_owned());
    transaction.execute(open).await?;
    let row = transaction.row(queries.audit_head.query().bind(tenant.to_string())).await?;
    rows::chain_head(&row.ok_or_else(|| Failure::corrupt(Obstacle::Head))?)
}
