//! `Store::commit` and `Store::note`: guard, then everything that belongs to the change, in one transaction.

use async_trait::async_trait;
use vip_core::model::{ClaimId, NewJob, Server, TenantId, Timestamp};
use vip_core::ports::{ChangeSet, Committed, Enqueued, Guard, KeyRecord, Note, OperationChange, QuotaChange};
use vip_core::telemetry;

use super::error::{Failure, Obstacle, Refusal};
use super::jobs::enqueue_one;
use super::queries::{Queries, Query, Statement};
use super::rows::{self, Fence, integer, to_json};
use super::session::{Repeat, Write};
use super::transaction::Transaction;

const CONFLICT: Failure = Failure::Refused(Refusal::Conflict);

#[async_trait]
impl Write for ChangeSet {
    type Answer = Committed;
    // The second one finds the audit record of the first (F7).
    const REPEAT: Repeat = Repeat::Harmless;

    /// Checks in this order: applied before, guard, key, quota. A refusal takes back what was written until then.
    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Committed, Failure> {
        let queries = transaction.queries();
        let now = transaction.now();
        let mut written = self.written(now);
        let Some(row) = transaction.row(write_query(queries, self, &written)?).await? else {
            // A change that was applied before always ends here: its own stamp stands where the guard wants another.
            return replayed(transaction, self).await?.ok_or(CONFLICT);
        };
        Fence::of(&row)?.put_on(&mut written);
        let tenant = &written.tenant;
        if let Some(key) = &self.key {
            take_key(transaction, tenant, key).await?;
        }
        if let Some(quota) = self.quota {
            move_quota(transaction, tenant, quota).await?;
        }
        for change in &self.operations {
            write_operation(transaction, tenant, change).await?;
        }
        if let Some(job) = &self.job {
            enqueue_job(transaction, job).await?;
        }
        if let Some(done) = &self.sighting_done {
            let query = queries.sighting_done.query().bind(done.account.to_string()).bind(done.id.to_string());
            transaction.execute(query).await?;
        }
        write_audit(transaction, self, &written).await?;
        Ok(Committed { server: written, at: now, replayed: false })
    }
}

#[async_trait]
impl Write for Note {
    type Answer = ();
    // A second takeover of one claim is refused, although the first one was written.
    const REPEAT: Repeat = Repeat::Told;

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        let queries = transaction.queries();
        let statement = match self.guard {
            Guard::Takeover { .. } => &queries.note_takeover,
            Guard::Holder { .. } => &queries.note_hold,
            // Only a claim makes notes.
            Guard::New | Guard::Command { .. } | Guard::Operator { .. } => return Err(CONFLICT),
        };
        let query = bind_guard(bind_server(statement, &self.written())?, &self.guard);
        transaction.row(query).await?.map(drop).ok_or(CONFLICT)
    }
}

/// Looks for the audit record of a change: where it is, the change was applied.
async fn replayed(transaction: &mut Transaction<'_>, change: &ChangeSet) -> Result<Option<Committed>, Failure> {
    let queries = transaction.queries();
    let Some(record) = transaction.row(queries.audit_find.query().bind(change.id.as_uuid())).await? else {
        return Ok(None);
    };
    let query = queries.server_find.query().bind(change.server.id.as_uuid());
    let row = transaction.row(query.bind(change.server.tenant.to_string())).await?;
    let row = row.ok_or_else(|| Failure::corrupt(Obstacle::ServerGone))?;
    Ok(Some(Committed { server: rows::server(&row)?, at: rows::time(&record, "at")?, replayed: true }))
}

/// Picks the statement whose WHERE is the guard. Bound last, as `$20` or `$19` of a new server, is whether a key comes with it.
fn write_query(queries: &Queries, change: &ChangeSet, written: &Server) -> Result<Query, Failure> {
    let (guard, has_key) = (&change.guard, change.key.is_some());
    let statement = match guard {
        Guard::New => return Ok(insert_query(queries, written)?.bind(has_key)),
        Guard::Command { .. } => &queries.server_command,
        Guard::Takeover { .. } => &queries.server_takeover,
        Guard::Holder { .. } => &queries.server_hold,
        Guard::Operator { .. } => &queries.server_operate,
    };
    Ok(bind_guard(bind_server(statement, written)?, guard).bind(has_key))
}

/// Binds `$1` to `$13`, which mean the same in every statement that writes a server.
fn bind_server(statement: &Statement, server: &Server) -> Result<Query, Failure> {
    let reference = server.provider_ref.as_ref();
    Ok(statement
        .query()
        .bind(server.id.as_uuid())
        .bind(server.tenant.to_string())
        .bind(server.state.as_str())
        .bind(rows::desired_name(server.desired))
        .bind(server.stamp.as_uuid())
        .bind(server.account.as_ref().map(ToString::to_string))
        .bind(reference.map(|reference| reference.account.to_string()))
        .bind(reference.map(|reference| reference.id.to_string()))
        .bind(server.removing.as_ref().filter(|removal| !removal.gone).map(|removal| removal.id.to_string()))
        .bind(server.wake_at.map(Timestamp::as_micros))
        .bind(server.gone_at.map(Timestamp::as_micros))
        .bind(server.quota_held)
        .bind(to_json(server)?))
}

/// Binds `$14` to `$19`: stamp and claim of the guard, the lease (job, epoch, claim) if it has one, and its epoch.
fn bind_guard(query: Query, guard: &Guard) -> Query {
    let (claim, epoch) = match guard {
        Guard::New | Guard::Command { .. } => (None, None),
        Guard::Takeover { claim, epoch, .. } => (Some(claim), Some(integer(*epoch))),
        Guard::Holder { claim, .. } | Guard::Operator { claim, .. } => (Some(claim), None),
    };
    let lease = guard.lease();
    query
        .bind(guard.stamp().map(|stamp| stamp.as_uuid()))
        .bind(claim.map(ClaimId::as_uuid))
        .bind(lease.map(|lease| lease.job.as_uuid()))
        .bind(lease.map(|lease| integer(lease.epoch)))
        .bind(lease.map(|lease| lease.claim.as_uuid()))
        .bind(epoch)
}

fn insert_query(queries: &Queries, server: &Server) -> Result<Query, Failure> {
    Ok(bind_server(&queries.server_insert, server)?
        .bind(server.holder.as_ref().map(ClaimId::as_uuid))
        .bind(integer(server.holder_epoch))
        .bind(server.provider_name.to_string())
        .bind(server.create_hash.to_string())
        .bind(server.created_at.as_micros()))
}

async fn take_key(transaction: &mut Transaction<'_>, tenant: &TenantId, key: &KeyRecord) -> Result<(), Failure> {
    let query = transaction.queries().key_insert.query();
    let query = query
        .bind(tenant.to_string())
        .bind(key.key.to_string())
        .bind(key.fingerprint.as_str().to_owned())
        .bind(key.operation.as_uuid())
        .bind(key.server.as_uuid());
    match transaction.execute(query).await? {
        0 => Err(Failure::Refused(Refusal::KeyTaken)),
        _ => Ok(()),
    }
}

async fn move_quota(transaction: &mut Transaction<'_>, tenant: &TenantId, change: QuotaChange) -> Result<(), Failure> {
    let queries = transaction.queries();
    match change {
        QuotaChange::Take { limit } => {
            let take = || queries.quota_take.query().bind(tenant.to_string()).bind(limit.map(i64::from));
            if transaction.execute(take()).await? > 0 {
                return Ok(());
            }
            // The first server of a tenant finds no counter. Afterwards there is one: this commit's, or that of another
            // first order, which this statement has waited for; so the counter is asked again either way.
            transaction.execute(queries.quota_open.query().bind(tenant.to_string())).await?;
            if transaction.execute(take()).await? > 0 {
                return Ok(());
            }
            // The counter is there now, so a limit is what refused.
            Err(Failure::Refused(Refusal::Quota { limit: limit.unwrap_or(u32::MAX) }))
        }
        QuotaChange::Release => {
            let released = transaction.execute(queries.quota_release.query().bind(tenant.to_string())).await?;
            if released == 0 {
                // The server's end must not fail for a counter that is wrong; comparing it is the sweep's work.
                telemetry::tell(|| {
                    tracing::warn!(%tenant, "the quota counter was at zero when a server gave its place back");
                });
            }
            Ok(())
        }
    }
}

async fn write_operation(
    transaction: &mut Transaction<'_>,
    tenant: &TenantId,
    change: &OperationChange,
) -> Result<(), Failure> {
    let queries = transaction.queries();
    let now = transaction.now().as_micros();
    match change {
        OperationChange::Insert(operation) => {
            let query = queries.operation_insert.query();
            let query = query
                .bind(operation.id.as_uuid())
                .bind(tenant.to_string())
                .bind(operation.server.as_uuid())
                .bind(operation.verb.as_str())
                .bind(operation.status.as_str())
                .bind(operation.code.clone())
                .bind(operation.request_id.as_ref().map(ToString::to_string))
                .bind(now);
            if transaction.execute(query).await? == 0 { Err(CONFLICT) } else { Ok(()) }
        }
        OperationChange::Status { id, status, code } => {
            let query = queries.operation_move.query();
            let query =
                query.bind(id.as_uuid()).bind(tenant.to_string()).bind(status.as_str()).bind(code.clone()).bind(now);
            if transaction.execute(query).await? == 0 {
                // It is final, or retention took it; either way it does not change any more.
                telemetry::tell(|| tracing::debug!(operation.id = %id, "an operation that has ended was not moved"));
            }
            Ok(())
        }
    }
}

async fn enqueue_job(transaction: &mut Transaction<'_>, job: &NewJob) -> Result<(), Failure> {
    match enqueue_one(transaction, job).await? {
        Enqueued::Conflict => {
            // The wish is recorded all the same, and the sweep wakes what stands still.
            telemetry::tell(|| tracing::error!(job.key = %job.key, "a job's key stands for another payload"));
        }
        Enqueued::Dead => telemetry::tell(|| tracing::warn!(job.key = %job.key, "the job of a changed server is dead")),
        Enqueued::Inserted | Enqueued::Merged | Enqueued::WillRunAgain | Enqueued::Revived => {}
    }
    Ok(())
}

async fn write_audit(transaction: &mut Transaction<'_>, change: &ChangeSet, written: &Server) -> Result<(), Failure> {
    let record = change.audit_record(written, transaction.now());
    let query = transaction.queries().audit_insert.query();
    let query = query
        .bind(record.change.as_uuid())
        .bind(record.tenant.to_string())
        .bind(record.server.as_uuid())
        .bind(integer(record.version))
        .bind(record.at.as_micros())
        .bind(to_json(&record)?);
    transaction.execute(query).await.map(drop)
}
