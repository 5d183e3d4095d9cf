//! A host that embeds VIP beside its own sqlx migrations, in one database file, with a DATABASE_URL that leads nowhere.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use vip_adapters::vip_core::memory::MemoryProvider;
use vip_adapters::vip_core::model::ServerSpec;
use vip_adapters::vip_core::{Provisioner, RunningProvisioner};

type Fallible<T = ()> = Result<T, Box<dyn std::error::Error>>;

async fn open_host(file: &Path) -> Fallible<SqlitePool> {
    let options =
        SqliteConnectOptions::new().filename(file).create_if_missing(true).busy_timeout(Duration::from_secs(5));
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::migrate!("./migrations").run(&pool).await?;
    Ok(pool)
}

async fn open_vip(file: &Path) -> Fallible<RunningProvisioner> {
    let store = vip_adapters::connect(&format!("sqlite://{}", file.display())).await?;
    Ok(Provisioner::builder(store).provider(MemoryProvider::new()).start().await?)
}

/// Orders a server for the host's order number and writes the host's own row beside it.
async fn place(number: &str, host: &SqlitePool, vip: &RunningProvisioner) -> Fallible<String> {
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let operation = vip.tenant("acme").create_server(spec).idempotency_key(number).await?;
    let id = operation.id().to_string();
    sqlx::query("INSERT INTO orders (number, operation_id, placed_at) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING")
        .bind(number)
        .bind(&id)
        .execute(host)
        .await?;
    operation.wait().await?;
    Ok(id)
}

async fn tables_of_migrations(host: &SqlitePool) -> Fallible<Vec<String>> {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%migrations' ORDER BY name";
    Ok(sqlx::query_scalar(names).fetch_all(host).await?)
}

#[test]
fn the_database_url_of_the_host_leads_nowhere() {
    let url = std::env::var("DATABASE_URL").unwrap_or_default();
    assert!(url.ends_with("/nothing"), "run this through tests/run: DATABASE_URL is {url:?}");
}

#[tokio::test]
async fn host_and_vip_migrate_one_database_in_either_order() -> Fallible {
    for is_host_first in [true, false] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("panel.db");
        let (host, vip) = if is_host_first {
            let host = open_host(&file).await?;
            (host, open_vip(&file).await?)
        } else {
            let vip = open_vip(&file).await?;
            (open_host(&file).await?, vip)
        };
        assert_eq!(tables_of_migrations(&host).await?, ["_sqlx_migrations", "_vip_migrations"]);
        vip.shutdown(Duration::from_secs(5)).await;
        host.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn an_order_survives_a_restart_of_the_host() -> Fallible {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("panel.db");
    let mut operations = Vec::new();
    for _ in 0..2 {
        let host = open_host(&file).await?;
        let vip = open_vip(&file).await?;
        operations.push(place("order-8841", &host, &vip).await?);
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT number, operation_id FROM orders").fetch_all(&host).await?;
        assert_eq!(rows, [("order-8841".to_owned(), operations[0].clone())]);
        vip.shutdown(Duration::from_secs(5)).await;
        host.close().await;
    }
    assert_eq!(operations[0], operations[1], "the key was repeated: the same operation");
    Ok(())
}
