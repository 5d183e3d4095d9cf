//! Orders that are accepted inside a transaction of the host's own: they exist exactly when it commits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::postgres::PostgresBackend;
use vip_core::conformance::samples::tenant;
use vip_core::model::{PageLimit, PageRequest, ServerState, verify_versions};
use vip_core::ports::Store;
use vip_core::provisioner::{OperationHandle, PreparedOrder};
use vip_core::{CommandError, Provisioner};
use vip_tests::{site, timing};

use crate::postgres_database::{open, until_waited_for};
use crate::server;

#[path = "../../examples/accept_in_transaction.rs"]
#[expect(dead_code, reason = "its `main` is for a terminal")]
mod example;

/// Most servers of a tenant here.
const QUOTA: u32 = 2;
/// Everything of ours that an order touches, counted.
const TRACES: &str = "SELECT (SELECT count(*) FROM vip.servers) + (SELECT count(*) FROM vip.operations)
    + (SELECT count(*) FROM vip.keys) + (SELECT count(*) FROM vip.jobs) + (SELECT count(*) FROM vip.audit)
    + (SELECT coalesce(sum(used), 0) FROM vip.quotas)::bigint";

/// Is a host: a pool, a table and a product of its own in one database.
struct Host {
    pool: PgPool,
    backend: PostgresBackend,
    provisioner: Provisioner,
}

impl Host {
    async fn new() -> Self {
        let database = server().new_database().await;
        let pool = PgPool::connect(&server().url(&database)).await.unwrap();
        sqlx::raw_sql("CREATE TABLE shop (number text PRIMARY KEY)").execute(&pool).await.unwrap();
        let backend = open(&database).await;
        let builder = Provisioner::builder(backend.backend()).provider(HetznerClient::simulated().unwrap());
        let provisioner = builder.quota(QUOTA).timing(timing::quick()).client_only().await.unwrap();
        Self { pool, backend, provisioner }
    }

    async fn order(&self, name: &str, key: &str) -> PreparedOrder {
        let order = self.provisioner.tenant("acme").create_server(site::spec(name));
        order.idempotency_key(key).prepare().await.unwrap()
    }

    async fn begin(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
        let number = uuid::Uuid::now_v7().to_string();
        let own = sqlx::query("INSERT INTO shop (number) VALUES ($1)").bind(number);
        own.execute(&mut *transaction).await.unwrap();
        transaction
    }

    /// Accepts in a transaction of its own.
    async fn accept(&self, order: &PreparedOrder) -> Result<OperationHandle, CommandError> {
        let mut transaction = self.begin().await;
        let answer = self.backend.accept_in(&mut transaction, order).await;
        transaction.commit().await.unwrap();
        answer
    }

    async fn count(&self, text: &'static str) -> i64 {
        sqlx::query_scalar(text).fetch_one(&self.pool).await.unwrap()
    }

    async fn own_rows(&self) -> i64 {
        self.count("SELECT count(*) FROM shop").await
    }

    async fn servers(&self) -> usize {
        let page = PageRequest::first(PageLimit::most());
        self.provisioner.tenant("acme").servers(&page).await.unwrap().items.len()
    }

    /// Ends it, and demands that each version of each server has its one audit record.
    async fn end(self) {
        let versions = self.backend.versions(&tenant("acme"), None, u32::MAX).await.unwrap();
        verify_versions(&versions.current, &versions.recorded).unwrap();
        assert!(self.provisioner.shutdown(Duration::from_secs(10)).await.within_deadline);
        self.pool.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_an_order_in_a_hosts_transaction_runs() {
    let database = server().new_database().await;
    for _ in 0..2 {
        example::run(&server().url(&database)).await.unwrap();
    }
    let mut watching = PgConnection::connect(&server().url(&database)).await.unwrap();
    let both = "SELECT (SELECT count(*) FROM shop_orders), (SELECT count(*) FROM vip.servers WHERE state = 'running')";
    let counts: (i64, i64) = sqlx::query_as(both).fetch_one(&mut watching).await.unwrap();
    assert_eq!(counts, (1, 1), "the second run is the same order");
    watching.close().await.unwrap();
}

#[tokio::test]
async fn an_order_exists_exactly_when_the_hosts_transaction_has_committed() {
    let host = Host::new().await;
    let order = host.order("web-1", "order-1").await;
    let mut transaction = host.begin().await;
    let operation = host.backend.accept_in(&mut transaction, &order).await.unwrap();
    assert!(!operation.is_replayed());
    assert!(matches!(operation.progress().await, Err(CommandError::NotFound)));
    assert_eq!((host.count(TRACES).await, host.own_rows().await), (0, 0));
    transaction.commit().await.unwrap();
    assert_eq!(operation.progress().await.unwrap().server.state, ServerState::Requested);
    // Record, operation, key, job, audit record, and one place of the quota.
    assert_eq!((host.count(TRACES).await, host.own_rows().await), (6, 1));
    host.end().await;
}

#[tokio::test]
async fn a_rollback_leaves_no_order_no_key_no_job_and_no_place_of_the_quota() {
    let host = Host::new().await;
    for name in ["web-1", "web-2", "web-3"] {
        // Another order with the same key, and more of them than the quota has places.
        let order = host.order(name, "order-1").await;
        let mut transaction = host.begin().await;
        assert!(!host.backend.accept_in(&mut transaction, &order).await.unwrap().is_replayed());
        transaction.rollback().await.unwrap();
        assert_eq!((host.count(TRACES).await, host.own_rows().await), (0, 0));
    }
    assert!(!host.accept(&host.order("web-4", "order-1").await).await.unwrap().is_replayed());
    assert_eq!(host.servers().await, 1);
    host.end().await;
}

#[tokio::test]
async fn a_second_transaction_gets_the_answers_of_an_ordinary_order_and_goes_on_after_a_refusal() {
    let host = Host::new().await;
    let first = host.accept(&host.order("web-1", "order-1").await).await.unwrap();
    let again = host.accept(&host.order("web-1", "order-1").await).await.unwrap();
    assert!(again.is_replayed() && again.id() == first.id());
    let ordinary = host.provisioner.tenant("acme").create_server(site::spec("web-1")).idempotency_key("order-1").await;
    assert_eq!(ordinary.unwrap().id(), first.id());
    let other = host.accept(&host.order("web-2", "order-1").await).await;
    assert!(matches!(other, Err(CommandError::IdempotencyConflict)), "{other:?}");
    host.accept(&host.order("web-2", "order-2").await).await.unwrap();
    let mut transaction = host.begin().await;
    let beyond = host.backend.accept_in(&mut transaction, &host.order("web-3", "order-3").await).await;
    assert!(matches!(beyond, Err(CommandError::QuotaExceeded { limit: QUOTA })), "{beyond:?}");
    // What was refused left nothing; the transaction is whole.
    let replayed = host.backend.accept_in(&mut transaction, &host.order("web-1", "order-1").await).await.unwrap();
    assert!(replayed.is_replayed());
    transaction.commit().await.unwrap();
    // Four rows of accepted or refused orders, one of the last transaction.
    assert_eq!((host.own_rows().await, host.servers().await), (5, 2));
    assert_eq!(host.count("SELECT used FROM vip.quotas").await, 2);
    assert_eq!(host.count("SELECT count(*) FROM vip.keys WHERE key = 'order-3'").await, 0);
    let invalid = host.provisioner.tenant("acme").create_server(site::spec("")).prepare().await;
    assert!(matches!(invalid, Err(CommandError::Invalid(_))), "{invalid:?}");
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_transactions_with_one_key_the_second_waits_and_there_is_one_server() {
    let host = Host::new().await;
    for (round, other, commits) in [(1, false, true), (2, true, true), (3, false, false)] {
        let (key, name) = (format!("order-{round}"), format!("web-{round}"));
        let first = host.order(&name, &key).await;
        let second = host.order(if other { "another" } else { &name }, &key).await;
        let mut transaction = host.begin().await;
        let accepted = host.backend.accept_in(&mut transaction, &first).await.unwrap();
        let mut own = host.begin().await;
        let (backend, mut waiting) = (host.backend.clone(), JoinSet::new());
        waiting.spawn(async move {
            let answer = backend.accept_in(&mut own, &second).await;
            own.commit().await.unwrap();
            answer
        });
        until_waited_for(&mut transaction, 1).await;
        if commits {
            transaction.commit().await.unwrap()
        } else {
            transaction.rollback().await.unwrap()
        }
        let answer = waiting.join_next().await.unwrap().unwrap();
        match (other, commits) {
            (true, _) => assert!(matches!(answer, Err(CommandError::IdempotencyConflict)), "{answer:?}"),
            (false, true) => assert!(answer.is_ok_and(|it| it.is_replayed() && it.id() == accepted.id())),
            (false, false) => assert!(answer.is_ok_and(|it| !it.is_replayed() && it.id() != accepted.id())),
        }
        assert_eq!(host.servers().await, 1);
        // The next round begins with no server.
        sqlx::raw_sql("DELETE FROM vip.quotas").execute(&host.pool).await.unwrap();
        let clean = "SET session_replication_role = replica; DELETE FROM vip.servers; DELETE FROM vip.audit;
            SET session_replication_role = DEFAULT";
        sqlx::raw_sql(clean).execute(&host.pool).await.unwrap();
    }
    host.end().await;
}

#[tokio::test]
async fn a_host_that_crashes_before_its_commit_has_ordered_nothing_and_one_that_lost_the_answer_orders_once() {
    let host = Host::new().await;
    let order = host.provisioner.tenant("acme").create_server(site::spec("web-1")).prepare().await.unwrap();
    let mut transaction = host.begin().await;
    host.backend.accept_in(&mut transaction, &order).await.unwrap();
    // The server sees what it sees when a host dies: the connection is gone.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND datname = current_database()";
    assert_eq!(host.count(end).await, 1);
    assert!(transaction.commit().await.is_err());
    let sessions = "SELECT count(*) FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND datname = current_database()";
    site::until("its session has ended", async || host.count(sessions).await == 0).await;
    assert_eq!((host.count(TRACES).await, host.own_rows().await), (0, 0));
    // It has no key, and nobody knows which of these commits counted: it is one order.
    let first = host.accept(&order).await.unwrap();
    let again = host.accept(&order).await.unwrap();
    assert!(!first.is_replayed() && again.is_replayed() && first.id() == again.id());
    assert_eq!(host.servers().await, 1);
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptance_that_is_dropped_midway_leaves_nothing_of_itself_in_the_transaction() {
    let host = Host::new().await;
    let mut transaction = host.begin().await;
    host.backend.accept_in(&mut transaction, &host.order("web-1", "order-1").await).await.unwrap();
    let second = host.order("web-1", "order-1").await;
    let mut own = host.begin().await;
    {
        let waits = host.backend.accept_in(&mut own, &second);
        let patience = until_waited_for(&mut transaction, 1);
        tokio::select! {
            answer = waits => panic!("it did not wait: {answer:?}"),
            () = patience => {}
        }
    }
    transaction.rollback().await.unwrap();
    own.commit().await.unwrap();
    // The record of the second one had been written when it began to wait for the key.
    assert_eq!((host.count(TRACES).await, host.own_rows().await), (0, 1));
    host.end().await;
}

/// Says how the host ends a transaction in which an acceptance was dropped.
#[derive(Clone, Copy)]
enum End {
    Rollback,
    Commit,
}

#[tokio::test]
async fn an_acceptance_that_is_dropped_at_any_moment_leaves_nothing_of_itself_however_the_transaction_ends() {
    let host = Host::new().await;
    'ends: for end in [End::Rollback, End::Commit] {
        for polls in 1_u32.. {
            let order = host.order("web-1", &format!("order-{polls}")).await;
            let mut own = host.begin().await;
            let is_accepted = {
                let mut accepting = pin!(host.backend.accept_in(&mut own, &order));
                let mut left = polls;
                poll_fn(|context| {
                    left -= 1;
                    match accepting.as_mut().poll(context) {
                        Poll::Ready(answer) => Poll::Ready(answer.is_ok()),
                        // In the middle of a statement, whichever it is.
                        Poll::Pending if left == 0 => Poll::Ready(false),
                        Poll::Pending => Poll::Pending,
                    }
                })
                .await
            };
            let ended = match end {
                End::Commit if !is_accepted => own.commit().await,
                End::Rollback | End::Commit => own.rollback().await,
            };
            // The server may refuse to end a transaction whose savepoint was let go when the call was dropped.
            assert!(ended.is_ok() || !is_accepted, "{ended:?}");
            assert_eq!(host.count(TRACES).await, 0, "dropped after {polls} polls");
            if is_accepted {
                continue 'ends;
            }
        }
    }
    host.end().await;
}

#[tokio::test]
async fn a_deletion_in_a_transaction_may_follow_its_order_in_the_same_one() {
    let host = Host::new().await;
    let mut transaction = host.begin().await;
    let order = host.order("web-1", "order-1").await;
    let operation = host.backend.accept_in(&mut transaction, &order).await.unwrap();
    let tenant = host.provisioner.tenant("acme");
    let deletion = tenant.delete_server(operation.server_id()).prepare().unwrap();
    let deleted = host.backend.accept_in(&mut transaction, &deletion).await.unwrap();
    let again = host.backend.accept_in(&mut transaction, &deletion).await.unwrap();
    assert!(!deleted.is_replayed() && again.is_replayed() && deleted.id() == again.id());
    transaction.commit().await.unwrap();
    let record = tenant.server(operation.server_id()).await.unwrap();
    assert_eq!(record.delete_operation, Some(deleted.id()));
    let unknown = host.provisioner.tenant("other").delete_server(operation.server_id()).prepare().unwrap();
    assert!(matches!(host.accept(&unknown).await, Err(CommandError::NotFound)));
    host.end().await;
}

#[tokio::test]
async fn a_transaction_that_cannot_be_serialized_is_to_be_begun_anew() {
    let host = Host::new().await;
    let order = host.order("web-1", "order-1").await;
    let mut transaction = host.pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await.unwrap();
    // Its snapshot is older than the other order.
    sqlx::raw_sql("SELECT count(*) FROM shop").execute(&mut *transaction).await.unwrap();
    let first = host.accept(&host.order("web-1", "order-1").await).await.unwrap();
    let refused = host.backend.accept_in(&mut transaction, &order).await;
    assert!(matches!(refused, Err(CommandError::Unavailable { .. })), "{refused:?}");
    transaction.rollback().await.unwrap();
    let answer = host.accept(&order).await.unwrap();
    assert!(answer.is_replayed() && answer.id() == first.id());
    host.end().await;
}

#[tokio::test]
async fn a_transaction_on_the_database_of_another_installation_is_refused() {
    let (host, stranger) = (Host::new().await, Host::new().await);
    let mut transaction = stranger.begin().await;
    let refused = host.backend.accept_in(&mut transaction, &host.order("web-1", "order-1").await).await;
    assert!(matches!(refused, Err(CommandError::Internal { .. })), "{refused:?}");
    transaction.commit().await.unwrap();
    assert_eq!(stranger.count(TRACES).await, 0);
    host.end().await;
    stranger.end().await;
}
