//! `Store` on PostgreSQL: reads are one statement, writes one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;
use vip_core::model::{
    Account, AccountId, ChainHead, IdempotencyKey, InstallationId, Operation, OperationId, Page, PageRequest,
    SealedRecord, Server, ServerId, Sighting, TenantId, Timestamp,
};
use vip_core::ports::{
    ChangeSet, Committed, Delivery, Durability, KeyRecord, Loaded, Note, RecordedRef, Retention, SealReport,
    ServerVersions, SinkName, Stalled, Store, StoreError, StoreStats, Trimmed,
};
use vip_core::telemetry;

use super::PostgresBackend;
use super::error::{Failure, Obstacle};
use super::orders::is_order;
use super::rows::{self, count, integer, word};
use super::seal::{Seal, Way};
use super::upkeep::{Delivered, Sight, TrimKeys, TrimOperations, TrimRecords};
use crate::unlisted;

/// Where counts end: whoever has this many of something has seen enough.
pub(super) const COUNTED_MOST: i64 = 100_000;

/// Cuts rows, of which one more than wanted was read, to a page; `read` has what they hold, in their order.
pub(super) fn page<T>(
    rows: &[PgRow],
    request: &PageRequest,
    read: impl Iterator<Item = Result<T, Failure>>,
    tell: impl Fn(Uuid, &Failure),
) -> Result<Page<T>, Failure> {
    let limit = usize::try_from(request.limit.items()).unwrap_or(usize::MAX);
    let ids = rows.iter().take(limit).map(|row| rows::id(row, "id", |id| id));
    let ids = ids.collect::<Result<Vec<Uuid>, Failure>>()?;
    let next = if rows.len() > limit { ids.last().copied() } else { None };
    Ok(unlisted::page(&ids, next, read, tell))
}

fn all<T>(rows: &[PgRow], read: impl Fn(&PgRow) -> Result<T, Failure>) -> Result<Vec<T>, StoreError> {
    Ok(rows.iter().map(read).collect::<Result<Vec<T>, Failure>>()?)
}

#[async_trait]
impl Store for PostgresBackend {
    fn durability(&self) -> Durability {
        self.kept()
    }

    async fn installation(&self) -> Result<InstallationId, StoreError> {
        let row = self.sessions().row(|queries| queries.installation_find.query()).await?;
        let row = row.ok_or_else(|| Failure::corrupt(Obstacle::NoInstallation))?;
        Ok(rows::id(&row, "id", InstallationId::from_uuid)?)
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        if is_order(change) {
            return Ok(self.order_together(change).await?);
        }
        Ok(self.write(change.clone()).await?)
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        Ok(self.write(note.clone()).await?)
    }

    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        let now = self.sessions().bound_now();
        let query = |queries: &super::queries::Queries| {
            queries.server_load.query().bind(server.as_uuid()).bind(tenant.to_string()).bind(now)
        };
        let row = self.sessions().row(query).await?;
        Ok(row.map(|row| rows::loaded(&row, self.unread_accounts())).transpose()?)
    }

    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let query = |queries: &super::queries::Queries| {
            queries.operation_find.query().bind(id.as_uuid()).bind(tenant.to_string())
        };
        Ok(self.sessions().row(query).await?.as_ref().map(rows::operation).transpose()?)
    }

    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.key_together((tenant.clone(), key.clone())).await?)
    }

    async fn servers(&self, tenant: &TenantId, request: &PageRequest) -> Result<Page<Server>, StoreError> {
        let rows = self.sessions().rows(|queries| {
            let query = queries.server_page.query().bind(tenant.to_string());
            query.bind(request.after).bind(i64::from(request.limit.items()) + 1)
        });
        let rows = rows.await?;
        Ok(page(&rows, request, rows.iter().map(rows::server), unlisted::server)?)
    }

    async fn operations(&self, tenant: &TenantId, request: &PageRequest) -> Result<Page<Operation>, StoreError> {
        let rows = self.sessions().rows(|queries| {
            let query = queries.operation_page.query().bind(tenant.to_string());
            query.bind(request.after).bind(i64::from(request.limit.items()) + 1)
        });
        let rows = rows.await?;
        Ok(page(&rows, request, rows.iter().map(rows::operation), unlisted::operation)?)
    }

    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError> {
        let rows = self.sessions().rows(|queries| queries.server_references.query().bind(account.to_string()));
        all(&rows.await?, rows::recorded_ref)
    }

    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError> {
        let ids: Vec<Uuid> = servers.iter().map(ServerId::as_uuid).collect();
        let rows = self.sessions().rows(|queries| queries.server_locate.query().bind(ids.clone()));
        all(&rows.await?, rows::recorded_ref)
    }

    async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        let rows = self.sessions().rows(|queries| queries.sighting_list.query().bind(account.to_string()));
        all(&rows.await?, rows::sighting)
    }

    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError> {
        Ok(self.write(Sight { account: account.clone(), sightings: sightings.to_vec() }).await?)
    }

    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError> {
        let (now, after) = (self.sessions().bound_now(), rows::micros(stall_after));
        let ahead = rows::micros(furthest_ahead);
        let rows = self.sessions().rows(|queries| {
            let query = queries.server_stalled.query().bind(now).bind(after).bind(i64::from(most));
            query.bind(ahead)
        });
        all(&rows.await?, rows::stalled)
    }

    async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        let row = self.sessions().row(|queries| queries.account_find.query().bind(account.to_string())).await?;
        Ok(row.map_or_else(|| Ok(Account::unknown(account.clone())), |row| rows::account(&row, account))?)
    }

    async fn save_account(&self, account: &Account) -> Result<(), StoreError> {
        Ok(self.write(account.clone()).await?)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let now = self.sessions().bound_now();
        let row = self.sessions().row(|queries| queries.store_now.query().bind(now)).await?;
        Ok(rows::time(&row.ok_or_else(|| Failure::corrupt(Obstacle::NoInstallation))?, "now")?)
    }

    async fn writable(&self) -> Result<(), StoreError> {
        Ok(self.call(|sessions| async move { sessions.writable().await }).await?)
    }

    async fn seal(&self, most: u32) -> Result<SealReport, StoreError> {
        // Asked of the readers first: the sealer comes every second and mostly finds nothing.
        let passed: Vec<String> = self.broken_chains().left_alone(self.time()).into_iter().collect();
        let unsealed = self.sessions().row(|queries| queries.audit_unsealed.query().bind(1_i64).bind(passed.clone()));
        if unsealed.await?.is_none() {
            return Ok(SealReport::default());
        }
        let seal = Seal { most, passed, way: Way::Together };
        let done = match self.write(seal.clone()).await {
            // One of these chains is broken, and which of them shows only if each is gone on with by itself.
            Err(failure @ Failure::Corrupt(_)) => {
                telemetry::tell(|| tracing::debug!(error = ?failure, "audit chains are gone on with one by one"));
                self.write(Seal { way: Way::Apart, ..seal }).await?
            }
            done => done?,
        };
        self.broken_chains().tell(&done, self.time());
        Ok(done.report)
    }

    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError> {
        let rows = self.sessions().rows(|queries| {
            queries.audit_sealed.query().bind(tenant.to_string()).bind(integer(after)).bind(i64::from(most))
        });
        all(&rows.await?, rows::sealed_record)
    }

    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        let row = self.sessions().row(|queries| queries.audit_head.query().bind(tenant.to_string())).await?;
        Ok(row.map_or_else(|| Ok(ChainHead::empty(tenant)), |row| rows::chain_head(&row))?)
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError> {
        // Every id is above the nil one. With `$2 IS NULL OR` a plan for all values would begin each page at the first server.
        let after = after.map_or_else(Uuid::nil, |after| after.as_uuid());
        let rows = self
            .sessions()
            .rows(|queries| queries.server_versions.query().bind(tenant.to_string()).bind(after).bind(i64::from(most)));
        Ok(versions(&rows.await?)?)
    }

    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError> {
        let after = after.map(|tenant| tenant.to_string()).unwrap_or_default();
        let rows =
            self.sessions().rows(|queries| queries.server_tenants.query().bind(after.clone()).bind(i64::from(most)));
        all(&rows.await?, |row| word(row, "tenant"))
    }

    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError> {
        let query = |queries: &super::queries::Queries| {
            queries.audit_deliverable.query().bind(sink.as_str().to_owned()).bind(i64::from(most))
        };
        let rows = self.sessions().rows(query).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        Ok(Some(Delivery { tenant: word(first, "tenant")?, records: all(&rows, rows::sealed_record)? }))
    }

    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        Ok(self.write(Delivered { sink: sink.clone(), tenant: tenant.clone(), sequence }).await?)
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        // Each by itself: one that fails takes nothing back of the others, and keeps none from being tried.
        let keys = self.write(TrimKeys(*retention)).await;
        let operations = self.write(TrimOperations(*retention)).await;
        let records = self.write(TrimRecords(*retention)).await;
        Ok(Trimmed { keys: keys?, operations: operations?, records: records? })
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let now = self.sessions().bound_now();
        let row = self.sessions().row(|queries| queries.store_stats.query().bind(COUNTED_MOST).bind(now)).await?;
        Ok(row.map_or_else(|| Ok(StoreStats::default()), |row| rows::store_stats(&row))?)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.close_all().await;
        Ok(())
    }
}

fn versions(rows: &[PgRow]) -> Result<ServerVersions, Failure> {
    let mut versions = ServerVersions::default();
    for row in rows {
        let server = rows::id(row, "id", ServerId::from_uuid)?;
        versions.current.insert(server, count(row, "present")?);
        let recorded: &mut BTreeMap<u64, u64> = versions.recorded.entry(server).or_default();
        if row.try_get::<Option<i64>, _>("recorded").map_err(Failure::from)?.is_some() {
            recorded.insert(count(row, "recorded")?, count(row, "records")?);
        }
    }
    Ok(versions)
}
