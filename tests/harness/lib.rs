//! What the suites share: processes that end with the test, quick timings, sample orders, places of installation,
//! and the comparison of store and ledger.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "test code fails by panicking"
)]

pub mod actors;
pub mod asked;
pub mod authority;
pub mod deployment;
pub mod lines;
pub mod loader;
pub mod postgres;
pub mod redis_server;
pub mod site;
pub mod timing;
pub mod truth;
pub mod unreadable;
pub mod unreadable_account;
