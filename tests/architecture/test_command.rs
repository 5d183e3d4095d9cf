//! `tests/run` refuses what it cannot do before it builds anything, and says what helps.

use std::os::unix::fs::symlink;
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
    let steps = repository::root().join("tests/run.d/steps.sh");
    let mut bash = Command::new("bash");
    let output = bash.args(["-c", script, "bash"]).arg(steps).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Cargo.toml\n", "{output:?}");
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
    assert_refused(&output, "missing: cc (for build), ");
    assert_refused(&output, "Type: tests/run --install");
    assert!(output.stdout.is_empty(), "it began to build");
}
