//! The ports of `vip-core` on real systems: one folder and one feature for each.

#[cfg(feature = "hetzner")]
pub mod hetzner;
