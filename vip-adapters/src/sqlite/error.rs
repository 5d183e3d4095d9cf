//! What can go wrong in the SQLite adapter, and what it means for the ports above it.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vip_core::ports::{QueueError, StoreError};

/// Says why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address names no file.
    #[error("{address:?} is no address of a SQLite file: {rule}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A setting is out of its bounds.
    #[error("SQLite settings: {rule}")]
    Config {
        /// What has to hold.
        rule: &'static str,
    },
    /// The file cannot be opened or created.
    #[error("cannot open {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no file, or none with tables of ours, and the settings say that there has to be one.
    #[error("there is no database of VIP at {}; is its volume there? Migrating makes a new one", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The database would lose commits that it has answered; call `allow_bounded_loss` to use it nevertheless.
    #[error("SQLite would not keep what it answers: {pragma} is {found}, must be {wanted}")]
    NotDurable {
        /// The setting.
        pragma: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// SQLite keeps its log and its locks beside the name of the file, and they would be others than those of whoever opens it by
    /// another one: it is mounted by itself, or hard-linked. Where that can be seen it is refused.
    #[error(
        "{} {fault}: commits would be lost, or written over by another process; mount the folder that the file is in, not the file, and leave it one name",
        path.display()
    )]
    Apart {
        /// The file.
        path: PathBuf,
        /// What keeps it apart from its log.
        fault: &'static str,
    },
    /// A newer version of this library has changed the tables; run that version.
    #[error("the database has schema version {found}, this program knows versions up to {known}")]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The tables were made by another text of the same version, which there was before the first release alone.
    #[error(
        "the tables of schema version {version} in {} are not those of this program, but of one before its release; make a new database",
        path.display()
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The version whose text differs.
        version: i64,
    },
    /// The tables could not be created or brought up to date; nothing was changed.
    #[error("cannot migrate the database")]
    Migration {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Is the private error of the adapter; `Clone`, because one failed commit answers everybody who shared it.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// A rule of the protocol refused the write.
    Refused(Refusal),
    /// Nothing was changed, and it may work later.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// It may have been committed.
    Unknown(Arc<dyn Error + Send + Sync>),
    /// It will not work later either.
    Corrupt(Arc<dyn Error + Send + Sync>),
}

/// Says which rule refused a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Conflict,
    KeyTaken,
    Quota { limit: u32 },
}

/// Says what stands in the way where no driver error does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("others kept the database busy until the deadline")]
    Busy,
    #[error("its folder is not there")]
    NoFolder,
    #[error("the database is closed")]
    Closed,
    #[error(
        "the file, or its log or locks (`-wal`, `-shm`), was removed, moved or replaced, and what is written would be lost: put the file \
         back and start anew"
    )]
    Moved,
    #[error("the file, or its log or locks (`-wal`, `-shm`), cannot be looked at ({0}); each call looks again")]
    Unseen(ErrorKind),
    #[error("the answer of the writer was lost")]
    AnswerLost,
    #[error("the writer panicked")]
    Panicked,
    #[error("a refusal of the store came out of the queue")]
    Misplaced,
    #[error("the chain head of a tenant is missing or was moved by somebody else")]
    Head,
    #[error("the database has no installation id")]
    NoInstallation,
    #[error("the server of a committed change is gone")]
    ServerGone,
    #[error("the record of an ended server was not found when it was to be trimmed")]
    Untrimmed,
}

/// Says that changes are not kept, and for how long.
#[derive(Debug, thiserror::Error)]
#[error("no change has been kept for {} s", time.as_secs())]
pub(super) struct NotKept {
    pub(super) time: Duration,
    #[source]
    pub(super) source: Arc<dyn Error + Send + Sync>,
}

impl Failure {
    /// Says whether others had the file for as long as this could wait, and nothing else is known.
    pub(super) fn is_missed_turn(&self) -> bool {
        let source = self.cause();
        let is_busy = source.downcast_ref::<sqlx::Error>().is_some_and(is_busy);
        is_busy || source.downcast_ref::<Obstacle>().is_some_and(|obstacle| *obstacle == Obstacle::Busy)
    }

    /// Returns what happened beneath.
    pub(super) fn cause(&self) -> Arc<dyn Error + Send + Sync> {
        match self {
            Self::Refused(_) => Arc::new(Obstacle::Misplaced),
            Self::Unavailable(source) | Self::Unknown(source) | Self::Corrupt(source) => Arc::clone(source),
        }
    }

    pub(super) fn unavailable(obstacle: Obstacle) -> Self {
        Self::Unavailable(Arc::new(obstacle))
    }

    pub(super) fn corrupt(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Corrupt(Arc::new(source))
    }

    /// Judges an error of COMMIT: only "busy" is a promise that nothing was written.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        if is_busy(&error) { Self::Unavailable(Arc::new(error)) } else { Self::Unknown(Arc::new(error)) }
    }
}

/// Judges an error of anything but COMMIT: the transaction is rolled back, so nothing was written.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) { Self::Unavailable(Arc::new(error)) } else { Self::Corrupt(Arc::new(error)) }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal::Conflict) => Self::Conflict,
            Failure::Refused(Refusal::KeyTaken) => Self::KeyTaken,
            Failure::Refused(Refusal::Quota { limit }) => Self::QuotaExceeded { limit },
            Failure::Unavailable(source) => Self::Unavailable { source: Box::new(source) },
            Failure::Unknown(source) => Self::OutcomeUnknown { source: Box::new(source) },
            Failure::Corrupt(source) => Self::Corrupt { source: Box::new(source) },
        }
    }
}

impl From<Failure> for QueueError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(_) => Self::Corrupt { source: Box::new(Obstacle::Misplaced) },
            Failure::Unavailable(source) => Self::Unavailable { source: Box::new(source) },
            Failure::Unknown(source) => Self::OutcomeUnknown { source: Box::new(source) },
            Failure::Corrupt(source) => Self::Corrupt { source: Box::new(source) },
        }
    }
}

/// SQLite's primary result codes; the driver gives extended ones, whose lowest byte is the primary one.
mod code {
    pub(super) const PERMISSION: i32 = 3;
    pub(super) const ABORT: i32 = 4;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NO_MEMORY: i32 = 7;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const INPUT_OUTPUT: i32 = 10;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
    /// Many races for the locks of the log were lost.
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const SCHEMA: i32 = 17;
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Says whether somebody else held a lock that this statement needs.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(code::BUSY | code::LOCKED))
}

/// Says whether the cause may pass: locks, a full disk, a lost connection; not a wrong statement or damaged bytes.
fn is_passing(error: &sqlx::Error) -> bool {
    match primary_code(error) {
        Some(code) => is_passing_code(code),
        None => matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed
        ),
    }
}

const fn is_passing_code(code: i32) -> bool {
    matches!(
        code,
        code::PERMISSION
            | code::ABORT
            | code::BUSY
            | code::LOCKED
            | code::NO_MEMORY
            | code::READ_ONLY
            | code::INTERRUPT
            | code::INPUT_OUTPUT
            | code::FULL
            | code::CANNOT_OPEN
            | code::PROTOCOL
            | code::SCHEMA
    )
}
