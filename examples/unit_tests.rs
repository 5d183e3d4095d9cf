//! Unit tests of your own code: with mocks where it counts that a call happens, with the memory backend elsewhere.
//!
//! `cargo test --example unit_tests`; run as a program it does the same once.

use vip_adapters::vip_core::memory::{MemoryProvider, memory_backend};
use vip_adapters::vip_core::mocks::MockAuditSink;
use vip_adapters::vip_core::model::ServerSpec;
use vip_adapters::vip_core::ports::SinkName;
use vip_adapters::vip_core::{CommandError, Provisioner};

/// Is code of a host: orders a server for a customer, at most one for each contract.
async fn sell(provisioner: &Provisioner, customer: &str, contract: u32) -> Result<bool, CommandError> {
    let spec = ServerSpec::new("shop").server_type("cpx22").image("ubuntu-24.04").location("fsn1").ssh_key("ops");
    let order =
        provisioner.tenant(customer).create_server(spec).idempotency_key(format!("contract-{contract}")).await?;
    Ok(!order.is_replayed())
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
    assert!(sell(&provisioner, "acme", 1).await?, "the first time it buys");
    assert!(!sell(&provisioner, "acme", 1).await?, "the second time it does not");
    assert!(sell(&provisioner, "globex", 1).await?, "another customer's contract is another one");
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
    #[tokio::test]
    async fn a_contract_buys_once_and_is_audited() {
        super::a_contract_buys_once_and_is_audited().await.unwrap();
    }
}
