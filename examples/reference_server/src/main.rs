//! Hosts VIP over HTTP: an API, workers, or both in one process.
//!
//! Nothing has to be configured: `cargo run --release -p reference-server` serves on loopback, on a database in a
//! temporary folder and a simulated cloud, and prints a key and a request that works.

fn main() -> std::process::ExitCode {
    reference_server::process()
}
