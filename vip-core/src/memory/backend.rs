//! Store and queue in memory, under one lock.

use std::sync::{Arc, PoisonError};

use super::clock::VirtualClock;
use super::job_queue::MemoryQueue;
use super::jobs::JobTable;
use super::state::{CommitRefusal, Shared};
use super::store::MemoryStore;
use super::tables::Tables;
use crate::model::InstallationId;
use crate::ports::{Backend, Clock, SystemClock, SystemRandomness};
use crate::seeded_bugs::{SeededBug, is_on};

/// Is a store and the queue beside it, in memory; clones share their rows, so they stand for several processes.
#[derive(Debug, Clone)]
pub struct MemoryBackend {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    installation: InstallationId,
}

/// Holds what a store and its queue kept at one moment.
#[derive(Debug, Clone)]
pub struct MemoryBackup {
    tables: Tables,
    jobs: JobTable,
}

impl MemoryBackend {
    /// Makes an empty backend on a clock, for an installation.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, installation: InstallationId) -> Self {
        Self { shared: Arc::default(), clock, installation }
    }

    /// Lets `passing` further commits pass and refuses the `refused` after them as unavailable; replaces what was said
    /// before.
    pub fn refuse_commits(&self, passing: u32, refused: u32) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refusal = CommitRefusal { passing, refused };
    }

    /// Forgets all jobs, as a queue does whose data was lost; the store keeps everything.
    pub fn lose_jobs(&self) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs = JobTable::default();
    }

    /// Copies everything that is kept now, as a backup does.
    #[must_use]
    pub fn backup(&self) -> MemoryBackup {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        MemoryBackup { tables: state.tables.clone(), jobs: state.jobs.clone() }
    }

    /// Puts back what a backup holds; everything since then is lost, as it is when a database is restored.
    pub fn restore(&self, backup: &MemoryBackup) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tables = backup.tables.clone();
        state.jobs = backup.jobs.clone();
    }

    /// Makes the ports of one process, whose own clock is `local`: only a seeded bug goes by that.
    #[cfg(vip_seeded_bugs)]
    #[must_use]
    pub fn ports_with_local_clock(&self, local: Arc<dyn Clock>) -> Backend {
        self.ports(local)
    }

    fn ports(&self, local: Arc<dyn Clock>) -> Backend {
        let clock = if is_on(SeededBug::LeaseByLocalClock) { local } else { self.clock.clone() };
        let store = MemoryStore::new(self.shared.clone(), self.clock.clone(), self.installation);
        Backend::new(Arc::new(store), Arc::new(MemoryQueue::new(self.shared.clone(), clock)))
    }
}

impl From<MemoryBackend> for Backend {
    fn from(memory: MemoryBackend) -> Self {
        memory.ports(memory.clock.clone())
    }
}

/// Makes an empty backend on the machine's clock; what it keeps is gone with the process.
///
/// Not under a paused clock: it goes by the machine's, and whoever waits spins. A test that waits for a server takes [`virtual_backend`].
#[must_use]
pub fn memory_backend() -> MemoryBackend {
    empty_on(Arc::new(SystemClock))
}

/// Makes an empty backend on tokio's clock: with `#[tokio::test(start_paused = true)]` a server runs within milliseconds.
///
/// Worker and [`MemoryProvider`](super::MemoryProvider) go by the same clock. `start_paused` needs tokio's feature `test-util`, which
/// belongs in your `[dev-dependencies]`, and a runtime of one thread, as `#[tokio::test]` makes it. A test that lasts for more than an hour
/// gives the builder a [`VirtualClock`], too: nothing is trimmed while that of the machine lies behind.
///
/// ```
/// use vip_core::Provisioner;
/// use vip_core::memory::{MemoryProvider, virtual_backend};
/// use vip_core::model::ServerSpec;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let provisioner = Provisioner::builder(virtual_backend()).provider(MemoryProvider::default()).start().await?;
/// let spec = ServerSpec::new("web-1").server_type("small").image("debian-12").location("here").ssh_key("ops");
/// let server = provisioner.tenant("acme").create_server(spec).await?.wait().await?;
/// assert!(server.addresses.ipv4.is_some());
/// # assert!(provisioner.shutdown(std::time::Duration::from_secs(5)).await.is_clean());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn virtual_backend() -> MemoryBackend {
    empty_on(Arc::new(VirtualClock::new(SystemClock.now())))
}

fn empty_on(clock: Arc<dyn Clock>) -> MemoryBackend {
    let randomness: &dyn crate::ports::Randomness = &SystemRandomness;
    MemoryBackend::new(clock, InstallationId::from_uuid(randomness.uuid()))
}
