//! What can go wrong in the Redis adapters, and what it means for the ports above them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use vip_core::ports::{CacheError, QueueError};

/// Says why a queue or a cache could not be opened; shows no part of the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is no URL of a Redis server.
    #[error("not a URL of a Redis server: write `redis://host:port`, `rediss://host:port` or `redis+unix:///path`")]
    Address {
        /// What the client says of it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// TLS was not compiled in.
    #[error("`rediss:` needs the feature `redis-tls` of vip-adapters, which is off")]
    TlsOff,
    /// A setting is out of its bounds.
    #[error("Redis settings: {rule}")]
    Config {
        /// What has to hold.
        rule: &'static str,
    },
    /// The server cannot be used now.
    #[error("cannot use the Redis server")]
    Unavailable {
        /// What happened beneath.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server would lose jobs at any time; call `allow_unsafe_server` to use it nevertheless.
    #[error("Redis would not keep jobs: {setting} is {found}, must be {wanted}")]
    UnsafeServer {
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The queue is another store's: give each a server, a database or a name of its own.
    #[error(
        "the queue named {name:?} is used by the store of installation {owner}: give this one another name or database"
    )]
    OtherStore {
        /// Name of the queue.
        name: String,
        /// The installation that used it first.
        owner: String,
    },
}

/// Is the private error of the adapters.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Nothing was sent, or the server refused it before it did anything.
    NotDone(Arc<dyn Error + Send + Sync>),
    /// The server has no memory for it and did nothing; whatever takes none still works.
    Full(Arc<dyn Error + Send + Sync>),
    /// It was sent, and nobody knows what became of it.
    Unknown(Arc<dyn Error + Send + Sync>),
    /// It will not work later either.
    Corrupt(Arc<dyn Error + Send + Sync>),
}

/// Says what stands in the way where no error of the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("Redis failed a moment ago and is left alone until it is asked again")]
    Open,
    #[error("Redis did not accept a connection within {0:?}")]
    NotConnected(Duration),
    #[error("Redis did not answer within {0:?}")]
    NotAnswered(Duration),
    #[error("the server's settings would lose jobs")]
    Unsafe,
    #[error("Redis answered in another form than the script's")]
    Form,
    #[error("a stored field is missing or cannot be read: {0}")]
    Field(&'static str),
    #[error("{what} of more than {most}")]
    TooMuch { what: &'static str, most: usize },
}

impl Failure {
    /// Judges it as the failure of a later one of several calls.
    pub(super) fn of_a_part(self) -> Self {
        match self {
            Self::NotDone(source) | Self::Full(source) => Self::Unknown(source),
            Self::Unknown(_) | Self::Corrupt(_) => self,
        }
    }

    pub(super) fn not_done(source: impl Error + Send + Sync + 'static) -> Self {
        Self::NotDone(Arc::new(source))
    }

    pub(super) fn unknown(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Unknown(Arc::new(source))
    }

    pub(super) fn corrupt(source: impl Error + Send + Sync + 'static) -> Self {
        Self::Corrupt(Arc::new(source))
    }

    /// Judges what came instead of an answer to something that was sent.
    pub(super) fn of_answer(error: RedisError) -> Self {
        match judge(&error) {
            Judgement::NotDone => Self::not_done(error),
            Judgement::Full => Self::Full(Arc::new(error)),
            Judgement::Unknown => Self::unknown(error),
            Judgement::Corrupt => Self::corrupt(error),
        }
    }

    /// Says whether contact was lost or the server is not itself: then the next call begins with a new connection.
    ///
    /// A full server is itself: what holds leases, and what would empty it, must not wait because an addition was refused.
    pub(super) const fn is_outage(&self) -> bool {
        match self {
            Self::NotDone(_) | Self::Unknown(_) => true,
            Self::Full(_) | Self::Corrupt(_) => false,
        }
    }

    pub(super) fn into_source(self) -> Box<dyn Error + Send + Sync> {
        match self {
            Self::NotDone(source) | Self::Full(source) | Self::Unknown(source) | Self::Corrupt(source) => {
                Box::new(source)
            }
        }
    }
}

enum Judgement {
    NotDone,
    Full,
    Unknown,
    Corrupt,
}

/// First words of answers that a server gives before it begins a script. A script that has begun to write is finished.
const REFUSALS: [&str; 4] = ["BUSY", "MISCONF", "NOAUTH", "NOREPLICAS"];
/// First word of the answer of a full server to a script whose first write is an addition.
const FULL: &str = "OOM";

#[expect(clippy::wildcard_enum_match_arm, reason = "the client's list of kinds is open; what it adds is unknown to us")]
fn judge(error: &RedisError) -> Judgement {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::NoScript
            | ServerErrorKind::NoPerm
            // A node of a cluster says where a key is; nothing was done, and another server may stand here again.
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::CrossSlot,
        ) => Judgement::NotDone,
        _ if error.code() == Some(FULL) => Judgement::Full,
        _ if error.code().is_some_and(|code| REFUSALS.contains(&code)) => Judgement::NotDone,
        ErrorKind::Server(_) | ErrorKind::UnexpectedReturnType | ErrorKind::Extension => Judgement::Corrupt,
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => Judgement::NotDone,
        _ => Judgement::Unknown,
    }
}

impl From<Failure> for QueueError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotDone(source) | Failure::Full(source) => Self::Unavailable { source: Box::new(source) },
            Failure::Unknown(source) => Self::OutcomeUnknown { source: Box::new(source) },
            Failure::Corrupt(source) => Self::Corrupt { source: Box::new(source) },
        }
    }
}

impl From<Failure> for CacheError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.into_source())
    }
}
