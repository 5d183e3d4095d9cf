//! What can be said on the command line; nothing has to be.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Orders servers through faults and killed workers, and proves that each came exactly once.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Seed of the faults, the kills and everything else that is random.
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Runs so many times, each with the next seed, and prints a line for each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) seeds: u64,
    /// How many servers three tenants order together; a third of them is deleted at the end.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub(crate) servers: u32,
    /// No faults and no kills.
    #[arg(long)]
    pub(crate) calm: bool,
    /// `SQLite` file to use instead of one in a temporary folder.
    #[arg(long, requires = "endpoint")]
    pub(crate) store: Option<PathBuf>,
    /// Address of a simulator that was started apart, such as the example `hetzner_simulator`.
    #[arg(long, requires = "store")]
    pub(crate) endpoint: Option<String>,
    /// Another role of this program.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What the program is, if not the parent.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// A worker, started by the parent.
    #[command(hide = true)]
    Worker {
        /// `SQLite` file.
        store: PathBuf,
        /// Address of the provider.
        endpoint: String,
    },
}

impl Arguments {
    /// Reads the command line; a mistake ends the program with an explanation.
    pub(crate) fn read() -> Self {
        Self::parse()
    }

    /// Returns the seeds to run with.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed;
        (0..self.seeds).map(move |offset| first.wrapping_add(offset))
    }
}
