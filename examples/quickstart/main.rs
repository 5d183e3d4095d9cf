//! Orders servers through faults and killed workers, and proves from the provider's ledger that each came exactly once.
//!
//! The parent process holds the simulated Hetzner Cloud, places the orders and gives the verdict. Two workers are child
//! processes of the same program on one `SQLite` file. Nothing but this program is needed.

mod arguments;
mod cloud;
mod orders;
mod progress;
mod settings;
mod story;
mod verdict;
mod workers;

use std::process::ExitCode;

use arguments::{Arguments, Role};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::read();
    if let Some(Role::Worker { store, endpoint }) = &arguments.role {
        return match workers::run_as_worker(store, endpoint).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("worker: {}", verdict::with_causes(error.as_ref()));
                ExitCode::FAILURE
            }
        };
    }
    for seed in arguments.seeds() {
        match story::tell(&arguments, seed).await {
            Ok(verdict) => println!("{verdict}"),
            Err(error) => {
                eprintln!("seed {seed}: {}", verdict::with_causes(error.as_ref()));
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
