//! A queue whose clock was a year ahead is exchanged: what was held under its epochs goes on under those of the next one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vip_core::Provisioner;
use vip_core::memory::{MemoryBackend, MemoryProvider, MemoryQueue, VirtualClock};
use vip_core::model::{InstallationId, ServerSpec, ServerState, Timestamp};
use vip_core::ports::Backend;
use vip_tests::lines::Lines;

use crate::cloud::TENANT;

const TEN_MINUTES: Duration = Duration::from_secs(600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[tokio::test(start_paused = true)]
async fn a_deletion_goes_on_under_a_queue_whose_epochs_are_a_year_behind_and_the_log_says_so() {
    let (lines, _listening) = Lines::listen();
    let now = Timestamp::from_micros(1_800_000_000_000_000);
    let clock = |at: Timestamp| Arc::new(VirtualClock::new(at));
    let memory = MemoryBackend::new(clock(now), InstallationId::from_uuid(uuid::Uuid::from_u128(7)));
    let provider = MemoryProvider::default();
    let start = async |queue: MemoryQueue| {
        let backend = Backend::from(memory.clone()).with_queue(queue);
        Provisioner::builder(backend).provider(provider.clone()).start().await.unwrap()
    };

    let first = start(MemoryQueue::alone(clock(now.plus(YEAR)))).await;
    let spec = ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k");
    let order = first.tenant(TENANT).create_server(spec).await.unwrap();
    let server = timeout(TEN_MINUTES, order.wait()).await.unwrap().unwrap();
    assert_eq!(first.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
    assert_eq!(lines.told("epoch"), 0, "{}", lines.text());

    let second = start(MemoryQueue::alone(clock(now))).await;
    let deletion = second.tenant(TENANT).delete_server(server.id).await.unwrap();
    let gone = timeout(TEN_MINUTES, deletion.wait()).await.unwrap().unwrap();
    assert_eq!((gone.state, provider.servers().len()), (ServerState::Deleted, 0));
    assert_eq!(lines.told("epochs were raised"), 1, "{}", lines.text());
    assert_eq!(second.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}
