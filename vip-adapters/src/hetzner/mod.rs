//! Hetzner Cloud: the provider adapter, and a simulator of its API.

#[cfg(feature = "hetzner-simulator")]
pub mod simulator;
#[cfg_attr(
    not(feature = "hetzner-simulator"),
    expect(dead_code, reason = "only the simulator implements the seam so far")
)]
mod transport;
