//! One fixture and one line for each adapter, and that the guide shows this code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vip_adapters::vip_core::conformance::{AuditSinkFixture, CacheFixture, Lapse, ProviderFixture};
use vip_adapters::vip_core::memory::ManualClock;
use vip_adapters::vip_core::model::{ChainHash, Labels, Power, ProviderName, SealedRecord, TenantId, Timestamp};
use vip_adapters::vip_core::ports::{AuditSink, Cache, CreateRequest, ProviderClient, SinkName};
use vip_adapters::vip_core::{audit_sink_suite, cache_suite, provider_suite};

use crate::audit_sink::FolderSink;
use crate::cache::FolderCache;
use crate::provider_client::RackClient;
use crate::rack::{Rack, Trouble};

/// Is a folder that can be put out of reach: a file stands in its place then.
#[derive(Debug)]
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    fn break_down(&self) {
        std::fs::rename(self.path(), self.folder.path().join("away")).unwrap();
        std::fs::write(self.path(), "no folder").unwrap();
    }

    fn repair(&self) {
        std::fs::remove_file(self.path()).unwrap();
        std::fs::rename(self.folder.path().join("away"), self.path()).unwrap();
    }
}

#[derive(Debug)]
struct SinkFixture {
    sink: FolderSink,
    place: Place,
}

async fn folder_sink() -> SinkFixture {
    let place = Place::new();
    SinkFixture { sink: FolderSink::new(SinkName::new("folder").unwrap(), place.path()), place }
}

#[async_trait::async_trait]
impl AuditSinkFixture for SinkFixture {
    fn sink(&self) -> &dyn AuditSink {
        &self.sink
    }

    async fn kept(&self, tenant: &TenantId) -> Vec<SealedRecord> {
        let folder = std::fs::read_dir(self.place.path().join(tenant.as_str())).unwrap();
        let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
    }

    async fn break_down(&self) {
        self.place.break_down();
    }

    async fn repair(&self) {
        self.place.repair();
    }
}

audit_sink_suite!(folder_sink);

#[tokio::test]
async fn a_delivery_that_failed_leaves_nothing_aside() {
    let fixture = folder_sink().await;
    let tenant = TenantId::new("acme").unwrap();
    let record = SealedRecord::new(1, ChainHash::genesis(&tenant), "{}".to_owned());
    let folder = fixture.place.path().join(tenant.as_str());
    // A folder has the record's place: what was written aside cannot be renamed to it.
    let taken = folder.join(format!("{:020}-{}.json", record.sequence, record.hash.as_str()));
    std::fs::create_dir_all(&taken).unwrap();
    fixture.sink.deliver(&tenant, &[record]).await.unwrap_err();
    let left: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [taken]);
}

#[derive(Debug)]
struct FolderCacheFixture {
    cache: FolderCache,
    clock: Arc<ManualClock>,
    place: Place,
}

async fn folder_cache() -> FolderCacheFixture {
    let (place, clock) = (Place::new(), Arc::new(ManualClock::new(Timestamp::from_micros(1))));
    FolderCacheFixture { cache: FolderCache::new(place.path(), Arc::clone(&clock) as _), clock, place }
}

#[async_trait::async_trait]
impl CacheFixture for FolderCacheFixture {
    fn cache(&self) -> &dyn Cache {
        &self.cache
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn break_down(&self) {
        self.place.break_down();
    }

    async fn repair(&self) {
        self.place.repair();
    }
}

cache_suite!(folder_cache);

#[derive(Debug)]
struct RackFixture {
    client: RackClient,
    rack: Arc<Rack>,
}

async fn rack() -> RackFixture {
    let rack = Arc::new(Rack::default());
    RackFixture { client: RackClient::new(Arc::clone(&rack), "a key to the cellar"), rack }
}

impl RackFixture {
    fn trouble(&self, lapse: Lapse) {
        self.rack.cellar().troubles.push_back(match lapse {
            Lapse::AnswerLost => Trouble::LineCutAfter,
            Lapse::RequestLost => Trouble::LineCutBefore,
            Lapse::Refused => Trouble::NoPower,
            Lapse::Slow => Trouble::NoAnswer,
        });
    }
}

#[async_trait::async_trait]
impl ProviderFixture for RackFixture {
    fn client(&self) -> &dyn ProviderClient {
        &self.client
    }

    fn order(&self) -> CreateRequest {
        CreateRequest {
            name: ProviderName::new("any-0123456789ab").unwrap(),
            server_type: "1u".to_owned(),
            location: "cellar".to_owned(),
            image: "debian-12".to_owned(),
            ssh_keys: vec!["ops".to_owned()],
            labels: Labels::new(),
            user_data: None,
            power: Power::On,
        }
    }

    async fn next_create(&self, lapse: Lapse) {
        self.trouble(lapse);
    }

    async fn next_delete(&self, lapse: Lapse) {
        self.trouble(lapse);
    }

    async fn next_look(&self, lapse: Lapse) {
        self.trouble(lapse);
    }

    async fn names(&self) -> Vec<String> {
        self.rack.cellar().machines.values().map(|machine| machine.name.clone()).collect()
    }

    async fn creates_seen(&self) -> u64 {
        self.rack.cellar().switched
    }
}

provider_suite!(rack);

#[test]
fn the_guide_shows_this_code() {
    let guide = include_str!("../../docs/how-to/write-an-adapter.md");
    let code = [
        include_str!("audit_sink.rs"),
        include_str!("cache.rs"),
        include_str!("provider_client.rs"),
        include_str!("tests.rs"),
    ];
    let shown: Vec<&str> = guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(shown.len() >= 5);
    for block in shown {
        // A line of dots stands for what is left out.
        for part in block.split("…\n") {
            let is_there = |text: &&str| dedent(text).contains(dedent(part).trim());
            assert!(code.iter().any(is_there), "not in the example:\n{part}");
        }
    }
}

fn dedent(text: &str) -> String {
    text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")
}
