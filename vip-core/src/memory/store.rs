//! `Store` in memory: a commit is one lock.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::state::{MemoryState, Shared};
use crate::model::{
    Account, AccountId, ChainHead, IdempotencyKey, InstallationId, Operation, OperationId, Page, PageRequest,
    SealedRecord, Server, ServerId, ServerState, Sighting, TenantId, Timestamp,
};
use crate::ports::{
    ChangeSet, Clock, Committed, Delivery, Durability, KeyRecord, Loaded, Note, RecordedRef, Retention, SealReport,
    ServerVersions, SinkName, Stalled, Store, StoreError, StoreStats, Trimmed,
};
use crate::seeded_bugs::{SeededBug, is_on};

/// Keeps everything in memory, on the injected clock; the reference for every other store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    pub(super) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, installation: InstallationId) -> Self {
        let store = Self { shared, clock };
        store.lock().tables.installation = Some(installation);
        store
    }

    fn lock(&self) -> MutexGuard<'_, MemoryState> {
        // A panic while the lock was held cannot have left half a commit: everything is checked before it is written.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn page<T>(items: Vec<(Uuid, T)>, request: &PageRequest) -> Page<T> {
    let limit = usize::try_from(request.limit.items()).unwrap_or(usize::MAX);
    let mut rest = items.into_iter().filter(|(id, _)| request.after.is_none_or(|after| *id > after));
    let taken: Vec<(Uuid, T)> = rest.by_ref().take(limit).collect();
    let next = if rest.next().is_some() { taken.last().map(|(id, _)| *id) } else { None };
    Page::new(taken.into_iter().map(|(_, item)| item).collect(), next)
}

#[async_trait]
impl Store for MemoryStore {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn installation(&self) -> Result<InstallationId, StoreError> {
        self.lock().tables.installation.ok_or(StoreError::Conflict)
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError> {
        let now = self.clock.now();
        let committed = {
            let mut state = self.lock();
            if state.refusal.refuses() {
                return Err(StoreError::Unavailable { source: "refused as a test asked for".into() });
            }
            let MemoryState { tables, jobs, .. } = &mut *state;
            tables.commit(jobs, change, now)?
        };
        if change.job.is_some() {
            self.shared.wake.notify_waiters();
        }
        Ok(committed)
    }

    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        let mut state = self.lock();
        let MemoryState { tables, jobs, .. } = &mut *state;
        tables.note(jobs, note)
    }

    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError> {
        let now = self.clock.now();
        let state = self.lock();
        let tables = &state.tables;
        let Some(server) = tables.servers.get(&server).filter(|server| &server.tenant == tenant).cloned() else {
            return Ok(None);
        };
        let sightings = tables
            .sightings
            .values()
            .flatten()
            .filter(|sighting| sighting.server == Some(server.id))
            .cloned()
            .collect();
        let accounts = tables.accounts.values().cloned().collect();
        Ok(Some(Loaded { server, sightings, accounts, now }))
    }

    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError> {
        Ok(self.lock().tables.operations.get(&id).filter(|operation| &operation.tenant == tenant).cloned())
    }

    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.lock().tables.keys.get(&(tenant.clone(), key.clone())).cloned())
    }

    async fn servers(&self, tenant: &TenantId, request: &PageRequest) -> Result<Page<Server>, StoreError> {
        let state = self.lock();
        let shown = |server: &&Server| &server.tenant == tenant || is_on(SeededBug::TenantMissingInQuery);
        let of_tenant = state.tables.servers.values().filter(shown);
        Ok(page(of_tenant.map(|server| (server.id.as_uuid(), server.clone())).collect(), request))
    }

    async fn operations(&self, tenant: &TenantId, request: &PageRequest) -> Result<Page<Operation>, StoreError> {
        let state = self.lock();
        let of_tenant = state.tables.operations.values().filter(|operation| &operation.tenant == tenant);
        Ok(page(of_tenant.map(|operation| (operation.id.as_uuid(), operation.clone())).collect(), request))
    }

    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError> {
        let state = self.lock();
        let here = |server: &&Server| {
            let reference = server.provider_ref.as_ref().map(|reference| &reference.account);
            !server.state.is_final() && (server.account.as_ref() == Some(account) || reference == Some(account))
        };
        Ok(state.tables.servers.values().filter(here).map(RecordedRef::of).collect())
    }

    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError> {
        let state = self.lock();
        Ok(servers.iter().filter_map(|id| state.tables.servers.get(id)).map(RecordedRef::of).collect())
    }

    async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError> {
        Ok(self.lock().tables.sightings.get(account).cloned().unwrap_or_default())
    }

    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError> {
        self.lock().tables.sightings.insert(account.clone(), sightings.to_vec());
        Ok(())
    }

    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError> {
        let now = self.clock.now();
        let state = self.lock();
        let is_due = |at: &Timestamp| *at < now.minus(stall_after) || *at > now.plus(furthest_ahead);
        let due = |server: &Server| {
            let wake_at = server.wake_at.filter(|at| is_due(at) && !server.state.is_final())?;
            Some(Stalled { server: server.id, tenant: server.tenant.clone(), wake_at })
        };
        let mut stalled: Vec<Stalled> = state.tables.servers.values().filter_map(due).collect();
        stalled.sort_by_key(|stalled| stalled.wake_at);
        stalled.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(stalled)
    }

    async fn account(&self, account: &AccountId) -> Result<Account, StoreError> {
        let state = self.lock();
        Ok(state.tables.accounts.get(account).cloned().unwrap_or_else(|| Account::unknown(account.clone())))
    }

    async fn save_account(&self, account: &Account) -> Result<(), StoreError> {
        let mut state = self.lock();
        let version = state.tables.accounts.get(&account.id).map_or(0, |stored| stored.version);
        if version != account.version {
            return Err(StoreError::Conflict);
        }
        let written = Account { version: version.saturating_add(1), ..account.clone() };
        state.tables.accounts.insert(account.id.clone(), written);
        Ok(())
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn seal(&self, most: u32) -> Result<SealReport, StoreError> {
        self.lock().tables.seal(most)
    }

    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError> {
        let state = self.lock();
        let records = state.tables.sealed.get(tenant).map_or(&[][..], Vec::as_slice);
        let later = records.iter().filter(|record| record.sequence > after);
        Ok(later.take(usize::try_from(most).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError> {
        Ok(self.lock().tables.heads.get(tenant).cloned().unwrap_or_else(|| ChainHead::empty(tenant)))
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError> {
        let state = self.lock();
        let following = state.tables.servers.values().filter(|server| after.is_none_or(|after| server.id > after));
        let of_tenant =
            following.filter(|server| &server.tenant == tenant).take(usize::try_from(most).unwrap_or(usize::MAX));
        let (room, mut total) = (u64::from(most), 0_u64);
        let fitting = of_tenant.take_while(|server| {
            // Of one server alone no more is counted than fits: the first one always does.
            total = total.saturating_add(server.version.min(room));
            total <= room
        });
        let current: BTreeMap<ServerId, u64> = fitting.map(|server| (server.id, server.version)).collect();
        let mut recorded: BTreeMap<ServerId, BTreeMap<u64, u64>> = BTreeMap::new();
        for (server, version, _) in state.tables.audited.values() {
            if current.contains_key(server) {
                *recorded.entry(*server).or_default().entry(*version).or_default() += 1;
            }
        }
        Ok(ServerVersions { current, recorded })
    }

    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError> {
        let state = self.lock();
        let mut tenants: Vec<TenantId> = state
            .tables
            .servers
            .values()
            .map(|server| server.tenant.clone())
            .filter(|tenant| after.as_ref().is_none_or(|after| tenant > after))
            .collect();
        tenants.sort();
        tenants.dedup();
        tenants.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(tenants)
    }

    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError> {
        let state = self.lock();
        let Some((tenant, done)) = state.tables.next_delivery(sink) else { return Ok(None) };
        let sealed = state.tables.sealed.get(tenant).map_or(&[][..], Vec::as_slice);
        let later = sealed.iter().filter(|record| record.sequence > done);
        let records: Vec<SealedRecord> = later.take(usize::try_from(most).unwrap_or(usize::MAX)).cloned().collect();
        Ok(Some(Delivery { tenant: tenant.clone(), records }))
    }

    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.lock().tables.delivered_to(sink, tenant, sequence, now);
        Ok(())
    }

    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError> {
        let now = self.clock.now();
        Ok(self.lock().tables.trim(retention, now))
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let now = self.clock.now();
        let state = self.lock();
        let tables = &state.tables;
        let mut stats = StoreStats {
            unsealed: u64::try_from(tables.unsealed.len()).unwrap_or(u64::MAX),
            next_wake: tables.servers.values().filter_map(|server| server.wake_at).min(),
            oldest_removal: tables.oldest_removal().map(|since| now.since(since)),
            ..StoreStats::default()
        };
        for server in tables.servers.values() {
            stats.parked += u64::from(server.state == ServerState::Parked);
            if server.state.is_final() {
                continue;
            }
            stats.accounts.extend(server.account.clone());
            stats.accounts.extend(server.next_account().filter(|_| server.wake_at.is_some()).cloned());
        }
        for sighting in tables.sightings.values().flatten() {
            *stats.sightings.entry(sighting.class).or_default() += 1;
        }
        Ok(stats)
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
