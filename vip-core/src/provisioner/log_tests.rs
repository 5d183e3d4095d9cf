//! A log that cannot be written ends no loop, whoever writes the line on the task of the loop.

use super::*;
use crate::memory::{MemoryProvider, ProviderFault, ProviderMethod, memory_backend};
use crate::ports::{ProviderErrorKind, SeededRandomness};
use crate::resilience::BreakerMode;
use crate::telemetry::unwritable::unwritable;

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_while_the_log_cannot_be_written_costs_the_check_of_tokens_no_turn() {
    let provider = MemoryProvider::default();
    for _ in 0..200 {
        provider.fail_next(ProviderMethod::Inventory, ProviderFault::Refuse(ProviderErrorKind::Unknown));
    }
    let product = Provisioner::builder(memory_backend()).provider(provider.clone()).client_only().await.unwrap();
    // It writes a line for each call, and lets it through.
    product.operator().set_breaker(&AccountId::default_account(), BreakerMode::ObserveOnly).unwrap();
    let _log = unwritable();
    let supervisor = Supervisor::new(Arc::new(SeededRandomness::new(1)));
    let _gates = loops::gates(&supervisor, &product.inner.shared.context);
    let failed = tokio::time::timeout(Duration::from_secs(120), supervisor.failed()).await;
    assert!(failed.is_err(), "{failed:?}");
    assert!(provider.calls(ProviderMethod::Inventory) > 5, "the breaker has opened");
    for status in supervisor.statuses() {
        assert_eq!((status.restarts, status.running), (0, true), "{}", status.name);
    }
}
