//! A deletion that the provider refuses: how often it is tried, and what its tenant and an operator are told.

use super::*;
use crate::memory::{MemoryBackend, MemoryProvider, ProviderFault, ProviderMethod, VirtualClock};
use crate::model::{ServerId, ServerSpec, Timestamp};
use crate::ports::ProviderErrorKind;
use crate::runtime::{HealthStatus, PartHealth};

const HOUR: Duration = Duration::from_secs(3600);
/// More than a test has time for.
const ALL_DELETES: u32 = 2_000;

/// Is a product that deletes a server, and whose provider refuses that each time.
struct Refused {
    product: Provisioner,
    provider: MemoryProvider,
    server: ServerId,
    deletion: OperationHandle,
}

impl Refused {
    async fn with(kind: ProviderErrorKind) -> Self {
        let clock = VirtualClock::new(Timestamp::from_micros(1_000_000_000_000));
        let backend = MemoryBackend::new(Arc::new(clock), InstallationId::from_uuid(uuid::Uuid::from_u128(3)));
        let provider = MemoryProvider::default();
        let product = Provisioner::builder(backend).provider(provider.clone()).start().await.unwrap();
        let tenant = product.tenant("acme");
        let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
        let server = tenant.create_server(spec).await.unwrap().wait().await.unwrap().id;
        for _ in 0..ALL_DELETES {
            provider.fail_next(ProviderMethod::Delete, ProviderFault::Refuse(kind));
        }
        let deletion = tenant.delete_server(server).await.unwrap();
        Self { product, provider, server, deletion }
    }

    /// Returns what health says of the records.
    async fn records(&self) -> PartHealth {
        let parts = self.product.health().await.parts;
        parts.into_iter().find(|part| part.name == "records").unwrap()
    }

    async fn stop(self) {
        assert_eq!(self.product.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    }
}

async fn pass(time: Duration) {
    assert!(tokio::time::timeout(time, std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_refused_for_hours_is_told_to_operators_and_tried_a_few_times_an_hour() {
    let refused = Refused::with(ProviderErrorKind::Busy).await;
    pass(6 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(refused.records().await.status, HealthStatus::Ok, "an action may take hours");
    pass(HOUR).await;
    let told = refused.records().await;
    assert_eq!(told.status, HealthStatus::Degraded);
    assert!(told.detail.as_ref().is_some_and(|detail| detail.contains("a removal is not done after 2")), "{told:?}");
    // One audit record for each version, which are kept for ever.
    let record = refused.product.tenant("acme").server(refused.server).await.unwrap();
    assert!((40..=300).contains(&record.version), "{} audit records", record.version);
    assert_eq!(refused.provider.servers().len(), 1);
    refused.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_told_that_the_provider_refuses_and_not_that_it_does_not_answer() {
    let causes = [
        (ProviderErrorKind::Exhausted, "the provider refuses to remove the server"),
        (ProviderErrorKind::InvalidInput, "the provider refuses to remove the server"),
        (ProviderErrorKind::Busy, "the server is locked by other work at the provider"),
        (ProviderErrorKind::Unknown, "the provider does not answer as it should"),
    ];
    for (kind, cause) in causes {
        let refused = Refused::with(kind).await;
        pass(Duration::from_secs(10)).await;
        let why = refused.deletion.progress().await.unwrap().why();
        assert!(why.starts_with(&format!("Not done yet, because {cause}; it goes on by itself")), "{why}");
        refused.stop().await;
    }
}
