//! New orders of several callers in one commit: one statement for all, or nothing of it and each by itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row;
use vip_core::model::{NewJob, Operation, Server, ServerId, TenantId, Timestamp};
use vip_core::ports::{ChangeSet, Committed, Guard, KeyRecord, OperationChange, QuotaChange};

use super::PostgresBackend;
use super::error::{Failure, Refusal};
use super::gather::Shared;
use super::lanes::{Lane, Lanes};
use super::queries::{Query, Statement};
use super::rows::{self, micros, to_json};
use super::session::Write;
use super::transaction::Transaction;

/// How often an order goes along with others before it is tried by itself, if the counter of its tenant is in the way.
const TRIES: u32 = 2;

impl PostgresBackend {
    /// Writes an order in one commit with those of other callers; by itself if that came to nothing.
    ///
    /// Orders whose counter somebody else holds, such as a worker or another process, wait for it together, while the others of
    /// their commit are written and those writers go on.
    pub(super) async fn order_together(&self, change: &ChangeSet) -> Result<Committed, Failure> {
        let (_call, deadline) = self.begin()?;
        let mut failure = Failure::Refused(Refusal::Conflict);
        for _ in 0..TRIES {
            match self.gathered(&self.shared.orders, change.clone(), Orders, deadline).await? {
                Shared::Answer(Ok(committed)) => return Ok(committed),
                Shared::Answer(Err(Held)) => {}
                Shared::Alone(cause) => {
                    failure = cause;
                    break;
                }
            }
            match self.gathered(&self.shared.held_orders, change.clone(), HeldOrders, deadline).await? {
                Shared::Answer(committed) => return Ok(committed),
                // Of several counters one was held for too long; this one may be free by now.
                Shared::Alone(cause) if cause.waited_for_a_lock() || cause.took_too_long() => {}
                Shared::Alone(cause) => {
                    failure = cause;
                    break;
                }
            }
        }
        self.alone(change.clone(), deadline, failure).await
    }
}

/// Says that nothing was written, because somebody else holds the counter of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held;

/// Are orders that each pass [`Order::of`]; a counter that somebody else holds is not waited for.
#[derive(Debug)]
struct Orders(Vec<ChangeSet>);

/// Are such orders whose counters are waited for, on a connection that no order of another tenant needs.
#[derive(Debug)]
struct HeldOrders(Vec<ChangeSet>);

/// Is a change set that adds a server with its operation and job, and nothing that would need a question.
struct Order<'c> {
    change: &'c ChangeSet,
    operation: &'c Operation,
    job: &'c NewJob,
    key: Option<&'c KeyRecord>,
}

impl<'c> Order<'c> {
    /// Recognises an order of a new server; anything else is written by itself.
    fn of(change: &'c ChangeSet) -> Option<Self> {
        let (Guard::New, [OperationChange::Insert(operation)], Some(job)) =
            (&change.guard, change.operations.as_slice(), &change.job)
        else {
            return None;
        };
        let server = &change.server;
        let is_bare = server.account.is_none()
            && server.provider_ref.is_none()
            && server.removing.is_none()
            && server.holder.is_none()
            && server.holder_epoch == 0
            && !server.state.is_final();
        let is_its_own = |id, of| id == operation.id && of == server.id;
        let fits = is_bare
            && change.sighting_done.is_none()
            && !matches!(change.quota, Some(QuotaChange::Release))
            && operation.code.is_none()
            && operation.server == server.id
            && change.key.as_ref().is_none_or(|key| is_its_own(key.operation, key.server));
        fits.then_some(Self { change, operation, job, key: change.key.as_ref() })
    }

    fn limit(&self) -> Option<i64> {
        match self.change.quota {
            Some(QuotaChange::Take { limit }) => limit.map(i64::from),
            Some(QuotaChange::Release) | None => None,
        }
    }
}

/// Names the tenant whose counter a commit of the change holds to its end: that of an order which takes a place of a quota.
pub(super) fn counter_of(change: &ChangeSet) -> Option<&TenantId> {
    change.quota.is_some().then_some(&change.server.tenant)
}

/// Says whether a change may be written together with those of others.
pub(super) fn is_order(change: &ChangeSet) -> bool {
    Order::of(change).is_some()
}

#[async_trait]
impl Write for Orders {
    type Answer = Vec<Option<Result<Committed, Held>>>;
    const LANE: Lane = Lane::Order;

    fn begin(lanes: &Lanes) -> &str {
        lanes.begin_hurried()
    }

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Self::Answer, Failure> {
        let statement = &transaction.queries().orders_insert;
        write_all(&self.0, statement, transaction).await
    }
}

#[async_trait]
impl Write for HeldOrders {
    type Answer = Vec<Option<Committed>>;

    fn begin(lanes: &Lanes) -> &str {
        lanes.begin_waiting()
    }

    async fn write(&self, transaction: &mut Transaction<'_>) -> Result<Self::Answer, Failure> {
        let statement = transaction.queries().orders_insert.waiting();
        let answers = write_all(&self.0, &statement, transaction).await?;
        Ok(answers.into_iter().map(|answer| answer.and_then(Result::ok)).collect())
    }
}

/// Writes orders with one statement. One without an answer was not written; a key that is taken refuses all.
async fn write_all(
    changes: &[ChangeSet],
    statement: &Statement,
    transaction: &mut Transaction<'_>,
) -> Result<Vec<Option<Result<Committed, Held>>>, Failure> {
    let now = transaction.now();
    let orders: Vec<Order<'_>> = changes.iter().filter_map(Order::of).collect();
    let written: Vec<Server> = orders.iter().map(|order| order.change.written(now)).collect();
    let query = bind_servers(statement.query().bind(now.as_micros()), &written)?;
    let query = bind_jobs(bind_operations(query, &orders), &orders);
    let query = bind_ends(query, &orders, &written, now)?;
    let rows = transaction.rows(query).await?;
    if orders.len() != changes.len() {
        return Err(Failure::Refused(Refusal::Conflict));
    }
    let found = rows.iter().map(|row| -> Result<(ServerId, bool), Failure> {
        Ok((rows::id(row, "id", ServerId::from_uuid)?, row.try_get::<bool, _>("held")?))
    });
    let found = found.collect::<Result<BTreeMap<ServerId, bool>, Failure>>()?;
    found.values().filter(|is_held| !**is_held).for_each(|_| transaction.announce_to_all());
    let answer = |server: Server| {
        let is_held = *found.get(&server.id)?;
        Some(if is_held { Err(Held) } else { Ok(Committed { server, at: now, replayed: false }) })
    };
    Ok(written.into_iter().map(answer).collect())
}

fn texts<T>(items: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    items.iter().map(text).collect()
}

fn tenant_text(tenant: Option<&TenantId>) -> Option<String> {
    tenant.map(ToString::to_string)
}

fn bind_servers(query: Query, written: &[Server]) -> Result<Query, Failure> {
    Ok(query
        .bind(written.iter().map(|server| server.id.as_uuid()).collect::<Vec<_>>())
        .bind(texts(written, |server| server.tenant.to_string()))
        .bind(texts(written, |server| server.state.as_str().to_owned()))
        .bind(texts(written, |server| rows::desired_name(server.desired).to_owned()))
        .bind(written.iter().map(|server| server.stamp.as_uuid()).collect::<Vec<_>>())
        .bind(written.iter().map(|server| server.quota_held).collect::<Vec<_>>())
        .bind(written.iter().map(to_json).collect::<Result<Vec<String>, Failure>>()?)
        .bind(texts(written, |server| server.provider_name.to_string()))
        .bind(texts(written, |server| server.create_hash.to_string())))
}

fn bind_operations(query: Query, orders: &[Order<'_>]) -> Query {
    let request = |order: &Order<'_>| order.operation.request_id.as_ref().map(ToString::to_string);
    query
        .bind(orders.iter().map(|order| order.operation.id.as_uuid()).collect::<Vec<_>>())
        .bind(texts(orders, |order| order.operation.verb.as_str().to_owned()))
        .bind(texts(orders, |order| order.operation.status.as_str().to_owned()))
        .bind(orders.iter().map(request).collect::<Vec<_>>())
        .bind(orders.iter().map(|order| order.key.map(|key| key.key.to_string())).collect::<Vec<_>>())
        .bind(orders.iter().map(|order| order.key.map(|key| key.fingerprint.as_str().to_owned())).collect::<Vec<_>>())
}

fn bind_jobs(query: Query, orders: &[Order<'_>]) -> Query {
    let request = |order: &Order<'_>| order.job.request_id.as_ref().map(ToString::to_string);
    query
        .bind(orders.iter().map(|order| order.job.id.as_uuid()).collect::<Vec<_>>())
        .bind(texts(orders, |order| order.job.key.to_string()))
        .bind(texts(orders, |order| order.job.kind.to_string()))
        .bind(texts(orders, |order| order.job.payload.as_str().to_owned()))
        .bind(orders.iter().map(|order| tenant_text(order.job.tenant.as_ref())).collect::<Vec<_>>())
        .bind(orders.iter().map(request).collect::<Vec<_>>())
        .bind(orders.iter().map(|order| micros(order.job.delay)).collect::<Vec<_>>())
        .bind(orders.iter().map(|order| i32::try_from(order.job.max_attempts).unwrap_or(i32::MAX)).collect::<Vec<_>>())
        .bind(orders.iter().map(|order| rows::why_number(order.job.why)).collect::<Vec<_>>())
}

fn bind_ends(query: Query, orders: &[Order<'_>], written: &[Server], now: Timestamp) -> Result<Query, Failure> {
    let records = orders.iter().zip(written).map(|(order, server)| to_json(&order.change.audit_record(server, now)));
    Ok(query
        .bind(records.collect::<Result<Vec<String>, Failure>>()?)
        .bind(orders.iter().map(|order| order.change.quota.is_some()).collect::<Vec<_>>())
        .bind(orders.iter().map(Order::limit).collect::<Vec<_>>())
        .bind(orders.iter().map(|order| order.job.trace_parent.as_ref().map(ToString::to_string)).collect::<Vec<_>>()))
}
