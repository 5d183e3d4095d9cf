//! The simulation: the product as a host builds it, under tokio's paused clock, on ports that fail as a plan says.
//!
//! One seed and one plan of faults are one run, byte for byte. See `docs/simulation.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code fails by panicking"
)]

#[cfg(vip_seeded_bugs)]
pub mod arms;
pub mod cloud;
pub mod command_line;
pub mod exhaustive;
pub mod faulty;
#[cfg(vip_seeded_bugs)]
pub mod gate;
pub mod incarnation;
pub mod layout;
pub mod matrix;
pub mod method;
pub mod mishaps;
pub mod observed;
pub mod oracle;
pub mod orders;
pub mod parts;
pub mod plan;
pub mod process;
pub mod refusals;
pub mod run;
pub mod said_no;
pub mod shrink;
pub mod swarm;
pub mod world;
