//! Three adapters that somebody else might write, each proven by one line: `cargo test --example write_an_adapter`.
//!
//! `docs/how-to/write-an-adapter.md` walks through it.

mod audit_sink;
mod cache;
mod provider_client;
mod rack;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use audit_sink::FolderSink;
use cache::FolderCache;
use provider_client::RackClient;
use rack::Rack;
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::memory::memory_backend;
use vip_adapters::vip_core::model::ServerSpec;
use vip_adapters::vip_core::ports::{Cache, CacheKey, SinkName, SystemClock};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let sink = FolderSink::new(SinkName::new("folder")?, folder.path().join("audit"));
    // A host reads it from where its secrets are; it is random and long, so that its digest reveals nothing.
    let key = "the key to the cellar";
    let provisioner = Provisioner::builder(memory_backend())
        .provider(RackClient::new(Arc::new(Rack::default()), key))
        .audit_sink(sink)
        .start()
        .await?;
    let spec = ServerSpec::new("web-1").server_type("1u").image("debian-12").location("cellar").ssh_key("ops");
    let order = provisioner.tenant("acme").create_server(spec).idempotency_key("order-1").await?;
    println!("accepted as {}", order.id());
    println!("{}", provisioner.shutdown(Duration::from_secs(5)).await);

    let cache = FolderCache::new(folder.path().join("cache"), Arc::new(SystemClock));
    let key = CacheKey::new(None, "greeting")?;
    cache.put(&key, b"hello", Duration::from_secs(60)).await?;
    println!("cached: {:?}", cache.get(&key).await?);
    Ok(())
}

#[cfg(test)]
mod tests;
