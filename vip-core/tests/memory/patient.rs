//! A client that repeats a look by itself, which the contract leaves to it: it passes every case.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vip_core::conformance::{Lapse, ProviderFixture};
use vip_core::memory::MemoryProvider;
use vip_core::ports::{CreateRequest, ProviderClient, Randomness};
use vip_core::resilience::{RetryPolicy, Retrying};

use super::CloudInMemory;

/// Draws shares of zero: no repeat waits.
#[derive(Debug)]
struct AtOnce;

impl Randomness for AtOnce {
    fn next_u64(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
struct Patient {
    cloud: CloudInMemory,
    client: Retrying,
}

async fn patient() -> Patient {
    let provider = MemoryProvider::new(Duration::ZERO);
    let client = Retrying::new(Arc::new(provider.clone()), RetryPolicy::default(), Arc::new(AtOnce));
    Patient { cloud: CloudInMemory(provider), client }
}

#[async_trait]
impl ProviderFixture for Patient {
    fn client(&self) -> &dyn ProviderClient {
        &self.client
    }

    fn order(&self) -> CreateRequest {
        self.cloud.order()
    }

    async fn next_create(&self, lapse: Lapse) {
        self.cloud.next_create(lapse).await;
    }

    async fn next_delete(&self, lapse: Lapse) {
        self.cloud.next_delete(lapse).await;
    }

    async fn next_look(&self, lapse: Lapse) {
        self.cloud.next_look(lapse).await;
    }

    async fn names(&self) -> Vec<String> {
        self.cloud.names().await
    }

    async fn creates_seen(&self) -> u64 {
        self.cloud.creates_seen().await
    }
}

vip_core::provider_suite!(patient);
