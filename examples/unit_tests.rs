//! Unit tests of your own code: with mocks where it counts that a call happens, with the memory backend elsewhere.
//!
//! `cargo test --example unit_tests`; run as a program it does the first one once. In a crate of your own they need
//!
//! ```toml
//! [dev-dependencies]
//! vip-core = { path = "../vip/vip-core", features = ["mocks"] }
//! tokio = { version = "1", features = ["test-util"] }
//! ```

use vip_adapters::vip_core::memory::{MemoryProvider, memory_backend};
use vip_adapters::vip_core::mocks::MockAuditSink;
use vip_adapters::vip_core::model::ServerSpec;
use vip_adapters::vip_core::ports::SinkName;
use vip_adapters::vip_core::provisioner::OperationHandle;
use vip_adapters::vip_core::{CommandError, Provisioner};

/// Is code of a host: orders a server for a customer, at most one for each contract.
async fn sell(provisioner: &Provisioner, customer: &str, contract: u32) -> Result<OperationHandle, CommandError> {
    let spec = ServerSpec::new("shop").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    provisioner.tenant(customer).create_server(spec).idempotency_key(format!("contract-{contract}")).await
}

/// Shows that a contract buys once, and that the audit leaves the house.
async fn a_contract_buys_once_and_is_audited() -> Result<(), Box<dyn std::error::Error>> {
    let mut sink = MockAuditSink::new();
    let name = SinkName::new("archive")?;
    sink.expect_name().returning(move || name.clone());
    // This is what a mock is for: the test fails unless the call happens.
    sink.expect_deliver().times(1..).returning(|_tenant, _records| Ok(()));
    sink.expect_close().times(1).returning(|| Ok(()));

    let provisioner =
        Provisioner::builder(memory_backend()).provider(MemoryProvider::default()).audit_sink(sink).start().await?;
    assert!(!sell(&provisioner, "acme", 1).await?.is_replayed(), "the first time it buys");
    assert!(sell(&provisioner, "acme", 1).await?.is_replayed(), "the second time it does not");
    assert!(!sell(&provisioner, "globex", 1).await?.is_replayed(), "another customer's contract is another one");
    // What has not been delivered by now is delivered here, and the sink is closed.
    let report = provisioner.shutdown(std::time::Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    a_contract_buys_once_and_is_audited().await?;
    println!("a contract buys once, and its audit records left the house");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;
    use vip_adapters::vip_core::memory::virtual_backend;

    use super::*;

    #[tokio::test]
    async fn a_contract_buys_once_and_is_audited() {
        super::a_contract_buys_once_and_is_audited().await.unwrap();
    }

    /// The ten seconds that the cloud takes pass at once: store, queue, worker and cloud go by the paused clock.
    #[tokio::test(start_paused = true)]
    async fn what_is_sold_runs_and_is_gone_once_it_is_deleted() {
        let (began, cloud) = (Instant::now(), MemoryProvider::default());
        let provisioner = Provisioner::builder(virtual_backend()).provider(cloud.clone()).start().await.unwrap();
        let server = sell(&provisioner, "acme", 1).await.unwrap().wait().await.unwrap();
        assert_eq!(cloud.servers().len(), 1);
        provisioner.tenant("acme").delete_server(server.id).await.unwrap().wait().await.unwrap();
        assert!(cloud.servers().is_empty());
        // On two clocks whoever waits would have spun through hours of the paused one.
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert!(provisioner.shutdown(Duration::from_secs(5)).await.is_clean());
    }
}
