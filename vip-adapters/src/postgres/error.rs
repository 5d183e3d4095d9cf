//! What can go wrong in the PostgreSQL adapter, and what it means for the ports above it.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use vip_core::ports::{QueueError, StoreError};

/// Says why a database could not be opened; never shows the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be read.
    #[error("not a URL of a PostgreSQL database; write `postgres://user@host/database`")]
    Address,
    /// A setting is out of its bounds.
    #[error("PostgreSQL settings: {rule}")]
    Config {
        /// What has to hold.
        rule: &'static str,
    },
    /// The server cannot be reached, or does not let us in.
    #[error("cannot connect to the database")]
    Connect {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server would lose commits that it has answered; call `allow_bounded_loss` to use it nevertheless.
    #[error(
        "the server would not keep what it answers: {setting} is {found}; switch it on, or call `allow_bounded_loss`"
    )]
    NotDurable {
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
    },
    /// A session does not have a setting that it was opened with, such as a time-out: something between us and the server leaves
    /// that out, as pgbouncer does where `ignore_startup_parameters` has `options`.
    #[error(
        "a session was opened with {setting} = {asked} and has {found}: a pooler leaves it out; say `Pooler::Transaction`, or connect past it"
    )]
    Session {
        /// The setting; times are in milliseconds.
        setting: &'static str,
        /// What was asked for.
        asked: String,
        /// What it is.
        found: String,
    },
    /// The database cannot hold every text.
    #[error("the database is encoded in {found}, and has to be in UTF8")]
    Encoding {
        /// Its encoding.
        found: String,
    },
    /// The database has no schema of ours, and the settings say that there has to be one.
    #[error("there is no schema `vip` in the database; is it the right one? Migrating makes a new one")]
    Missing,
    /// An earlier version has made the tables; migrate them in a deployment, with `PostgresBackend::migrate`.
    #[error(
        "the database has schema version {found}, this program needs {known}; migrate it first, with `PostgresBackend::migrate`"
    )]
    OlderSchema {
        /// The version found.
        found: i64,
        /// The version that this program needs.
        known: i64,
    },
    /// A newer version of this library has changed the tables so that this one cannot use them; run that version.
    #[error("the database has schema version {found}, this program knows versions up to {known}")]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The tables were made by another text of the same version, which there was before the first release alone.
    #[error(
        "the tables of schema version {version} are not those of this program, but of one before its release; make a new database"
    )]
    OtherSchema {
        /// The version whose text differs.
        version: i64,
    },
    /// The role may not use the schema, or may not make it.
    #[error(
        "the role may not use, or not create, the schema `vip`: migrate as its owner, then run docs/how-to/postgres-roles.sql"
    )]
    Rights {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The tables could not be created or brought up to date; nothing was changed.
    #[error("cannot migrate the database")]
    Migration {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Is the private error of the adapter.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// A rule of the protocol refused the write.
    Refused(Refusal),
    /// Nothing was changed, and it may work later.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// The connection was lost; what that means depends on what had been sent.
    Lost(Arc<dyn Error + Send + Sync>),
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
    #[error("all {most} connections for {purpose} were busy for {waited:.1?}; more are a setting of the adapter")]
    Exhausted { most: u32, purpose: &'static str, waited: Duration },
    #[error(
        "{cut} connections for {purpose} were cut while the server was silent, and none of them ended within {waited:.1?}"
    )]
    NotEnded { cut: u32, purpose: &'static str, waited: Duration },
    #[error("no connection to the server could be opened within {waited:.1?}")]
    NoConnection { waited: Duration },
    #[error("{most} calls of this process wait for their commit already")]
    TooManyWait { most: usize },
    #[error("the server did not answer until the deadline")]
    Silent,
    #[error("the database is closed")]
    Closed,
    #[error("the answer of the call was lost")]
    AnswerLost,
    #[error("a refusal of the store came out of the queue")]
    Misplaced,
    #[error("the chain head of a tenant is missing or was moved by somebody else")]
    Head,
    #[error("the transaction reaches the database of another installation")]
    OtherInstallation,
    #[error("the database has no installation id")]
    NoInstallation,
    #[error("the server of a committed change is gone")]
    ServerGone,
    #[error("a state of a job is not known")]
    JobState,
}

impl Failure {
    pub(super) fn unavailable(obstacle: Obstacle) -> Self {
        Self::Unavailable(Arc::new(obstacle))
    }

    pub(super) fn corrupt(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Corrupt(Arc::new(source))
    }

    /// Judges it as the failure of a statement that commits by itself, or of a COMMIT.
    pub(super) fn of_commit(self) -> Self {
        match self {
            Self::Lost(source) => Self::Unknown(source),
            Self::Refused(_) | Self::Unavailable(_) | Self::Unknown(_) | Self::Corrupt(_) => self,
        }
    }

    /// Judges it as the failure of a later one of several commits.
    pub(super) fn of_a_part(self) -> Self {
        match self {
            Self::Unavailable(source) | Self::Lost(source) | Self::Corrupt(source) => Self::Unknown(source),
            Self::Refused(_) | Self::Unknown(_) => self,
        }
    }

    /// Judges it as a failure to connect.
    pub(super) fn of_nothing_sent(self) -> Self {
        match self {
            // Whatever is wrong there, a password or a right, can be put right, and no row was looked at.
            Self::Lost(source) | Self::Corrupt(source) => Self::Unavailable(source),
            Self::Refused(_) | Self::Unavailable(_) | Self::Unknown(_) => self,
        }
    }

    /// Says whether the connection can be used after it: the server said no, or waited too long, and the connection stands.
    pub(super) fn spares_connection(&self) -> bool {
        matches!(self, Self::Refused(_))
            || self.code().is_some_and(|code| code::WAITED.contains(&&*code) || code::SCHEMA.contains(&&*code))
    }

    /// Says whether somebody has to put something right first, a right, a login or a table: not within a call.
    pub(super) fn waits_for_somebody(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with(code::LOGIN_CLASS) || code::SCHEMA.contains(&&*code))
    }

    /// Says whether a row was held by somebody else for longer than the statement waits: nothing was done.
    pub(super) fn waited_for_a_lock(&self) -> bool {
        self.code().is_some_and(|code| code == code::LOCK)
    }

    /// Says whether the server ended a statement because of its time: nothing was done.
    pub(super) fn took_too_long(&self) -> bool {
        self.code().is_some_and(|code| code == code::TOO_LONG)
    }

    /// Says whether a unique column refused a row: nothing was done.
    pub(super) fn is_of_a_taken_row(&self) -> bool {
        let (Self::Unavailable(source) | Self::Corrupt(source)) = self else { return false };
        let error = source.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
        error.is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }

    /// Says whether all connections of ours for something were busy.
    pub(super) fn is_of_busy_connections(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        let obstacle = source.downcast_ref::<Obstacle>();
        matches!(obstacle, Some(Obstacle::Exhausted { .. } | Obstacle::NotEnded { .. }))
    }

    /// Says whether the server answers reads and refuses every write.
    pub(super) fn is_of_a_standby(&self) -> bool {
        self.code().is_some_and(|code| code::STANDBY.contains(&&*code))
    }

    /// Returns what the server said, where nothing was done and it may work later.
    fn code(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Unavailable(source) => source.downcast_ref::<sqlx::Error>()?.as_database_error()?.code(),
            Self::Refused(_) | Self::Lost(_) | Self::Unknown(_) | Self::Corrupt(_) => None,
        }
    }
}

/// Judges an error of a statement: unless the connection was lost, the server has taken back what it had done.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match judge(&error) {
            Judgement::Passing => Self::Unavailable(Arc::new(error)),
            Judgement::Lost => Self::Lost(Arc::new(error)),
            Judgement::Lasting => Self::Corrupt(Arc::new(error)),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal::Conflict) => Self::Conflict,
            Failure::Refused(Refusal::KeyTaken) => Self::KeyTaken,
            Failure::Refused(Refusal::Quota { limit }) => Self::QuotaExceeded { limit },
            Failure::Unavailable(source) | Failure::Lost(source) => Self::Unavailable { source: Box::new(source) },
            Failure::Unknown(source) => Self::OutcomeUnknown { source: Box::new(source) },
            Failure::Corrupt(source) => Self::Corrupt { source: Box::new(source) },
        }
    }
}

impl From<Failure> for QueueError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(_) => Self::Corrupt { source: Box::new(Obstacle::Misplaced) },
            Failure::Unavailable(source) | Failure::Lost(source) => Self::Unavailable { source: Box::new(source) },
            Failure::Unknown(source) => Self::OutcomeUnknown { source: Box::new(source) },
            Failure::Corrupt(source) => Self::Corrupt { source: Box::new(source) },
        }
    }
}

/// Says what an error of the driver means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// Nothing was done, and it may work later.
    Passing,
    /// The connection broke.
    Lost,
    /// A wrong statement, a missing permission or damaged data.
    Lasting,
}

/// Conditions of the server by their SQLSTATE; whole classes by their first two letters.
mod code {
    /// The connection stands afterwards: a lock that was not to be had, a statement that took too long, a deadlock, a
    /// serialization failure.
    pub(super) const WAITED: [&str; 4] = [LOCK, TOO_LONG, "40P01", "40001"];
    pub(super) const LOCK: &str = "55P03";
    pub(super) const TOO_LONG: &str = "57014";
    /// A standby that is not promoted yet: the first of a statement, the second of `BEGIN … READ WRITE`, or of a plan whose table
    /// was changed.
    pub(super) const STANDBY: [&str; 2] = ["25006", "0A000"];
    /// A transaction of the host that has failed before; a prepared statement that somebody took away; no commands accepted until
    /// a vacuum, or a full queue of hints; a database that is being changed.
    pub(super) const PASSING: [&str; 4] = ["25P02", "26000", "54000", "55000"];
    /// What a migration, a grant or a change of a role puts right, for all rows alike: a missing right, table, column, schema,
    /// database. Taken for lasting, each job that meets it would burn an attempt.
    pub(super) const SCHEMA: [&str; 5] = ["42501", "42P01", "42703", "3F000", "3D000"];
    /// Who may log in.
    pub(super) const LOGIN_CLASS: &str = "28";
    /// Too many connections, no disk or memory left; a device that fails; another transaction was in the way.
    pub(super) const PASSING_CLASSES: [&str; 4] = ["53", "58", "40", LOGIN_CLASS];
    /// The server ends the connection, or does not take new ones: shutdown, crash, start, idle time-outs, a dropped database.
    pub(super) const LOST: [&str; 7] = ["57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"];
    pub(super) const LOST_CLASS: &str = "08";
    pub(super) const UNIQUE: &str = "23505";
}

fn judge(error: &sqlx::Error) -> Judgement {
    let database = error.as_database_error();
    let Some(found) = database.and_then(|error| error.code()) else {
        return if matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)) {
            Judgement::Lost
        } else if matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) {
            Judgement::Passing
        } else {
            Judgement::Lasting
        };
    };
    judge_code(&found, database.and_then(|error| error.constraint()))
}

fn judge_code(found: &str, constraint: Option<&str>) -> Judgement {
    // Somebody else made a job with this id meanwhile: the next try finds it. Of other keys it is never expected.
    let is_of_job = found == code::UNIQUE && constraint == Some("jobs_pkey");
    let passing: [&[&str]; 4] = [&code::WAITED, &code::STANDBY, &code::PASSING, &code::SCHEMA];
    if code::LOST.contains(&found) || found.starts_with(code::LOST_CLASS) {
        Judgement::Lost
    } else if is_of_job
        || passing.iter().any(|codes| codes.contains(&found))
        || code::PASSING_CLASSES.iter().any(|class| found.starts_with(class))
    {
        Judgement::Passing
    } else {
        Judgement::Lasting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_passes_ends_the_connection_or_lasts() {
        let passing = "40001 40P01 55P03 57014 25006 0A000 25P02 26000 54000 55000 42501 42P01 42703 3F000 3D000 53100 53200 53300
            58030 28P01 28000";
        let lost = "57P01 57P02 57P03 57P04 57P05 25P03 25P04 08006";
        // Of a row, or of what was to be written: it is the same tomorrow.
        let lasting = "22021 22P02 22003 23502 23505 23514 54001 42601 XX001";
        for (codes, judgement) in
            [(passing, Judgement::Passing), (lost, Judgement::Lost), (lasting, Judgement::Lasting)]
        {
            for code in codes.split_whitespace() {
                assert_eq!(judge_code(code, None), judgement, "{code}");
            }
        }
        assert_eq!(judge_code("23505", Some("jobs_pkey")), Judgement::Passing);
    }
}
