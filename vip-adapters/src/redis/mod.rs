//! A cache that processes share, and a queue beside a SQL store, on one Redis server.
//!
//! The store keeps the truth: all of Redis may be lost without losing an order. `docs/how-to/redis.md` says what may be
//! lost, for how long a stale value may be answered, and how a server is set up.

mod bell;
mod cache;
mod circuit;
mod config;
mod error;
mod job_queue;
mod link;
mod rows;
mod scripts;
mod soundness;
mod tls;

pub use cache::{REDIS_CACHE_VALUE_BYTES, RedisCache};
pub use config::RedisConfig;
pub use error::OpenError;
pub use job_queue::{REDIS_QUEUE_BATCH, RedisQueue};

/// Says whether a URL can be read; asks nobody.
pub(crate) fn check_url(url: &str) -> Result<(), OpenError> {
    tls::client(url, &RedisConfig::queue()).map(drop)
}
