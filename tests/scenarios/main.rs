//! Whole stories on a real SQLite file and the real Hetzner protocol: restored backups, shared projects, shutdowns.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code fails by panicking")]

mod audit;
mod backup;
mod canaries;
mod cloud;
mod endless;
mod exchanged_queue;
mod frugal;
mod orders;
mod owners;
mod panics;
mod patient;
mod removals;
mod shutdown;
mod stock;
mod tokens;
mod unusual;
