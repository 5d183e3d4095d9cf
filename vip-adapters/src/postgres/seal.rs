//! Sealing: gives committed audit records their place in the chain of their tenant, many at a time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use vip_core::model::{ChainHead, TenantId, seal_hash};
use vip_core::ports::SealReport;

use crate::broken_chains::Sealed;

use super::error::{Failure, Obstacle};
use super::rows::{self, integer, word};
use super::session::Write;
use super::transaction::Transaction;

/// Most chains that one call goes on with one by one. Each takes six ways to the server and back, and the call has to end in
/// time also where that is 10 ms away.
const APART_MOST: u32 = 32;

/// Gives unsealed records their place; writers of new records do not wait for it.
#[derive(Debug, Clone)]
pub(super) struct Seal {
    /// How many, at most.
    pub(super) most: u32,
    /// Tenants whose records are passed over, as they stand in the table.
    pub(super) passed: Vec<String>,
    pub(super) way: Way,
}

/// Says how the chains of several tenants are gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// All of them by the same statements: if one is broken, nothing is sealed.
    Together,
    /// One by one: this finds those that are broken, and seals the others.
    Apart,
}

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

/// Is the records of one tenant in the order of their positions, which is that of the versions of each server.
struct OfTenant<'r> {
    tenant: String,
    records: Vec<&'r PgRow>,
}

#[async_trait]
impl Write for Seal {
    type Answer = Sealed<Failure>;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Sealed<Failure>, Failure> {
        transaction.rows(transaction.queries().audit_turn.query()).await?;
        match self.way {
            Way::Together => self.together(transaction).await,
            Way::Apart => self.apart(transaction).await,
        }
    }
}

impl Seal {
    async fn together(&self, transaction: &mut Transaction<'_>) -> Result<Sealed<Failure>, Failure> {
        let (rows, more) = unsealed(transaction, self.most, &self.passed).await?;
        let sealed = add(transaction, &rows.iter().collect::<Vec<_>>()).await?;
        let sound = by_tenant(&rows)?.into_iter().map(|one| one.tenant).collect();
        Ok(Sealed { report: SealReport { sealed, more }, sound, ..Sealed::default() })
    }

    async fn apart(&self, transaction: &mut Transaction<'_>) -> Result<Sealed<Failure>, Failure> {
        let (mut done, mut passed, mut chains) = (Sealed::default(), self.passed.clone(), 0);
        loop {
            let left = self.most.saturating_sub(done.report.sealed);
            let (rows, more) = unsealed(transaction, left, &passed).await?;
            done.report.more = more;
            let known = passed.len();
            for OfTenant { tenant, records } in by_tenant(&rows)? {
                if chains == APART_MOST {
                    done.report.more = true;
                    return Ok(done);
                }
                chains += 1;
                match go_on(transaction, &records).await {
                    Ok(sealed) => {
                        done.report.sealed = done.report.sealed.saturating_add(sealed);
                        done.sound.insert(tenant);
                    }
                    Err(failure @ Failure::Corrupt(_)) => {
                        passed.push(tenant.clone());
                        done.broken.insert(tenant, failure);
                    }
                    Err(failure) => return Err(failure),
                }
            }
            // Those that were found just now stood in the places of others, who have theirs at once: the next call would meet
            // them again.
            if passed.len() == known {
                return Ok(done);
            }
        }
    }
}

/// Reads unsealed records, at most so many; says whether there are more.
async fn unsealed(
    transaction: &mut Transaction<'_>,
    most: u32,
    passed: &[String],
) -> Result<(Vec<PgRow>, bool), Failure> {
    // One more than wanted, to see whether there are more.
    let query = transaction.queries().audit_unsealed.query().bind(i64::from(most) + 1).bind(passed.to_vec());
    let mut rows = transaction.rows(query).await?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let more = rows.len() > most;
    rows.truncate(most);
    Ok((rows, more))
}

/// Sorts records by their tenants, those first whose oldest record is the oldest: what is broken comes to the front, and what is
/// looked at one by one comes to an end however many tenants write meanwhile.
fn by_tenant(rows: &[PgRow]) -> Result<Vec<OfTenant<'_>>, Failure> {
    let mut sorted: Vec<OfTenant<'_>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let tenant: String = row.try_get("tenant")?;
        let place = *places.entry(tenant.clone()).or_insert(sorted.len());
        match sorted.get_mut(place) {
            Some(one) => one.records.push(row),
            None => sorted.push(OfTenant { tenant, records: vec![row] }),
        }
    }
    Ok(sorted)
}

/// Adds records of one tenant to its chain: all of them, or none if the failure is one of what is stored.
async fn go_on(transaction: &mut Transaction<'_>, records: &[&PgRow]) -> Result<u32, Failure> {
    transaction.part("SAVEPOINT vip_chain").await?;
    let added = add(transaction, records).await;
    let end = match &added {
        Ok(_) => "RELEASE SAVEPOINT vip_chain",
        Err(Failure::Corrupt(_)) => "ROLLBACK TO SAVEPOINT vip_chain; RELEASE SAVEPOINT vip_chain",
        // The whole write is taken back.
        Err(Failure::Refused(_) | Failure::Unavailable(_) | Failure::Lost(_) | Failure::Unknown(_)) => return added,
    };
    transaction.part(end).await?;
    added
}

/// Adds records to the chains of their tenants; returns how many.
async fn add(transaction: &mut Transaction<'_>, records: &[&PgRow]) -> Result<u32, Failure> {
    if records.is_empty() {
        return Ok(0);
    }
    let queries = transaction.queries();
    let mut chains = open_chains(transaction, records).await?;
    let places = place(records, &mut chains)?;
    let sealed = u32::try_from(records.len()).map_err(Failure::corrupt)?;
    let query = queries.audit_seal.query().bind(places.positions).bind(places.sequences).bind(places.hashes);
    if transaction.execute(query).await? != u64::from(sealed) {
        return Err(Failure::corrupt(Obstacle::Head));
    }
    move_heads(transaction, &chains).await?;
    Ok(sealed)
}

async fn open_chains(
    transaction: &mut Transaction<'_>,
    records: &[&PgRow],
) -> Result<BTreeMap<TenantId, Chain>, Failure> {
    let queries = transaction.queries();
    let mut tenants = records.iter().map(|row| word(row, "tenant")).collect::<Result<Vec<TenantId>, Failure>>()?;
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
fn place(records: &[&PgRow], chains: &mut BTreeMap<TenantId, Chain>) -> Result<Places, Failure> {
    let mut places = Places::default();
    for row in records {
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
