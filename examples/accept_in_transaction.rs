//! Accepts an order inside a transaction of your own: your row and the order exist together, or neither does.
//!
//! Type: `cargo run --example accept_in_transaction --features postgres -- postgres://user@host/database`
//! With the simulated cloud name a database made for this, a new one for each run: the cloud forgets, the database does not.

use std::error::Error;
use std::time::Duration;

use sqlx::PgPool;
use vip_adapters::hetzner::HetznerClient;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::model::ServerSpec;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("name a database: postgres://user@host/database")?;
    run(&url).await
}

/// Sells one server: the shop's own row and the order of the server are one commit.
pub(crate) async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let pool = PgPool::connect(url).await?;
    let table = "CREATE TABLE IF NOT EXISTS shop_orders (number text PRIMARY KEY, operation text NOT NULL)";
    sqlx::raw_sql(table).execute(&pool).await?;
    let backend = PostgresBackend::with_pool(pool.clone(), PostgresConfig::default()).await?;
    // For real servers, which cost money: HetznerClient::from_env(), and a database that stays, always the same one. A server
    // whose record is gone is paid for, and nobody removes it.
    let provisioner = Provisioner::builder(backend.backend()).provider(HetznerClient::simulated()?).start().await?;

    // Before the transaction: what is checked and looked up here holds no lock.
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let order = provisioner.tenant("acme").create_server(spec).idempotency_key("order-8841").prepare().await?;

    let mut transaction = pool.begin().await?;
    let operation = backend.accept_in(&mut transaction, &order).await?;
    sqlx::query("INSERT INTO shop_orders (number, operation) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind("order-8841")
        .bind(operation.id().to_string())
        .execute(&mut *transaction)
        .await?;
    // Until here nobody sees either of them, and dropping the transaction takes both back.
    transaction.commit().await?;
    println!("accepted: operation {}", operation.id());

    let server = operation.wait().await?;
    println!("running:  {} at {:?}", server.provider_name, server.addresses.ipv4);
    println!("shutdown: {}", provisioner.shutdown(Duration::from_secs(30)).await);
    pool.close().await;
    Ok(())
}
