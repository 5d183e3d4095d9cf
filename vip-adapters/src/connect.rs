//! From a URL to a backend.

use vip_core::ports::Backend;

use crate::missing::Missing;

/// Says why a URL led to no backend; shows the scheme alone, because the rest may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The adapter exists and was not compiled in.
    #[error("`{scheme}:` needs the feature `{feature}` of vip-adapters, which is off")]
    FeatureOff {
        /// The URL's scheme.
        scheme: &'static str,
        /// The feature to switch on.
        feature: &'static str,
    },
    /// No adapter has this scheme.
    #[error("no adapter for `{scheme}:`; known are `postgres:` (feature `postgres`) and `sqlite:` (feature `sqlite`)")]
    UnknownScheme {
        /// The URL's scheme.
        scheme: String,
    },
    /// It has no scheme.
    #[error("not a URL of a backend; write `sqlite://vip.db` or `postgres://user@host/database`")]
    NoScheme,
    /// The SQLite file could not be opened.
    #[cfg(feature = "sqlite")]
    #[error("cannot use the SQLite database")]
    Sqlite(#[from] crate::sqlite::OpenError),
    /// The PostgreSQL database could not be used.
    #[cfg(feature = "postgres")]
    #[error("cannot use the PostgreSQL database")]
    Postgres(#[from] crate::postgres::OpenError),
    /// The store did not say which installation it is of.
    #[error("the store does not say which installation it is of")]
    Store(#[from] vip_core::ports::StoreError),
    /// The Redis server could not be used as a queue.
    #[cfg(feature = "redis")]
    #[error("cannot use the queue on Redis")]
    Redis(#[from] crate::redis::OpenError),
}

/// Names the environment variable with the URL of the queue's Redis server: `redis://host:port`.
pub const REDIS_URL_VARIABLE: &str = "VIP_REDIS_URL";

/// Opens the backend that a URL names, with default settings: `sqlite://vip.db`,
/// `postgres://user@host/database`.
///
/// It makes the database if there is none, and an empty one knows none of the servers: in production say
/// [`connect_existing`].
///
/// # Errors
///
/// [`ConnectError`]; a URL whose feature is off names the feature.
pub async fn connect(url: &str) -> Result<Backend, ConnectError> {
    connect_with(url, Missing::Made).await
}

/// Opens the backend that a URL names, with default settings, if there is one: `sqlite://vip.db`,
/// `postgres://user@host/database`.
///
/// A database that is not there, or that has no tables of ours, is refused and not made: a repeat of an order would buy a
/// second server there. [`connect`] makes it, once.
///
/// # Errors
///
/// [`ConnectError`]; a URL whose feature is off names the feature.
pub async fn connect_existing(url: &str) -> Result<Backend, ConnectError> {
    connect_with(url, Missing::Refused).await
}

/// Says whether [`connect`] can read a URL. Nothing is opened, and nobody is asked.
///
/// # Errors
///
/// [`ConnectError`]; a URL whose feature is off names the feature.
pub fn check_url(url: &str) -> Result<(), ConnectError> {
    match Kind::of(url)? {
        Kind::Sqlite => check_sqlite(url),
        Kind::Postgres => check_postgres(url),
    }
}

async fn connect_with(url: &str, missing: Missing) -> Result<Backend, ConnectError> {
    match Kind::of(url)? {
        Kind::Sqlite => connect_sqlite(url, missing).await,
        Kind::Postgres => connect_postgres(url, missing).await,
    }
}

/// Says which adapter a URL is for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn of(url: &str) -> Result<Self, ConnectError> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Ok(Self::Sqlite),
            Some("postgres" | "postgresql") => Ok(Self::Postgres),
            // Other forms of addresses have a password before their first colon.
            Some(scheme) if is_scheme(scheme) => Err(ConnectError::UnknownScheme { scheme: scheme.to_owned() }),
            Some(_) | None => Err(ConnectError::NoScheme),
        }
    }
}

/// Longest scheme that is shown; those that are registered are shorter.
const SCHEME_BYTES: usize = 32;

fn is_scheme(text: &str) -> bool {
    text.len() <= SCHEME_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '.' | '-'))
}

/// Puts the queue on the Redis server that `VIP_REDIS_URL` names beside a store, with default settings; without that
/// variable the backend stays as it is.
///
/// # Errors
///
/// [`ConnectError`]; a URL that is set while the feature is off names the feature.
pub async fn connect_queue(backend: Backend) -> Result<Backend, ConnectError> {
    match std::env::var_os(REDIS_URL_VARIABLE) {
        Some(url) => connect_queue_at(backend, &url.to_string_lossy()).await,
        None => Ok(backend),
    }
}

/// Puts the queue on the Redis server of a URL beside a store, with default settings: `redis://host:port`. A queue that
/// another installation has used is refused.
///
/// # Errors
///
/// [`ConnectError`]; without the feature it names it.
pub async fn connect_queue_at(backend: Backend, url: &str) -> Result<Backend, ConnectError> {
    queue_at(backend, url).await
}

/// Says whether [`connect_queue_at`] can read a URL. Nobody is asked.
///
/// # Errors
///
/// [`ConnectError`]; without the feature it names it.
pub fn check_queue_url(url: &str) -> Result<(), ConnectError> {
    check_queue(url)
}

#[cfg(feature = "redis")]
fn check_queue(url: &str) -> Result<(), ConnectError> {
    Ok(crate::redis::check_url(url)?)
}

#[cfg(not(feature = "redis"))]
fn check_queue(_url: &str) -> Result<(), ConnectError> {
    Err(ConnectError::FeatureOff { scheme: "redis", feature: "redis" })
}

#[cfg(feature = "redis")]
async fn queue_at(backend: Backend, url: &str) -> Result<Backend, ConnectError> {
    let queue = crate::redis::RedisQueue::open(url, crate::redis::RedisConfig::queue()).await?;
    let installation = backend.store.installation().await?;
    Ok(backend.with_queue(queue.for_installation(installation).await?))
}

#[cfg(not(feature = "redis"))]
#[expect(clippy::unused_async, reason = "the same signature with and without the feature")]
async fn queue_at(_backend: Backend, _url: &str) -> Result<Backend, ConnectError> {
    Err(ConnectError::FeatureOff { scheme: "redis", feature: "redis" })
}

#[cfg(feature = "sqlite")]
fn check_sqlite(url: &str) -> Result<(), ConnectError> {
    Ok(crate::sqlite::check_url(url)?)
}

#[cfg(not(feature = "sqlite"))]
fn check_sqlite(_url: &str) -> Result<(), ConnectError> {
    Err(ConnectError::FeatureOff { scheme: "sqlite", feature: "sqlite" })
}

#[cfg(feature = "sqlite")]
async fn connect_sqlite(url: &str, missing: Missing) -> Result<Backend, ConnectError> {
    let config = match missing {
        Missing::Made => crate::sqlite::SqliteConfig::default(),
        Missing::Refused => crate::sqlite::SqliteConfig::default().must_exist(),
    };
    Ok(crate::sqlite::SqliteBackend::open(url, config).await?.backend())
}

#[cfg(not(feature = "sqlite"))]
#[expect(clippy::unused_async, reason = "the same signature with and without the feature")]
async fn connect_sqlite(_url: &str, _missing: Missing) -> Result<Backend, ConnectError> {
    Err(ConnectError::FeatureOff { scheme: "sqlite", feature: "sqlite" })
}

#[cfg(feature = "postgres")]
fn check_postgres(url: &str) -> Result<(), ConnectError> {
    Ok(crate::postgres::check_url(url)?)
}

#[cfg(not(feature = "postgres"))]
fn check_postgres(_url: &str) -> Result<(), ConnectError> {
    Err(ConnectError::FeatureOff { scheme: "postgres", feature: "postgres" })
}

#[cfg(feature = "postgres")]
async fn connect_postgres(url: &str, missing: Missing) -> Result<Backend, ConnectError> {
    let config = match missing {
        Missing::Made => crate::postgres::PostgresConfig::default(),
        Missing::Refused => crate::postgres::PostgresConfig::default().must_exist(),
    };
    Ok(crate::postgres::PostgresBackend::connect(url, config).await?.backend())
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "the same signature with and without the feature")]
async fn connect_postgres(_url: &str, _missing: Missing) -> Result<Backend, ConnectError> {
    Err(ConnectError::FeatureOff { scheme: "postgres", feature: "postgres" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unknown_scheme_is_named_without_the_rest_of_the_url() {
        let error = connect("mysql://user:secret@host/db").await.unwrap_err().to_string();
        assert!(
            error.contains("`mysql:`") && error.contains("feature `sqlite`") && !error.contains("secret"),
            "{error}"
        );
        assert!(matches!(connect("vip.db").await, Err(ConnectError::NoScheme)));
        for form in ["user=vip password=secret hostaddr=::1", "Password=secret;Server=tcp:db", "password=secret:b"] {
            let error = connect(form).await.unwrap_err();
            assert!(matches!(error, ConnectError::NoScheme), "{error:?}");
        }
        let (longest, longer) = ("a".repeat(SCHEME_BYTES), "a".repeat(SCHEME_BYTES + 1));
        assert!(matches!(connect(&format!("{longest}:b")).await, Err(ConnectError::UnknownScheme { .. })));
        assert!(matches!(connect(&format!("{longer}:b")).await, Err(ConnectError::NoScheme)));
    }

    #[cfg(all(feature = "sqlite", feature = "postgres", feature = "redis"))]
    #[test]
    fn a_url_is_checked_without_anything_being_there() {
        for good in ["sqlite:///nowhere/at/all/vip.db", "postgres://user@nowhere.invalid/db"] {
            check_url(good).unwrap();
        }
        for bad in ["vip.db", "mysql://host/db", "sqlite::memory:", "postgres://user@host:port/db"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        check_queue_url("redis://nowhere.invalid").unwrap();
        assert!(check_queue_url("nonsense").is_err());
    }

    #[tokio::test]
    async fn a_queue_that_cannot_be_used_is_an_error_that_shows_no_password() {
        let memory = vip_core::memory::memory_backend();
        let error = queue_at(memory.into(), "redis://:secret@127.0.0.1:1").await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        assert!(error.to_string().contains(if cfg!(feature = "redis") { "queue on Redis" } else { "feature `redis`" }));
    }

    #[cfg(not(feature = "sqlite"))]
    #[tokio::test]
    async fn a_feature_that_is_off_is_named() {
        let opened = [connect("sqlite://vip.db").await, connect_existing("sqlite://vip.db").await];
        for refused in opened.map(|backend| backend.map(drop)).into_iter().chain([check_url("sqlite://vip.db")]) {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("feature `sqlite`"), "{error}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_database_that_is_not_there_is_made_only_by_who_does_not_say_that_it_exists() {
        use crate::sqlite::OpenError;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vip.db");
        let url = format!("sqlite://{}", file.display());
        let refused = connect_existing(&url).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Sqlite(OpenError::Missing { .. })), "{refused:?}");
        assert!(!file.exists(), "it was made");
        let made = connect(&url).await.unwrap();
        let installation = made.store.installation().await.unwrap();
        made.store.close().await.unwrap();
        let found = connect_existing(&url).await.unwrap();
        assert_eq!(found.store.installation().await.unwrap(), installation);
        found.store.close().await.unwrap();
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_database_in_memory_is_refused() {
        use std::error::Error as _;
        let error = connect("sqlite::memory:").await.unwrap_err();
        assert!(error.source().unwrap().to_string().contains("in memory keeps nothing"), "{error:?}");
    }
}
