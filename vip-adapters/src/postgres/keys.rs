//! Looks for idempotency keys: what several callers ask at one moment is one statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;
use vip_core::model::{IdempotencyKey, TenantId};
use vip_core::ports::KeyRecord;
use vip_core::telemetry;

use super::error::Failure;
use super::gather::{Shared as Outcome, Turn};
use super::queries::{Queries, Query};
use super::rows;
use super::session::Sessions;

/// Is a key, and whose it is.
pub(super) type Wanted = (TenantId, IdempotencyKey);

/// Asks for keys.
pub(super) fn query(queries: &Queries, wanted: &[Wanted]) -> Query {
    let query = queries.key_find.query();
    query
        .bind(wanted.iter().map(|(tenant, _)| tenant.to_string()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, key)| key.to_string()).collect::<Vec<_>>())
}

/// Looks for one.
pub(super) async fn find(sessions: &Sessions, wanted: Wanted) -> Result<Option<KeyRecord>, Failure> {
    let wanted = [wanted];
    let row = sessions.row(|queries| query(queries, &wanted)).await?;
    row.as_ref().map(rows::key_record).transpose()
}

/// Looks for all who wait, until nobody does. Whoever it does not help looks alone.
pub(super) async fn find_for_all(sessions: Arc<Sessions>, mut turn: Turn<Wanted, Option<KeyRecord>>) {
    loop {
        let waiting = turn.take();
        if waiting.is_empty() {
            return;
        }
        let wanted: Vec<Wanted> = waiting.iter().map(|one| one.item.clone()).collect();
        // Ended early, so that whoever it does not help has the most of its time left.
        let found = sessions.read(&|queries: &Queries| query(queries, &wanted), sessions.early_deadline()).await;
        let mut found = found.and_then(|found| found.iter().map(placed).collect::<Result<BTreeMap<_, _>, Failure>>());
        for (place, one) in (1_i64..).zip(waiting) {
            let outcome = match &mut found {
                Ok(found) => match found.remove(&place).transpose() {
                    Ok(record) => Outcome::Answer(record),
                    Err(failure) => Outcome::Alone(failure),
                },
                Err(failure) => Outcome::Alone(failure.clone()),
            };
            if one.answer.send(outcome).is_err() {
                telemetry::tell(|| tracing::debug!("the caller of a call that was answered went away"));
            }
        }
        // Those who come in this moment go along with the next one.
        tokio::task::yield_now().await;
    }
}

/// Reads whose key a row is; a record that cannot be read is the trouble of its own caller.
fn placed(row: &PgRow) -> Result<(i64, Result<KeyRecord, Failure>), Failure> {
    Ok((row.try_get("place")?, rows::key_record(row)))
}
