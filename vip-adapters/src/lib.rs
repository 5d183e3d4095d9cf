//! The ports of `vip-core` on real systems: one folder and one feature for each.

mod connect;
#[cfg(feature = "hetzner")]
pub mod hetzner;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use connect::{ConnectError, connect};
