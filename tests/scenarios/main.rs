//! Whole stories on a real SQLite file and the real Hetzner protocol: restored backups, shared projects, shutdowns.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code fails by panicking")]

mod backup;
mod cloud;
mod orders;
mod owners;
mod tokens;
