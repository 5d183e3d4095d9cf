//! The bodies of the fuzz targets as plain functions: cargo-fuzz drives them on nightly, `stable` on any compiler.
#![forbid(unsafe_code)]

pub mod answer;
pub mod hetzner_response;
pub mod mutate;
pub mod session;
pub mod spec_validation;

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name in `fuzz_targets/` and `seeds/`.
    pub name: &'static str,
    /// Its body: panics when a property does not hold.
    pub run: fn(&[u8]),
}

/// All fuzz targets.
pub const TARGETS: [Target; 2] = [
    Target { name: "spec_validation", run: spec_validation::run },
    Target { name: "hetzner_response", run: hetzner_response::run },
];
