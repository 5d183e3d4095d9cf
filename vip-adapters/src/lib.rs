//! placeholder

#[cfg(feature = "hetzner")]
pub mod hetzner;
