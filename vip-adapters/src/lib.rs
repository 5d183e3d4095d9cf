//! The ports of `vip-core` on real systems: one folder and one feature for each.
//!
//! Features, of which none is on by default: `sqlite`, `postgres` (store and queue), `redis` (queue and shared cache; `redis-tls` for
//! `rediss:`), `hetzner` (provider) and `hetzner-simulator` (a simulated cloud behind the same client). Usual sets: `sqlite` and
//! `hetzner-simulator` to try, `sqlite` or `postgres` and `hetzner` to run.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod backoff;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod broken_chains;
mod connect;
#[cfg(feature = "hetzner")]
pub mod hetzner;
mod missing;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod unclear;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod unlisted;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod unread_accounts;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
mod unreadable;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod untrimmed;
#[cfg(test)]
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[path = "../../vip-core/src/telemetry/unwritable.rs"]
mod unwritable;

pub use connect::{
    ConnectError, REDIS_URL_VARIABLE, check_queue_url, check_url, connect, connect_existing, connect_queue,
    connect_queue_at,
};

// So that a host needs one crate alone, in one version.
pub use vip_core;

/// The first page of the repository: its snippet is compiled and run against the simulator.
#[cfg(all(doctest, feature = "sqlite", feature = "hetzner-simulator"))]
#[doc = include_str!("../../README.md")]
struct Readme;
