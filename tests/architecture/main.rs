//! The rules of this repository that no compiler checks: who may know whom, how files look, what may be shipped.
//!
//! Each rule is a pure function from text to findings, and shows on a bad sample that it can go red.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test program: a broken assumption ends the test"
)]

mod crates;
mod findings;
mod layering;
mod licences;
mod manifests;
mod modules;
mod on_call;
mod places;
mod protocol;
mod repository;
mod seeded_bugs;
mod shape;
mod telemetry;
mod test_code;
mod test_command;

/// Fails with every finding of a rule at once.
fn assert_clean(findings: &[String]) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
