//! A host that embeds VIP beside its own sqlx migrations, in one database file, with a DATABASE_URL that leads nowhere.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::memory::MemoryProvider;
use vip_adapters::vip_core::model::{OperationId, ServerSpec, Timing};

type Fallible<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What the host's own bookkeeping says: version, description, checksum, and when it was applied.
type HostMigration = (i64, String, Vec<u8>, String);

const SHUTDOWN: Duration = Duration::from_secs(5);

async fn open_host(file: &Path) -> Fallible<SqlitePool> {
    let options =
        SqliteConnectOptions::new().filename(file).create_if_missing(true).busy_timeout(Duration::from_secs(5));
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::migrate!("./migrations").run(&pool).await?;
    Ok(pool)
}

async fn open_vip(file: &Path, cloud: &MemoryProvider) -> Fallible<Provisioner> {
    let backend = vip_adapters::connect(&format!("sqlite://{}", file.display())).await?;
    let mut timing = Timing::default();
    timing.look_first = Duration::from_millis(50);
    timing.look_again = Duration::from_millis(50);
    Ok(Provisioner::builder(backend).provider(cloud.clone()).timing(timing).start().await?)
}

fn cloud() -> MemoryProvider {
    MemoryProvider::new(Duration::from_millis(20))
}

/// Orders a server for the host's order number, waits until it runs, and writes the host's own row beside it.
async fn place(number: &str, host: &SqlitePool, vip: &Provisioner) -> Fallible<OperationId> {
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let operation = vip.tenant("acme").create_server(spec).idempotency_key(number).await?;
    sqlx::query("INSERT INTO orders (number, operation_id, placed_at) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING")
        .bind(number)
        .bind(operation.id().to_string())
        .execute(host)
        .await?;
    operation.wait().await?;
    Ok(operation.id())
}

async fn tables(host: &SqlitePool) -> Fallible<Vec<String>> {
    let names =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    Ok(sqlx::query_scalar(names).fetch_all(host).await?)
}

async fn host_migrations(host: &SqlitePool) -> Fallible<Vec<HostMigration>> {
    let rows = "SELECT version, description, checksum, CAST(installed_on AS TEXT) FROM _sqlx_migrations";
    Ok(sqlx::query_as(rows).fetch_all(host).await?)
}

#[test]
fn the_database_url_of_the_host_leads_nowhere() {
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    assert!(url.ends_with("/nothing"), "run cargo in tests/host, for its .cargo/config.toml: DATABASE_URL is {url:?}");
}

#[tokio::test]
async fn host_and_vip_migrate_one_database_in_either_order() -> Fallible {
    for is_host_first in [true, false] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("panel.db");
        let (host, vip) = if is_host_first {
            let host = open_host(&file).await?;
            (host, open_vip(&file, &cloud()).await?)
        } else {
            let vip = open_vip(&file, &cloud()).await?;
            (open_host(&file).await?, vip)
        };
        let (mut of_vip, of_host): (Vec<_>, Vec<_>) =
            tables(&host).await?.into_iter().partition(|name| name.starts_with("vip_") || name == "_vip_migrations");
        assert_eq!(of_host, ["_sqlx_migrations", "orders"]);
        of_vip.retain(|name| name == "_vip_migrations" || name == "vip_servers");
        assert_eq!(of_vip, ["_vip_migrations", "vip_servers"]);
        assert!(vip.shutdown(SHUTDOWN).await.is_clean());
        host.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn the_migrations_of_the_host_stay_as_they_were() -> Fallible {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("panel.db");
    let host = open_host(&file).await?;
    let before = host_migrations(&host).await?;
    assert_eq!(before.len(), 1);
    let vip = open_vip(&file, &cloud()).await?;
    place("order-8841", &host, &vip).await?;
    assert!(vip.shutdown(SHUTDOWN).await.is_clean());
    assert_eq!(host_migrations(&host).await?, before);
    host.close().await;
    // Both find their own bookkeeping again.
    let host = open_host(&file).await?;
    assert!(open_vip(&file, &cloud()).await?.shutdown(SHUTDOWN).await.is_clean());
    assert_eq!(host_migrations(&host).await?, before);
    Ok(())
}

#[tokio::test]
async fn an_order_survives_a_restart_of_the_host() -> Fallible {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("panel.db");
    let cloud = cloud();
    let mut operations = Vec::new();
    for _ in 0..2 {
        let host = open_host(&file).await?;
        let vip = open_vip(&file, &cloud).await?;
        operations.push(place("order-8841", &host, &vip).await?);
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT number, operation_id FROM orders").fetch_all(&host).await?;
        assert_eq!(rows, [("order-8841".to_owned(), operations[0].to_string())]);
        assert!(vip.shutdown(SHUTDOWN).await.is_clean());
        host.close().await;
    }
    assert_eq!(operations[0], operations[1], "the key was repeated: the same operation");
    assert_eq!(cloud.ever_created().len(), 1, "one order, one server, over two lives of the host");
    Ok(())
}
