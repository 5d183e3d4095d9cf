//! The API on a real SQLite file and the simulated cloud: orders, callers, limits, problems, the description.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code fails by panicking")]

mod alerts;
mod app;
mod documents;
mod health;
mod identity;
mod limits;
mod logs;
mod long_audits;
mod metrics;
mod operators;
mod orders;
mod pages;
mod rates;
mod replays;
mod route_table;
mod server;
mod silent;
mod slow_provider;
mod tokens;
mod traces;
mod turned_away;
mod waits;
