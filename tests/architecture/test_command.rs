//! `tests/run` refuses what it cannot do before it builds anything, says what helps, and leaves nothing behind.

use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::repository;

/// The programs that the command itself is made of, without a C compiler.
const PROGRAMS: [&str; 8] = ["awk", "bash", "cargo", "cat", "dirname", "env", "rustc", "sed"];

fn tests_run(arguments: &[&str], skip: &str, path: &Path) -> Output {
    Command::new("bash")
        .arg(repository::root().join("tests/run"))
        .args(arguments)
        .env("PATH", path)
        .env("VIP_TEST_SKIP", skip)
        .output()
        .unwrap()
}

fn assert_refused(output: &Output, reason: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains(reason), "{errors}");
}

fn usual_path() -> std::path::PathBuf {
    std::env::var_os("PATH").unwrap().into()
}

#[test]
fn an_unknown_mode_is_refused() {
    assert_refused(&tests_run(&["everything"], "", &usual_path()), "usage: tests/run");
}

#[test]
fn a_benchmark_that_does_not_exist_is_refused_by_name() {
    let output = tests_run(&["bench", "of_nothing"], "", &usual_path());
    assert_refused(&output, "no such suite yet: tests/Cargo.toml has no [[bench]] named of_nothing");
}

#[test]
fn a_misspelt_skip_is_refused() {
    assert_refused(&tests_run(&[], "lint,redsi", &usual_path()), "'redsi' cannot be left out");
}

/// Does what a script says that is given a part of the command.
fn with_part(part: &str, script: &str) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash"]).arg(repository::root().join("tests/run.d").join(part));
    bash
}

/// Its cargo lists what it finds when it is called.
#[test]
fn what_a_run_before_left_of_the_snippet_is_gone_before_the_tests_begin() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("vip-adapters");
    std::fs::create_dir(&package).unwrap();
    for name in ["vip.db", "vip.db-shm", "vip.db-wal", "Cargo.toml"] {
        std::fs::write(package.join(name), "").unwrap();
    }
    let script = "is_skipped() { false; }; cargo() { ls vip-adapters; }; source \"$1\"; step_test";
    let output = with_part("steps.sh", script).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Cargo.toml\n", "{output:?}");
}

/// Its cargo says what it is told. Those tests are compiled in no other build.
#[test]
fn the_gate_begins_with_the_unit_tests_of_the_seeded_bugs() {
    let script = "run_step() { shift; \"$@\"; }; step_fetch() { :; }; cargo() { echo \"$RUSTFLAGS $*\"; }; \
        source \"$1\"; simulation --seeds 1";
    let gate = [("VIP_SIMULATION_GATE", "1"), ("CARGO_TARGET_DIR", "target"), ("RUSTFLAGS", "")];
    let output = with_part("modes.sh", script).envs(gate).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Vec<&str> = said.lines().collect();
    let [tests, simulation] = said.as_slice() else { panic!("{output:?}") };
    assert_eq!(*tests, " --cfg vip_seeded_bugs test --locked -p vip-core --all-features --lib seeded_bug");
    assert!(simulation.starts_with(" --cfg vip_seeded_bugs run ") && simulation.ends_with(" --gate --seeds 1"));
}

/// Whoever runs on holds the output, so nobody does any more when this goes on.
#[test]
fn temporary_files_of_a_step_are_gone_with_a_command_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "set -euo pipefail; source \"$1\"; leave() { mktemp -d; kill -KILL $$; }; start_guard; run_step leave leave";
    let output = with_part("running.sh", script).env("TMPDIR", folder.path()).output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_missing_service_ends_the_run_with_the_line_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let paths = usual_path();
    for program in PROGRAMS {
        let found = std::env::split_paths(&paths).map(|it| it.join(program)).find(|it| it.is_file());
        symlink(found.unwrap(), folder.path().join(program)).unwrap();
    }
    let output = tests_run(&[], "", folder.path());
    assert_refused(&output, "missing: cc (for build), procps (for build), ");
    assert_refused(&output, "Type: tests/run --install");
    assert!(output.stdout.is_empty(), "it began to build");
}
