//! Called with words that it does not understand, the program says so and runs nothing.

#![expect(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::process::{Command, Output};

fn called_with(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation")).args(words).output().unwrap()
}

#[test]
fn whatever_is_not_understood_is_refused_with_the_usage_and_nothing_is_run() {
    let wrong: [(&[&str], &str); 13] = [
        (&["--helf"], "no such option: --helf"),
        (&["create"], "no such option: create"),
        (&["--order", "create", "now"], "no such option: now"),
        (&["--seeds"], "--seeds needs a value"),
        (&["--seeds", "--threads", "2"], "--seeds needs a value"),
        (&["--seeds", "many"], "the value of --seeds is no number: many"),
        (&["--seeds", "-1"], "the value of --seeds is no number: -1"),
        (&["--threads", "1.5"], "the value of --threads is no number: 1.5"),
        (&["--seed", ""], "the value of --seed is no number: "),
        (&["--order", "creates"], "no such order: creates; known are create, "),
        (&["--seeds", "1", "--seeds", "2"], "--seeds comes twice"),
        (&["--replay", "order=creates"], "the value of --replay cannot be read: "),
        (&["--part", "3", "--parts", "2"], "--part 3 is not one of 2 parts"),
    ];
    for (words, why) in wrong {
        let output = called_with(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}: {said}");
        assert!(said.starts_with(why) && said.contains("usage: tests/run simulation"), "{words:?}: {said}");
    }
}

#[test]
fn who_asks_for_help_gets_the_usage_and_nothing_is_run() {
    for words in [&["--help"][..], &["-h"], &["--order", "create", "--help"]] {
        let output = called_with(words);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), said.starts_with("usage: tests/run simulation")), (Some(0), true), "{said}");
        assert!(!said.contains("part 1 of"), "{said}");
    }
}

#[test]
fn a_run_that_is_asked_for_is_run() {
    let output = called_with(&["--replay", "seed=1 order=create faults="]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("broken: []"), "{said}");
}
