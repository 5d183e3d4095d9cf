//! Least privilege on PostgreSQL: one role migrates and owns, another one runs and cannot change what was audited.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::conformance::samples::tenant;
use vip_core::model::Timestamp;
use vip_core::ports::{JobQueue, Retention, Settled, Store, Verdict};

use crate::postgres_database::whole_order;
use crate::server;

/// The statements of the how-to, which an operator runs once; `vip_owner` migrates, `vip_app` runs.
const ROLES: &str = include_str!("../../docs/how-to/postgres-roles.sql");

#[tokio::test]
async fn the_run_role_does_all_the_work_and_cannot_change_audit_records_or_tables() {
    let database = server().new_database().await;
    server().run(&database, &format!("CREATE ROLE vip_owner LOGIN; CREATE ROLE vip_app LOGIN; GRANT CREATE ON DATABASE {database} TO vip_owner")).await;
    PostgresBackend::migrate(&server().url_for("vip_owner", &database)).await.unwrap();
    server().run(&database, ROLES).await;

    let url = server().url_for("vip_app", &database);
    let backend = PostgresBackend::connect(&url, PostgresConfig::default()).await.unwrap();
    let change = whole_order(1);
    assert_eq!(backend.commit(&change).await.unwrap().server.version, 1);
    assert_eq!(backend.seal(10).await.unwrap().sealed, 1);
    backend.enqueue(&[job("a")]).await.unwrap();
    for claimed in claim(&backend, 10).await {
        assert_eq!(settle(&backend, claimed.lease.reference, Verdict::Done).await, Settled::Applied);
    }
    backend.reap(1, 10).await.unwrap();
    backend.sight(&vip_core::model::AccountId::default_account(), &[]).await.unwrap();
    let (now, zero) = (backend.now().await.unwrap(), std::time::Duration::ZERO);
    let retention = Retention { now, keys: zero, records: zero, most: 10 };
    backend.trim(&retention).await.unwrap();
    assert!(backend.now().await.unwrap() > Timestamp::from_micros(0));
    assert!(Store::stats(&backend).await.is_ok() && JobQueue::stats(&backend, &[]).await.is_ok());
    backend.close().await.unwrap();

    let mut app = PgConnection::connect(&url).await.unwrap();
    for forbidden in [
        "DELETE FROM vip.audit",
        "TRUNCATE vip.audit",
        "UPDATE vip.audit SET body = '{}'",
        "UPDATE vip.audit SET sequence = 2",
        "UPDATE vip.audit SET sequence = NULL, hash = NULL",
        "INSERT INTO vip.audit (change_id, tenant, server, version, at, body, sequence, hash)
            VALUES (gen_random_uuid(), 'acme', gen_random_uuid(), 1, 0, '{}', 2, '')",
        "INSERT INTO vip.audit (position, change_id, tenant, server, version, at, body) OVERRIDING SYSTEM VALUE
            VALUES (-1, gen_random_uuid(), 'acme', gen_random_uuid(), 1, 0, '{}')",
        "DELETE FROM vip.audit_heads",
        "ALTER TABLE vip.audit DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TABLE vip.jobs",
        "CREATE TABLE vip.more (a integer)",
        "UPDATE vip.installation SET id = gen_random_uuid()",
        "UPDATE vip.compatibility SET readable_by = 9",
        "DELETE FROM vip.migrations",
    ] {
        assert!(sqlx::raw_sql(forbidden).execute(&mut app).await.is_err(), "{forbidden} was possible");
    }
    let whole = format!("SELECT count(*) FROM vip.audit WHERE tenant = '{}' AND sequence = 1", tenant("acme"));
    let kept: i64 = sqlx::query_scalar(AssertSqlSafe(whole)).fetch_one(&mut app).await.unwrap();
    assert_eq!(kept, 1);
    app.close().await.unwrap();
}
