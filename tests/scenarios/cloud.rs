//! The simulated cloud of these stories: two projects, quick servers, and what its ledger says.

use std::sync::Arc;
use std::time::Duration;

use vip_adapters::hetzner::HetznerClient;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, Ledger, Simulator};
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, VirtualClock};
use vip_core::model::{InstallationId, Timestamp};
use vip_core::ports::SeededRandomness;

/// The project that stories play in, and its token.
pub(crate) const PROJECT: (&str, &str) = ("first", "first0000token00000000000000000000000000000000000000000000000000");
/// Another project, and its token.
pub(crate) const OTHER_PROJECT: (&str, &str) =
    ("second", "second000token00000000000000000000000000000000000000000000000000");
pub(crate) const TENANT: &str = "acme";

pub(crate) fn simulator() -> Simulator {
    Simulator::builder()
        .create_time(Duration::from_millis(50))
        .delete_time(Duration::from_millis(20))
        .rate_limit_per_hour(1_000_000)
        .project(PROJECT.0, PROJECT.1)
        .project(OTHER_PROJECT.0, OTHER_PROJECT.1)
        .build()
}

pub(crate) fn client(simulator: &Simulator) -> HetznerClient {
    HetznerClient::in_process(simulator, PROJECT.1).unwrap()
}

/// Starts a product in virtual time, with the limit that the provider gives.
pub(crate) async fn in_virtual_time(simulator: &Simulator) -> Provisioner {
    let clock = Arc::new(VirtualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let backend = MemoryBackend::new(clock.clone(), InstallationId::from_uuid(uuid::Uuid::from_u128(7)));
    let builder = Provisioner::builder(backend).provider(HetznerClient::in_process(simulator, DEFAULT_TOKEN).unwrap());
    builder.clock(*clock).randomness(SeededRandomness::new(7)).start().await.unwrap()
}

/// Counts requests that can change something.
pub(crate) fn changes(ledger: &Ledger) -> u64 {
    ledger.requests.iter().filter(|it| it.method != "GET").map(|it| it.count).sum()
}

pub(crate) fn names(from: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{from}-{number}")).collect()
}
