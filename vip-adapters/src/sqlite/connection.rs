//! How connections are opened, and the check that the file keeps what it answers.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};
use tokio::time::Instant;
use vip_core::ports::Randomness;

use crate::backoff::Backoff;
use crate::missing::Missing;

use super::config::{BoundedLoss, SqliteConfig, Synchronous};
use super::error::{Obstacle, OpenError, is_busy};
use super::log_watch::LOG_BYTES;
use super::place::{self, Place};
use super::{migration, new_file};

/// How long a reader waits inside the driver; a reader in WAL mode waits only while somebody opens or closes the file.
const READER_BUSY: Duration = Duration::from_millis(100);
/// Statements that a connection keeps prepared; there are fewer than this in all.
const STATEMENTS: usize = 128;
/// Shortest wait for a busy file: about as long as a small commit takes.
const BACKOFF_FIRST: Duration = Duration::from_millis(1);
/// Longest wait: with several processes on a file each still gets many tries within its deadline.
const BACKOFF_MOST: Duration = Duration::from_millis(25);
/// `PRAGMA synchronous` answers numbers; from this one on a commit is on the disk when it is answered.
const SYNCHRONOUS_FULL: i64 = 2;

/// Opens connections to one file, all with the same settings.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    path: PathBuf,
    synchronous: Synchronous,
    bounded_loss: BoundedLoss,
    missing: Missing,
    busy_deadline: Duration,
    randomness: Arc<dyn Randomness>,
    /// Where the file stood when it was opened first; empty before.
    place: Arc<OnceLock<Place>>,
}

impl Connector {
    pub(super) fn new(path: PathBuf, config: &SqliteConfig) -> Self {
        Self {
            path,
            synchronous: config.synchronous,
            bounded_loss: config.bounded_loss,
            missing: config.missing,
            busy_deadline: config.busy_deadline,
            randomness: Arc::clone(&config.randomness),
            place: Arc::default(),
        }
    }

    pub(super) const fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(Arc::clone(&self.randomness), BACKOFF_FIRST, BACKOFF_MOST)
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.busy_deadline
    }

    /// Checks that the file still stands where it was opened.
    pub(super) fn in_place(&self) -> Result<(), Obstacle> {
        self.place.get().map_or(Ok(()), Place::check)
    }

    /// Returns how many bytes the log beside the file has, if both, and the locks, still stand where they were opened.
    pub(super) fn log_in_place(&self) -> Result<u64, Obstacle> {
        self.place.get().map_or(Ok(0), Place::log_of_kept)
    }

    /// Says whether others use the file beside us under locks of their own.
    pub(super) fn has_successor(&self) -> bool {
        self.place.get().is_some_and(Place::has_successor)
    }

    fn options(&self) -> SqliteConnectOptions {
        let synchronous = match self.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        };
        // Where it was found first: a link, or a working directory, may lead elsewhere by now.
        let path = self.place.get().map_or(self.path.as_path(), Place::path);
        SqliteConnectOptions::new()
            .filename(path)
            .synchronous(synchronous)
            .statement_cache_capacity(STATEMENTS)
            // Erased user data is overwritten, not just unlinked.
            .pragma("secure_delete", "ON")
            .pragma("journal_size_limit", LOG_BYTES.to_string())
            .disable_statement_logging()
    }

    /// Makes the file if it is missing, unless that is refused, and opens the first connection.
    pub(super) async fn create(&self) -> Result<SqliteConnection, OpenError> {
        let path = self.path.clone();
        let fault = tokio::task::spawn_blocking(move || place::fault_of_names(&path)).await;
        self.demand_together(fault.map_err(|source| self.file_error(source))?)?;
        match self.missing {
            Missing::Refused => self.demand_tables().await?,
            Missing::Made => self.make().await?,
        }
        // SQLite makes no file any more: one that is gone again is an error, and none that everybody can read.
        let options = self.options().journal_mode(SqliteJournalMode::Wal);
        let mut connection = match self.connect(&options.busy_timeout(Duration::ZERO)).await {
            Ok(connection) => connection,
            Err(source) => return Err(self.not_opened(source).await),
        };
        self.check(&mut connection).await?;
        self.hold_log(&mut connection).await?;
        let path = self.path.clone();
        // Links are followed through folders that nobody may have looked at for long: not on a thread that others wait for.
        let place = tokio::task::spawn_blocking(move || Place::of(&path)).await.map_err(io::Error::other).flatten();
        let place = place.map_err(|source| self.file_error(source))?;
        self.demand_together(place.fault())?;
        self.place.get_or_init(|| place);
        Ok(connection)
    }

    async fn make(&self) -> Result<(), OpenError> {
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || new_file::make(&path)).await.map_err(io::Error::other).flatten() {
            Ok(()) => Ok(()),
            Err(source) => Err(self.not_opened(source).await),
        }
    }

    /// Says why the file was not made or opened: of a folder that is not there SQLite says only that it cannot open the file.
    async fn not_opened(&self, source: impl Error + Send + Sync + 'static) -> OpenError {
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || place::has_folder(&path)).await {
            Ok(false) => self.file_error(Obstacle::NoFolder),
            Ok(true) | Err(_) => self.file_error(source),
        }
    }

    /// Opens a connection that is used for nothing and has to be closed last: with the last one that ends SQLite removes log and
    /// locks, and whoever opens the file next makes others.
    pub(super) async fn anchor(&self) -> Result<SqliteConnection, OpenError> {
        let mut anchor = self.reconnect().await.map_err(|source| self.file_error(source))?;
        self.hold_log(&mut anchor).await?;
        Ok(anchor)
    }

    /// Reads: only a connection that has read has opened the log, which is made if there is none, and keeps it there.
    async fn hold_log(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        migration::is_migrated(self, connection).await.map(drop).map_err(|source| self.file_error(source))
    }

    fn demand_together(&self, fault: Option<&'static str>) -> Result<(), OpenError> {
        fault.map_or(Ok(()), |fault| Err(OpenError::Apart { path: self.path.clone(), fault }))
    }

    /// Refuses a file that is missing or has no tables of ours, such as an empty one; makes and changes nothing.
    async fn demand_tables(&self) -> Result<(), OpenError> {
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || path.try_exists()).await.map_err(io::Error::other).flatten();
        if !found.map_err(|source| self.file_error(source))? {
            return Err(OpenError::Missing { path: self.path.clone() });
        }
        // Without the mode for our log: a file of somebody else's stays as it is.
        let mut connection = self.reconnect().await.map_err(|source| self.file_error(source))?;
        let is_migrated = migration::is_migrated(self, &mut connection).await;
        connection.close().await.map_err(|source| self.file_error(source))?;
        if is_migrated.map_err(|source| self.file_error(source))? {
            Ok(())
        } else {
            Err(OpenError::Missing { path: self.path.clone() })
        }
    }

    /// Opens another connection for writing; a file that vanished is an error, never a new empty database.
    pub(super) async fn reconnect(&self) -> Result<SqliteConnection, sqlx::Error> {
        // Waiting is done outside of the driver, where it has jitter and blocks no thread.
        self.connect(&self.options().busy_timeout(Duration::ZERO)).await
    }

    /// Makes a pool of connections that cannot write; it opens them when they are needed.
    pub(super) fn readers(&self, most: u32) -> SqlitePool {
        let options = self.options().pragma("query_only", "ON").busy_timeout(READER_BUSY);
        SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(self.busy_deadline)
            .test_before_acquire(false)
            // A connection lives as long as the pool: `data_version` counts from its opening.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options)
    }

    async fn connect(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
        let (mut backoff, deadline) = (self.backoff(), self.deadline());
        loop {
            match options.connect().await {
                // Changing to WAL needs the file alone for a moment.
                Err(error) if is_busy(&error) && backoff.pause(deadline).await => {}
                other => return other,
            }
        }
    }

    async fn check(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        let journal: String = self.pragma("PRAGMA journal_mode", connection).await?;
        if !journal.eq_ignore_ascii_case("wal") {
            // Some file systems (those of networks above all) cannot share the memory that WAL needs.
            return Err(OpenError::NotDurable { pragma: "journal_mode", found: journal, wanted: "wal" });
        }
        let synchronous: i64 = self.pragma("PRAGMA synchronous", connection).await?;
        if synchronous < SYNCHRONOUS_FULL && self.bounded_loss == BoundedLoss::Refused {
            let found = format!("{synchronous} ({})", self.synchronous.as_str());
            return Err(OpenError::NotDurable { pragma: "synchronous", found, wanted: "2 (FULL)" });
        }
        Ok(())
    }

    async fn pragma<T>(&self, text: &'static str, connection: &mut SqliteConnection) -> Result<T, OpenError>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let row = sqlx::query(text).fetch_one(connection).await.map_err(|source| self.file_error(source))?;
        row.try_get(0).map_err(|source| self.file_error(source))
    }

    fn file_error(&self, source: impl Error + Send + Sync + 'static) -> OpenError {
        OpenError::File { path: self.path.clone(), source: Box::new(source) }
    }
}
