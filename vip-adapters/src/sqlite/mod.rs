//! Store, queue and audit in one SQLite file: the embedded backend.
//!
//! Several processes of one machine may share a file; it has to be on a local disk. The tables begin with `vip_`, so
//! that a host may keep its own beside them. For people there are views with times that can be read, such as
//! `vip_servers_readable`.

mod address;
mod caught;
mod commit;
mod config;
mod connection;
mod error;
mod group;
mod job_queue;
mod jobs;
mod log_watch;
mod migration;
mod new_file;
mod outcomes;
mod place;
mod queries;
mod reader;
mod rows;
mod seal;
mod store;
mod transaction;
mod upkeep;
mod watcher;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use vip_core::model::{InstallationId, Timestamp};
use vip_core::ports::{Backend, Clock, Durability};
use vip_core::telemetry;

use crate::broken_chains::BrokenChains;
use crate::unread_accounts::UnreadAccounts;

pub use config::{SqliteConfig, Synchronous};
use connection::Connector;
use error::Failure;
pub use error::OpenError;
use outcomes::Outcomes;
use queries::Queries;
use reader::Reader;
use upkeep::Install;
use watcher::{Watcher, WatcherParts};
use writer::{Write, Writer, WriterHandle, WriterParts};

/// Says whether a URL names a file; looks at none.
pub(crate) fn check_url(url: &str) -> Result<(), OpenError> {
    address::file_of(url).map(drop)
}

/// Keeps orders, jobs and audit records in one SQLite file; a clone is the same backend.
///
/// # Guarantees
///
/// * A change is committed whole or not at all, also if its future is dropped or the process is killed.
/// * With [`Synchronous::Full`] a commit is on the disk when it is answered.
/// * Nothing is answered as committed once the file, or the log or the locks beside it (`-wal`, `-shm`), are no longer those that
///   were opened: removed, moved or replaced. The store is then unavailable until the process opens it anew; while they cannot be
///   looked at (a right is gone, the disk fails), until they can.
/// * A file whose log would be another one for others is refused ([`OpenError::Apart`]): one with a second name, or mounted by
///   itself from another file system. One that is mounted by itself from the same file system is not noticed.
/// * A panic in a write, such as one of a host's clock, leaves its outcome and that of those that share its commit unknown; what
///   comes next is written.
/// * A file that is made can be read by its owner and its group alone, and so can its log and its locks; one that is there keeps its
///   rights.
/// * User data that was erased is overwritten in the file; in the log beside it (`-wal`) older pages stay until the
///   next checkpoint, which SQLite makes every 4 MiB, and `trim` and `close` make, too.
///
/// # Assumptions
///
/// The file is on a local disk that keeps what it confirms, and all processes that open it use one clock.
#[derive(Debug, Clone)]
pub struct SqliteBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: WriterHandle,
    reader: Reader,
    watcher: Watcher,
    connector: Connector,
    clock: Arc<dyn Clock>,
    durability: Durability,
    broken_chains: BrokenChains,
    unread_accounts: UnreadAccounts,
    outcomes: Arc<Outcomes>,
    closing: watch::Sender<bool>,
    /// The connection that is closed last; empty once it was.
    anchor: Mutex<Option<SqliteConnection>>,
    /// The task of the writer; empty once it was joined.
    task: Mutex<JoinSet<()>>,
}

impl SqliteBackend {
    /// Opens a file, creates it if it is missing, unless it [has to be there](SqliteConfig::must_exist), and brings its
    /// tables up to date.
    ///
    /// Takes a path or a URL: `vip.db`, `sqlite://vip.db`, `sqlite:///var/lib/vip.db`.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed, at most an empty file was made.
    pub async fn open(address: &str, config: SqliteConfig) -> Result<Self, OpenError> {
        config.check()?;
        let connector = Connector::new(address::file_of(address)?, &config);
        let mut connection = connector.create().await?;
        let anchor = Mutex::new(Some(connector.anchor().await?));
        migration::migrate(&connector, &mut connection, migration::migrations()).await?;

        let queries = Arc::new(Queries::load(&config.filter));
        let (closing, closing_seen) = watch::channel(false);
        let (arrivals, arrivals_seen) = watch::channel(0);
        let clock = Arc::clone(&config.clock);
        let watcher = Watcher::new(WatcherParts {
            pool: connector.readers(1),
            queries: Arc::clone(&queries),
            clock: Arc::clone(&clock),
            poll_interval: config.poll_interval,
            arrivals: arrivals_seen,
            closing: closing_seen.clone(),
        });
        let reader = Reader::new(connector.clone(), Arc::clone(&queries), config.readers);
        let outcomes = Arc::new(Outcomes::new(config.busy_deadline, Instant::now()));
        let (writer, handle) = Writer::new(WriterParts {
            connector: connector.clone(),
            connection,
            queries,
            clock: Arc::clone(&clock),
            closing: closing_seen,
            arrivals,
            outcomes: Arc::clone(&outcomes),
        });
        let mut task = JoinSet::new();
        task.spawn(writer.run());
        let durability = match config.synchronous {
            Synchronous::Full => Durability::Durable,
            Synchronous::Normal => Durability::BoundedLoss { because: "SQLite runs with synchronous=NORMAL" },
        };
        let shared = Shared {
            writer: handle,
            reader,
            watcher,
            connector,
            clock,
            durability,
            broken_chains: BrokenChains::default(),
            unread_accounts: UnreadAccounts::default(),
            outcomes,
            closing,
            anchor,
            task: Mutex::new(task),
        };
        let backend = Self { shared: Arc::new(shared) };
        let id = InstallationId::from_uuid(config.randomness.uuid());
        match backend.write(Install(id)).await {
            Ok(()) => Ok(backend),
            Err(failure) => {
                backend.close_all().await;
                Err(OpenError::Migration { source: Box::new(vip_core::ports::StoreError::from(failure)) })
            }
        }
    }

    /// Returns store and queue for a builder.
    #[must_use]
    pub fn backend(&self) -> Backend {
        Backend::new(Arc::new(self.clone()), Arc::new(self.clone()))
    }

    /// Moves the write-ahead log into the file and empties it, unless somebody reads at this moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`](vip_core::ports::StoreError::Unavailable) if the writer is closed or too busy.
    pub async fn checkpoint(&self) -> Result<(), vip_core::ports::StoreError> {
        Ok(self.shared.writer.checkpoint(self.shared.connector.deadline()).await?)
    }

    async fn write<W: Write>(&self, write: W) -> Result<W::Answer, Failure> {
        self.shared.writer.write(write, self.shared.connector.deadline()).await
    }

    fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    fn watcher(&self) -> &Watcher {
        &self.shared.watcher
    }

    fn time(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Says no once what is written would be lost with the process.
    fn in_place(&self) -> Result<(), Failure> {
        self.shared.connector.in_place().map_err(Failure::unavailable)
    }

    fn broken_chains(&self) -> &BrokenChains {
        &self.shared.broken_chains
    }

    fn unread_accounts(&self) -> &UnreadAccounts {
        &self.shared.unread_accounts
    }

    /// Says what a write would meet.
    async fn of_next_write(&self) -> Result<(), Failure> {
        self.shared.outcomes.of_next(&self.shared.writer).await
    }

    fn kept(&self) -> Durability {
        self.shared.durability
    }

    async fn close_all(&self) {
        self.shared.closing.send_replace(true);
        let mut task = std::mem::take(&mut *self.shared.task.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = task.join_next().await {
            if let Err(error) = ended {
                telemetry::tell(|| {
                    tracing::error!(%error, db.file = %self.shared.connector.path().display(), "the writer did not end well");
                });
            }
        }
        self.shared.watcher.close().await;
        self.shared.reader.close().await;
        if let Some(anchor) = self.shared.last_anchor()
            && let Err(error) = anchor.close().await
        {
            telemetry::tell(|| {
                tracing::warn!(%error, "the database was not closed cleanly; the next opening repairs it");
            });
        }
    }
}

impl Shared {
    /// Takes the anchor to be closed; none if it was, or if it has to stay until the process ends: the last connection to end brings the
    /// log into the file as far as it knows it, and removes log and locks by their names, also those of a successor.
    fn last_anchor(&self) -> Option<SqliteConnection> {
        let anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if !self.connector.has_successor() {
            return Some(anchor);
        }
        telemetry::tell(|| {
            tracing::warn!(
                db.file = %self.connector.path().display(),
                "another process has opened the file anew: it is left to it, and not closed"
            );
        });
        std::mem::forget(anchor);
        None
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.last_anchor());
    }
}
