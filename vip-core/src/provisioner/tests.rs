//! What a shutdown of the whole product does to audit sinks, and what goes along with a request to the provider.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::*;
use crate::memory::{MemoryProvider, memory_backend};
use crate::model::{SealedRecord, ServerSpec, TenantId};
use crate::ports::{AuditSinkError, SinkName};

/// Counts what it was given, and how often it was closed.
#[derive(Debug, Clone)]
struct Counting {
    name: SinkName,
    counts: Arc<Mutex<(u64, u32)>>,
}

impl Counting {
    fn new(name: &str) -> Self {
        Self { name: SinkName::new(name).unwrap(), counts: Arc::default() }
    }

    fn counts(&self) -> (u64, u32) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AuditSink for Counting {
    fn name(&self) -> SinkName {
        self.name.clone()
    }

    async fn deliver(&self, _tenant: &TenantId, batch: &[SealedRecord]) -> Result<(), AuditSinkError> {
        self.counts.lock().unwrap().0 += batch.len() as u64;
        Ok(())
    }

    async fn close(&self) -> Result<(), AuditSinkError> {
        self.counts.lock().unwrap().1 += 1;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_every_audit_sink_and_none_misses_the_last_record() {
    let sinks = [Counting::new("one"), Counting::new("two")];
    let mut builder = Provisioner::builder(memory_backend()).provider(MemoryProvider::default());
    for sink in &sinks {
        builder = builder.audit_sink(sink.clone());
    }
    let provisioner = builder.start().await.unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    drop(provisioner.tenant("acme").create_server(spec).await.unwrap());
    let report = provisioner.shutdown(Duration::ZERO).await;
    assert_eq!(report.tasks_left, 0, "{report}");
    for sink in &sinks {
        let (records, closed) = sink.counts();
        assert!(records >= 1, "the record of the order is delivered");
        assert_eq!(closed, 1);
    }
}

#[cfg(feature = "mocks")]
#[tokio::test(start_paused = true)]
async fn the_request_id_of_an_order_goes_along_to_the_provider() {
    use crate::model::{RequestId, TokenDigest};
    use crate::ports::{InventoryPage, ProviderError, ProviderErrorKind};

    let (told, mut asked_for) = tokio::sync::mpsc::unbounded_channel();
    let mut client = crate::mocks::MockProviderClient::new();
    client.expect_token_digest().returning(|| TokenDigest::of("token"));
    client.expect_inventory().returning(|_, _, _| Ok(InventoryPage { servers: Vec::new(), next: None }));
    client.expect_create().returning(move |_, context| {
        told.send(context.request_id.clone()).unwrap();
        Err(ProviderError::new(ProviderErrorKind::Busy, "locked"))
    });
    let provisioner = Provisioner::builder(memory_backend()).provider(client).start().await.unwrap();
    let request_id = RequestId::new("req-7").unwrap();
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    drop(provisioner.tenant("acme").request_id(request_id.clone()).create_server(spec).await.unwrap());
    assert_eq!(asked_for.recv().await.unwrap(), Some(request_id));
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}
