//! Our queue and our accepts on PostgreSQL beside a cycle written by hand, on one server and in turn.
//!
//! Ratios within a run count; absolute numbers are those of a machine at a moment. Type `tests/run bench postgres` for all
//! of it, or name a mode: see [`USAGE`].

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

mod accept;
mod limit;
mod measure;
mod modes;
mod ours;
mod sides;

use std::path::Path;

use limit::{Bell, Limit};
use ours::Ours;
use sides::Side;
use vip_tests::postgres::Server;

const USAGE: &str = "bench postgres [drain|both|burst|enqueue_batch|enqueue_one|accept|pick_up|backlog|pinned]... \
     [--jobs N] [--rounds N] [--backlog N]";
/// A server as one would run it on a small machine; commits are on the disk.
const SETTINGS: [&str; 12] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "wal_level=replica",
    "shared_buffers=2GB",
    "max_wal_size=8GB",
    "min_wal_size=2GB",
    "checkpoint_timeout=15min",
    "work_mem=16MB",
    "random_page_cost=1.1",
    "autovacuum_naptime=1min",
    "shared_preload_libraries=pg_stat_statements",
];
const MODES: [&str; 9] =
    ["drain", "both", "burst", "enqueue_batch", "enqueue_one", "accept", "pick_up", "backlog", "pinned"];

/// Says how much is to be done.
#[derive(Debug)]
struct Plan {
    modes: Vec<String>,
    jobs: usize,
    rounds: usize,
    backlog: usize,
}

fn plan(arguments: &[String]) -> Plan {
    let mut plan = Plan { modes: Vec::new(), jobs: 100_000, rounds: 5, backlog: 1_000_000 };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{USAGE}"));
        match word.as_str() {
            // What cargo says to every benchmark.
            "--bench" => {}
            "--jobs" => plan.jobs = number(),
            "--rounds" => plan.rounds = number(),
            "--backlog" => plan.backlog = number(),
            mode if MODES.contains(&mode) => plan.modes.push(mode.to_owned()),
            other => panic!("{other}? {USAGE}"),
        }
    }
    if plan.modes.is_empty() {
        plan.modes = MODES.map(str::to_owned).to_vec();
    }
    plan
}

/// Opens one of the sides.
async fn open(side: &str, url: &str) -> Box<dyn Side> {
    match side {
        "limit" => Box::new(Limit::open(url, Bell::Silent).await),
        "limit that rings" => Box::new(Limit::open(url, Bell::Rings).await),
        "ours" => Box::new(Ours::open(url).await),
        other => panic!("unknown side: {other}"),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The same program in another process, for jobs that come from elsewhere.
    if let [role, side, url, jobs] = arguments.as_slice()
        && role == modes::PRODUCER
    {
        modes::produce(side, url, jobs.parse().unwrap()).await;
        return;
    }
    let plan = plan(&arguments);
    let server = Server::start_with(Path::new(env!("CARGO_BIN_EXE_actor")), &SETTINGS);
    for mode in &plan.modes {
        match mode.as_str() {
            "drain" => modes::drain(&server, &plan).await,
            "both" => modes::both(&server, &plan).await,
            "burst" => modes::burst(&server, &plan).await,
            "enqueue_batch" => modes::enqueue_batch(&server, &plan).await,
            "enqueue_one" => modes::enqueue_one(&server, &plan).await,
            "accept" => accept::accept(&server, &plan).await,
            "pick_up" => modes::pick_up(&server, &plan).await,
            "backlog" => modes::backlog(&server, &plan).await,
            "pinned" => modes::pinned(&server, &plan).await,
            other => panic!("{other}"),
        }
    }
    server.stop();
}
