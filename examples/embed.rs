//! Embeds the product in a program of your own: order, follow, and shut down in order.
//!
//! Everything is logged by way of `tracing`, which is silent without a subscriber:
//! `tracing-subscriber = { version = "0.3", features = ["env-filter"] }`.

use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::model::ServerSpec;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    let folder = tempfile::tempdir()?;
    let backend = vip_adapters::connect(&format!("sqlite://{}", folder.path().join("vip.db").display())).await?;
    // For real servers, which cost money: HetznerClient::from_env(), and a database that stays, always the same one. A server
    // whose record is gone is paid for, and nobody removes it.
    let provisioner = Provisioner::builder(backend).provider(HetznerClient::simulated()?).quota(10).start().await?;

    let tenant = provisioner.tenant("acme");
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let order = tenant.create_server(spec).idempotency_key("order-8841").await?;
    println!("accepted: operation {}", order.id());

    let server = order.wait().await?;
    println!("running:  {} at {:?}", server.provider_name, server.addresses.ipv4);

    tenant.delete_server(server.id).await?.wait().await?;
    println!("deleted:  {}", server.provider_name);

    let report = provisioner.shutdown(Duration::from_secs(30)).await;
    println!("shutdown: {report}");
    Ok(())
}
