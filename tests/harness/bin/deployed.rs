//! The reference server as a process of the suites: it is gone when its standard input closes, however the suite ended.

use std::io::{Read, stdin};
use std::process::ExitCode;

/// The exit status of a process whose suite has gone.
const ORPHANED: i32 = 70;

fn main() -> ExitCode {
    std::thread::spawn(|| {
        // To be told to end is a signal's matter; nothing is ever written here.
        let mut nothing = [0; 1];
        while stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        std::process::exit(ORPHANED);
    });
    reference_server::process()
}
