//! What only the inside of the adapter can show: statements, migrations, the settings of the file.

mod writer;

use std::path::Path;
use std::sync::Arc;

use sqlx::{Connection, Executor, Row, SqliteConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;
use vip_core::ports::{Durability, Store, StoreError};

use super::config::QueryFilter;
use super::connection::Connector;
use super::migration::{migrate, migration, migrations};
use super::queries::Queries;
use super::{OpenError, SqliteBackend, SqliteConfig, Synchronous};

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vip.db").to_str().unwrap().to_owned();
    (folder, path)
}

async fn raw(path: &str) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{path}?mode=rwc")).await.unwrap()
}

async fn number(connection: &mut SqliteConnection, text: &'static str) -> i64 {
    sqlx::query_scalar(text).fetch_one(connection).await.unwrap()
}

fn connector(path: &str) -> Connector {
    Connector::new(Path::new(path).to_path_buf(), &SqliteConfig::default())
}

#[tokio::test]
async fn every_statement_can_be_prepared_on_a_fresh_database() {
    let (_folder, path) = folder();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    let mut connection = raw(&path).await;
    let unchanged: QueryFilter = Arc::new(|_, text| text.into());
    let queries = Queries::load(&unchanged);
    for (name, statement) in queries.all() {
        let prepared = (&mut connection).prepare(statement.text()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
    backend.close().await.unwrap();
}

/// Statements that read a whole table, each with the reason.
const WALKS: [(&str, &str); 1] = [("job_stats", "counts every job; a live queue is small, and an operator asks")];

#[tokio::test]
async fn no_statement_walks_through_a_table_that_grows() {
    let (_folder, path) = folder();
    let mut connection = raw(&path).await;
    migrate(&connector(&path), &mut connection, migrations()).await.unwrap();
    let explaining: QueryFilter = Arc::new(|_, text| format!("EXPLAIN QUERY PLAN {text}").into());
    let mut walks = Vec::new();
    for (name, statement) in Queries::load(&explaining).all() {
        for row in statement.query().fetch_all(&mut connection).await.unwrap() {
            let step: String = row.get("detail");
            let table = ["servers", "jobs", "audit", "operations", "keys"]
                .into_iter()
                .find(|table| step.starts_with(&format!("SCAN vip_{table}")) && !step.contains("INDEX vip_"));
            if table.is_some() && !WALKS.iter().any(|(known, _)| *known == name) {
                walks.push(format!("{name}: {step}"));
            }
        }
    }
    assert!(walks.is_empty(), "{walks:#?}");
}

#[tokio::test]
async fn keys_are_trimmed_without_a_look_at_records_whose_keys_are_gone() {
    let (_folder, path) = folder();
    let mut connection = raw(&path).await;
    migrate(&connector(&path), &mut connection, migrations()).await.unwrap();
    let explaining: QueryFilter = Arc::new(|_, text| format!("EXPLAIN QUERY PLAN {text}").into());
    let queries = Queries::load(&explaining);
    for (statement, index) in [
        (&queries.key_servers, "vip_servers_keyed"),
        (&queries.operation_trim, "vip_servers_to_trim"),
        (&queries.server_to_trim, "vip_servers_to_trim"),
    ] {
        let steps = statement.query().fetch_all(&mut connection).await.unwrap();
        let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
        let way = format!("SEARCH vip_servers USING INDEX {index} (gone_at");
        assert!(steps.iter().any(|step| step.starts_with(&way)), "{steps:#?}");
    }
}

#[tokio::test]
async fn a_delivery_reads_the_records_that_it_hands_out_and_looks_for_those_of_one_tenant() {
    let (_folder, path) = folder();
    let mut connection = raw(&path).await;
    migrate(&connector(&path), &mut connection, migrations()).await.unwrap();
    let explaining: QueryFilter = Arc::new(|_, text| format!("EXPLAIN QUERY PLAN {text}").into());
    let steps = Queries::load(&explaining).audit_deliverable.query().fetch_all(&mut connection).await.unwrap();
    let steps: Vec<(i64, String)> = steps.iter().map(|step| (step.get("parent"), step.get("detail"))).collect();
    // Beneath nothing are the steps of the whole statement; those that choose the tenant are beneath one of these.
    let whole: Vec<&str> = steps.iter().filter(|(parent, _)| *parent == 0).map(|(_, detail)| detail.as_str()).collect();
    assert!(whole.iter().any(|step| step.contains("(tenant=? AND sequence>?)")), "{steps:#?}");
    assert!(!whole.iter().any(|step| step.contains("TEMP B-TREE")), "they are in their order: {steps:#?}");
    let parent_of = |way: &str| steps.iter().find(|(_, detail)| detail.starts_with(way)).map(|(parent, _)| *parent);
    let (sorted, asked) = (parent_of("USE TEMP B-TREE FOR ORDER BY"), parent_of("CORRELATED SCALAR SUBQUERY"));
    assert!(sorted.is_some() && asked.is_some() && sorted != asked, "tenants are ordered first: {steps:#?}");
}

#[tokio::test]
async fn sixteen_openings_at_once_agree_on_one_installation() {
    let (_folder, path) = folder();
    let mut opening = JoinSet::new();
    for _ in 0..16 {
        let path = path.clone();
        opening.spawn(async move { SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap() });
    }
    let mut installations = Vec::new();
    for backend in opening.join_all().await {
        installations.push(backend.installation().await.unwrap());
        backend.close().await.unwrap();
    }
    installations.dedup();
    assert_eq!(installations.len(), 1);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_a_later_one_succeeds() {
    let (_folder, path) = folder();
    let mut connection = raw(&path).await;
    let mut broken = migrations();
    broken.push(migration(2, "broken", "CREATE TABLE vip_more (a INTEGER) STRICT; CREATE TABLE oops ("));
    let failed = migrate(&connector(&path), &mut connection, broken).await;
    assert!(matches!(failed, Err(OpenError::Migration { .. })), "{failed:?}");
    assert_eq!(number(&mut connection, "SELECT count(*) FROM sqlite_schema").await, 0);
    migrate(&connector(&path), &mut connection, migrations()).await.unwrap();
    migrate(&connector(&path), &mut connection, migrations()).await.unwrap();
    assert_eq!(number(&mut connection, "SELECT count(*) FROM _vip_migrations").await, 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_named() {
    let (_folder, path) = folder();
    let mut connection = raw(&path).await;
    let mut newer = migrations();
    newer.push(migration(7, "of a later version", "CREATE TABLE vip_more (a INTEGER) STRICT"));
    migrate(&connector(&path), &mut connection, newer).await.unwrap();
    let refused = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NewerSchema { found: 7, known: 1 }), "{refused}");
}

#[tokio::test]
async fn tables_that_another_text_of_the_same_version_has_made_are_refused_with_the_file_and_what_to_do() {
    let (_folder, path) = folder();
    SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap().close().await.unwrap();
    let mut connection = raw(&path).await;
    let change = "UPDATE _vip_migrations SET checksum = x'00'";
    assert_eq!(sqlx::query(change).execute(&mut connection).await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
    for config in [SqliteConfig::default(), SqliteConfig::default().must_exist()] {
        let refused = SqliteBackend::open(&path, config).await.unwrap_err();
        let OpenError::OtherSchema { path: found, version: 1 } = &refused else { panic!("{refused:?}") };
        assert_eq!(found, Path::new(&path));
        assert!(refused.to_string().contains("vip.db") && refused.to_string().contains("make a new"), "{refused}");
    }
}

#[tokio::test]
async fn tables_and_migrations_of_the_host_stay_as_they_are() {
    let (_folder, path) = folder();
    let mut connection = raw(&path).await;
    let host = "CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (7);
        CREATE TABLE _sqlx_migrations (version BIGINT); INSERT INTO _sqlx_migrations VALUES (99);";
    sqlx::raw_sql(host).execute(&mut connection).await.unwrap();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    assert_eq!(number(&mut connection, "SELECT id FROM orders").await, 7);
    assert_eq!(number(&mut connection, "SELECT count(*) FROM _sqlx_migrations").await, 1);
    let foreign = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'vip\\_%' ESCAPE '\\'
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT IN ('orders', '_sqlx_migrations', '_vip_migrations')";
    assert_eq!(number(&mut connection, foreign).await, 0, "every table of ours has the prefix");
    backend.close().await.unwrap();
}

#[tokio::test]
async fn less_than_full_durability_is_refused_unless_allowed_and_then_told() {
    let (_folder, path) = folder();
    let relaxed = SqliteConfig::default().synchronous(Synchronous::Normal);
    let refused = SqliteBackend::open(&path, relaxed.clone()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotDurable { pragma: "synchronous", .. }), "{refused}");
    let allowed = SqliteBackend::open(&path, relaxed.allow_bounded_loss()).await.unwrap();
    assert!(matches!(Store::durability(&allowed), Durability::BoundedLoss { .. }));
    allowed.close().await.unwrap();
    let full = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    assert_eq!(Store::durability(&full), Durability::Durable);
    full.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_named_and_a_missing_file_is_created() {
    let (folder, path) = folder();
    let nowhere = folder.path().join("no/vip.db");
    let error = SqliteBackend::open(nowhere.to_str().unwrap(), SqliteConfig::default()).await.unwrap_err();
    assert!(error.to_string().contains("no/vip.db"), "{error}");
    let backend = crate::connect(&format!("sqlite://{path}")).await.unwrap();
    assert!(Path::new(&path).exists());
    backend.store.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_vanished_is_an_error_and_not_a_new_database() {
    let (_folder, path) = folder();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    backend.close().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(connector(&path).reconnect().await.is_err());
    assert!(!Path::new(&path).exists());
}

#[tokio::test]
async fn a_closed_backend_answers_unavailable() {
    let (_folder, path) = folder();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    backend.close().await.unwrap();
    backend.close().await.unwrap();
    assert!(matches!(backend.checkpoint().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(backend.installation().await, Err(StoreError::Unavailable { .. })));
    assert!(!Path::new(&format!("{path}-wal")).exists(), "the log was moved into the file");
}

#[tokio::test]
async fn a_busy_file_is_unavailable_after_the_deadline_and_usable_afterwards() {
    let (_folder, path) = folder();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let account = vip_core::model::AccountId::default_account();
    // Nobody waits in earnest, and what comes afterwards has all of the deadline.
    tokio::time::pause();
    let refused = backend.sight(&account, &[]).await;
    tokio::time::resume();
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(backend.sightings(&account).await.unwrap().is_empty(), "readers do not wait for writers");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    backend.sight(&account, &[]).await.unwrap();
    backend.close().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_fails_takes_nothing_with_it() {
    let (_folder, path) = folder();
    let broken = |name: &str, text: &'static str| {
        if name == "sighting_insert" { "INSERT INTO nowhere VALUES (1)".into() } else { text.into() }
    };
    let backend = SqliteBackend::open(&path, SqliteConfig::default().query_filter(broken)).await.unwrap();
    let account = vip_core::model::AccountId::default_account();
    let refused = backend.sight(&account, &[]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    backend.save_account(&vip_core::model::Account::unknown(account.clone())).await.unwrap();
    assert_eq!(backend.account(&account).await.unwrap().version, 1);
    backend.close().await.unwrap();
}

#[tokio::test]
async fn audit_records_can_neither_be_deleted_nor_changed() {
    let (_folder, path) = folder();
    let backend = SqliteBackend::open(&path, SqliteConfig::default()).await.unwrap();
    let mut connection = raw(&path).await;
    let insert =
        "INSERT INTO vip_audit (change_id, tenant, server, version, at, body) VALUES ('c', 't', 's', 1, 1, '{}')";
    sqlx::query(insert).execute(&mut connection).await.unwrap();
    for text in [
        "DELETE FROM vip_audit",
        "UPDATE vip_audit SET body = '{\"a\":1}'",
        "UPDATE vip_audit SET body = '{\"a\":1}', sequence = 1, hash = 'h'",
    ] {
        let refused = sqlx::query(text).execute(&mut connection).await.unwrap_err().to_string();
        assert!(refused.contains("audit records"), "{text}: {refused}");
    }
    let seal = "UPDATE vip_audit SET sequence = 1, hash = 'h'";
    sqlx::query(seal).execute(&mut connection).await.unwrap();
    assert!(sqlx::query("UPDATE vip_audit SET sequence = 2").execute(&mut connection).await.is_err());
    backend.close().await.unwrap();
}
