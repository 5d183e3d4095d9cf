//! Accepts in one product and works in another, as two processes do: the same builder with a different last line.

use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::model::ServerSpec;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("vip.db").display());

    // In the process that serves requests: it needs no provider, and no server comes to be as long as nobody works. It
    // orders in the account `default`, that of `.provider(…)` below; where workers have other accounts, it names each of
    // them with `.account_elsewhere(…)`, or its orders wait for a worker that never comes.
    let accepting = Provisioner::builder(vip_adapters::connect(&url).await?).client_only().await?;
    let spec = ServerSpec::new("web-1").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let order = accepting.tenant("acme").create_server(spec).idempotency_key("order-1").await?;
    println!("accepted: {}", order.progress().await?.why());

    // In another one, started now or long after; a second or a third one shares the work. Other timings than the default ones would be
    // the same in all of them.
    let working =
        Provisioner::builder(vip_adapters::connect(&url).await?).provider(HetznerClient::simulated()?).start().await?;
    println!("running:  {}", order.wait().await?.provider_name);

    println!("worker:   {}", working.shutdown(Duration::from_secs(30)).await);
    println!("acceptor: {}", accepting.shutdown(Duration::from_secs(5)).await);
    Ok(())
}
