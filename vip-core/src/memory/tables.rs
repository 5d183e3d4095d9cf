//! The rows of the in-memory store, without lock and without clock: what a commit, a seal and a trim do to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::jobs::JobTable;
use crate::model::{
    Account, AccountId, AuditRecord, ChainHead, ChangeId, IdempotencyKey, InstallationId, Operation, OperationId,
    OperationStatus, SealedRecord, Server, ServerId, ServerState, Sighting, TenantId, Timestamp, seal_hash,
};
use crate::ports::{
    ChangeSet, Committed, Enqueued, Guard, KeyRecord, Note, OperationChange, QuotaChange, Retention, SealReport,
    SinkName, StoreError, Trimmed,
};
use crate::seeded_bugs::{SeededBug, is_on};
use crate::telemetry;

/// Holds every row of a store.
#[derive(Debug, Default, Clone)]
pub(super) struct Tables {
    pub(super) installation: Option<InstallationId>,
    pub(super) servers: BTreeMap<ServerId, Server>,
    pub(super) operations: BTreeMap<OperationId, Operation>,
    pub(super) keys: BTreeMap<(TenantId, IdempotencyKey), KeyRecord>,
    pub(super) quota: BTreeMap<TenantId, u32>,
    pub(super) sightings: BTreeMap<AccountId, Vec<Sighting>>,
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) unsealed: VecDeque<AuditRecord>,
    pub(super) sealed: BTreeMap<TenantId, Vec<SealedRecord>>,
    pub(super) heads: BTreeMap<TenantId, ChainHead>,
    /// Every change that was applied: whose, which version it made, and when.
    pub(super) audited: BTreeMap<ChangeId, (ServerId, u64, Timestamp)>,
    /// How far each sink is, and when the tenant had its turn, which is later than all turns before.
    pub(super) delivered: BTreeMap<(String, TenantId), (u64, Timestamp)>,
}

impl Tables {
    /// Applies a change set whole, or refuses it whole: everything is checked before anything is written.
    pub(super) fn commit(
        &mut self,
        jobs: &mut JobTable,
        change: &ChangeSet,
        now: Timestamp,
    ) -> Result<Committed, StoreError> {
        if self.is_applied(change) {
            // Not even the answer of a repeated commit is for another tenant.
            let of_tenant = |server: &&Server| server.tenant == change.server.tenant;
            let server = self.servers.get(&change.server.id).filter(of_tenant).ok_or(StoreError::Conflict)?.clone();
            let at = self.audited.get(&change.id).map_or(now, |(_, _, at)| *at);
            self.write_the_rest(change, &server, now);
            return Ok(Committed { server, at, replayed: true });
        }
        self.check_guard(jobs, &change.guard, &change.server)?;
        let tenant = &change.server.tenant;
        if let Some(key) = &change.key
            && self.keys.contains_key(&(tenant.clone(), key.key.clone()))
            && !is_on(SeededBug::KeyOutsideCommit)
        {
            return Err(StoreError::KeyTaken);
        }
        let used = self.quota.get(tenant).copied().unwrap_or(0);
        match change.quota {
            Some(QuotaChange::Take { limit: Some(limit) }) if used >= limit => {
                return Err(StoreError::QuotaExceeded { limit });
            }
            Some(QuotaChange::Take { .. }) => {
                self.quota.insert(tenant.clone(), used.saturating_add(1));
            }
            Some(QuotaChange::Release) => {
                self.quota.insert(tenant.clone(), used.saturating_sub(1));
            }
            None => {}
        }
        let mut written = self.fenced(&change.guard, change.written(now));
        if let Some(stored) = self.servers.get(&written.id) {
            written.version = stored.version.saturating_add(1);
        }
        self.write_operations(&change.operations, tenant, now);
        if let Some(key) = change.key.as_ref().filter(|_| !is_on(SeededBug::KeyOutsideCommit)) {
            self.keys.insert((tenant.clone(), key.key.clone()), key.clone());
        }
        if is_on(SeededBug::KeyForgottenAfterDelete) && written.state.is_final() {
            self.keys.retain(|_, record| record.server != written.id);
        }
        if let Some(job) = &change.job
            && jobs.enqueue(job, now) == Enqueued::Conflict
        {
            telemetry::tell(|| tracing::error!(job.key = %job.key, "a job's key stands for another payload"));
        }
        if let Some(done) = &change.sighting_done
            && let Some(sightings) = self.sightings.get_mut(&done.account)
        {
            sightings.retain(|sighting| &sighting.key != done);
        }
        if !is_on(SeededBug::AuditOutsideCommit) {
            self.write_audit(change, &written, now);
        }
        self.servers.insert(written.id, written.clone());
        Ok(Committed { server: written, at: now, replayed: false })
    }

    fn write_audit(&mut self, change: &ChangeSet, written: &Server, now: Timestamp) {
        let record = change.audit_record(written, now);
        self.audited.insert(record.change, (record.server, record.version, now));
        self.unsealed.push_back(record);
    }

    fn is_applied(&self, change: &ChangeSet) -> bool {
        let stamped = || self.servers.get(&change.server.id).is_some_and(|stored| stored.stamp == change.id);
        self.audited.contains_key(&change.id) || (is_on(SeededBug::AuditOutsideCommit) && stamped())
    }

    /// Writes what a seeded bug has left out of the commit itself; nothing in any other build.
    fn write_the_rest(&mut self, change: &ChangeSet, stored: &Server, now: Timestamp) {
        if is_on(SeededBug::KeyOutsideCommit)
            && let Some(key) = &change.key
        {
            self.keys.insert((stored.tenant.clone(), key.key.clone()), key.clone());
        }
        if is_on(SeededBug::AuditOutsideCommit) && !self.audited.contains_key(&change.id) {
            self.write_audit(change, stored, now);
        }
    }

    /// Moves the fence on from where it stands: what the writer read may be older, as a note takes over without a stamp.
    fn fenced(&self, guard: &Guard, mut written: Server) -> Server {
        if let Some(stored) = self.servers.get(&written.id) {
            (written.holder, written.holder_epoch) = guard.holder_after(stored.holder, stored.holder_epoch);
        }
        written
    }

    fn check_guard(&self, jobs: &JobTable, guard: &Guard, server: &Server) -> Result<(), StoreError> {
        let stored = self.servers.get(&server.id);
        let admitted = match (guard, stored) {
            (Guard::New, None) => !self.servers.values().any(|other| other.provider_name == server.provider_name),
            (Guard::New, Some(_)) | (_, None) => false,
            (_, Some(stored)) => stored.tenant == server.tenant && admits(guard, stored),
        };
        let leased = guard.lease().is_none_or(|lease| is_unfenced(guard) || jobs.is_current(lease));
        if admitted && leased { Ok(()) } else { Err(StoreError::Conflict) }
    }

    fn write_operations(&mut self, changes: &[OperationChange], tenant: &TenantId, now: Timestamp) {
        for change in changes {
            match change {
                OperationChange::Insert(operation) => {
                    let mut operation = operation.clone();
                    operation.created_at = now;
                    operation.updated_at = now;
                    self.operations.insert(operation.id, operation);
                }
                OperationChange::Status { id, status, code } => {
                    let found = self.operations.get_mut(id).filter(|operation| &operation.tenant == tenant);
                    if let Some(operation) = found.filter(|operation| !operation.status.is_final()) {
                        operation.status = *status;
                        operation.code.clone_from(code);
                        operation.updated_at = now;
                    }
                }
            }
        }
    }

    /// Writes a note under its guard.
    pub(super) fn note(&mut self, jobs: &JobTable, note: &Note) -> Result<(), StoreError> {
        match note.guard {
            Guard::Takeover { .. } | Guard::Holder { .. } => self.check_guard(jobs, &note.guard, &note.server)?,
            // Only a claim makes notes.
            Guard::New | Guard::Command { .. } | Guard::Operator { .. } => return Err(StoreError::Conflict),
        }
        let mut written = self.fenced(&note.guard, note.written());
        if let Some(stored) = self.servers.get(&written.id) {
            (written.version, written.stamp) = (stored.version, stored.stamp);
        }
        self.servers.insert(written.id, written);
        Ok(())
    }

    /// Returns whose turn of being delivered to a sink was longest ago, among those with something to deliver, and how
    /// far the sink is with it: a busy tenant cannot starve the others.
    pub(super) fn next_delivery(&self, sink: &SinkName) -> Option<(&TenantId, u64)> {
        let waiting = self.heads.iter().filter_map(|(tenant, head)| {
            let done = self.delivered.get(&(sink.as_str().to_owned(), tenant.clone())).copied().unwrap_or_default();
            (head.sequence > done.0).then_some((done.1, tenant, done.0))
        });
        waiting.min().map(|(_, tenant, done)| (tenant, done))
    }

    /// Remembers how far a sink is with a tenant, which goes behind all others: also behind those that had their turn while the
    /// clock was ahead.
    pub(super) fn delivered_to(&mut self, sink: &SinkName, tenant: &TenantId, sequence: u64, now: Timestamp) {
        let turns = self.delivered.iter().filter(|((name, _), _)| name == sink.as_str());
        let last = turns.map(|(_, (_, turn))| turn.plus(Duration::from_micros(1))).max();
        let turn = last.map_or(now, |last| now.max(last));
        let position = self.delivered.entry((sink.as_str().to_owned(), tenant.clone())).or_default();
        *position = (sequence.max(position.0), turn);
    }

    /// Returns since when the oldest removal lasts that is neither done nor parked.
    pub(super) fn oldest_removal(&self) -> Option<Timestamp> {
        let is_moving = |server: &&Server| {
            server.wake_at.is_some() && !server.state.is_final() && server.state != ServerState::Parked
        };
        let since = |server: &Server| {
            let asked = server.delete_operation.and_then(|id| self.operations.get(&id));
            let asked = asked.filter(|operation| operation.status == OperationStatus::Pending);
            // Parked meanwhile, it began anew when it went on.
            let of_server = [Some(server.create_operation), server.delete_operation].into_iter().flatten();
            let moved = of_server.filter_map(|id| self.operations.get(&id)).map(|operation| operation.updated_at).max();
            let begun = server.removing.as_ref().filter(|removal| !removal.gone);
            let begun = begun.map(|removal| moved.map_or(removal.since, |moved| moved.max(removal.since)));
            asked.map(|operation| operation.updated_at).or(begun)
        };
        self.servers.values().filter(is_moving).filter_map(since).min()
    }

    /// Gives unsealed records their place, in the order of their commits.
    pub(super) fn seal(&mut self, most: u32) -> Result<SealReport, StoreError> {
        let mut sealed = 0;
        while sealed < most
            && let Some(record) = self.unsealed.front()
        {
            let body =
                serde_json::to_string(record).map_err(|error| StoreError::Corrupt { source: Box::new(error) })?;
            let head = self.heads.entry(record.tenant.clone()).or_insert_with(|| ChainHead::empty(&record.tenant));
            let sequence = head.sequence.saturating_add(1);
            let hash = seal_hash(&head.hash, sequence, &body);
            *head = ChainHead::new(sequence, hash.clone());
            self.sealed.entry(record.tenant.clone()).or_default().push(SealedRecord::new(sequence, hash, body));
            self.unsealed.pop_front();
            sealed += 1;
        }
        Ok(SealReport { sealed, more: !self.unsealed.is_empty() })
    }

    /// Forgets what has outlived its retention.
    pub(super) fn trim(&mut self, retention: &Retention, now: Timestamp) -> Trimmed {
        let (keys_until, records_until) = (retention.keys_until(now), retention.records_until(now));
        let ended = |server: &ServerId, servers: &BTreeMap<ServerId, Server>, until: Timestamp| {
            servers
                .get(server)
                .is_some_and(|server| server.state.is_final() && server.gone_at.is_some_and(|at| at <= until))
        };
        let most = usize::try_from(retention.most).unwrap_or(usize::MAX);
        let servers = &self.servers;
        let keys: Vec<_> = self
            .keys
            .iter()
            .filter(|(_, record)| ended(&record.server, servers, keys_until))
            .map(|(key, _)| key.clone())
            .take(most)
            .collect();
        let operations: Vec<_> = self
            .operations
            .values()
            .filter(|operation| ended(&operation.server, servers, records_until))
            .map(|operation| operation.id)
            .take(most)
            .collect();
        let records: BTreeSet<ServerId> = servers
            .values()
            .filter(|server| ended(&server.id, servers, records_until) && !is_tombstone(server))
            .map(|server| server.id)
            .take(most)
            .collect();
        keys.iter().for_each(|key| drop(self.keys.remove(key)));
        operations.iter().for_each(|id| drop(self.operations.remove(id)));
        self.servers.values_mut().filter(|server| records.contains(&server.id)).for_each(to_tombstone);
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        Trimmed { keys: count(keys.len()), operations: count(operations.len()), records: count(records.len()) }
    }
}

/// Says what the guard says; with a seeded bug, less.
fn admits(guard: &Guard, stored: &Server) -> bool {
    let has_stamp = Some(stored.stamp) == guard.stamp();
    match guard {
        Guard::Takeover { .. } | Guard::Holder { .. } if is_on(SeededBug::NoFence) => true,
        Guard::Takeover { epoch, .. } if is_on(SeededBug::FenceByAttempt) => has_stamp && *epoch >= stored.holder_epoch,
        Guard::Holder { lease, .. } if is_on(SeededBug::FenceByAttempt) => {
            has_stamp && lease.as_ref().is_none_or(|lease| lease.epoch == stored.holder_epoch)
        }
        Guard::Takeover { .. } if is_on(SeededBug::TakeoverWithoutEpoch) => has_stamp,
        Guard::Holder { .. } if is_on(SeededBug::HolderNotChecked) => has_stamp,
        Guard::New | Guard::Command { .. } | Guard::Takeover { .. } | Guard::Holder { .. } | Guard::Operator { .. } => {
            guard.admits(stored)
        }
    }
}

/// Says whether a seeded bug leaves the lease out of a guard.
fn is_unfenced(guard: &Guard) -> bool {
    match guard {
        Guard::Takeover { .. } => is_on(SeededBug::TakeoverWithoutEpoch) || is_on(SeededBug::NoFence),
        Guard::Holder { .. } => is_on(SeededBug::HolderNotChecked) || is_on(SeededBug::NoFence),
        Guard::New | Guard::Command { .. } | Guard::Operator { .. } => false,
    }
}

fn is_tombstone(server: &Server) -> bool {
    server.candidates.is_empty() && server.spec.ssh_keys.is_empty()
}

/// Keeps id, tenant, state, reference, end and fence; the rest of a final record is not needed for ever.
fn to_tombstone(server: &mut Server) {
    server.candidates.clear();
    server.spec.server_types.clear();
    server.spec.locations.clear();
    server.spec.ssh_keys.clear();
    server.spec.labels.clear();
    server.spec.user_data = None;
    server.spec.image.clear();
    server.addresses = crate::model::Addresses::default();
}
