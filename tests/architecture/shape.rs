//! How a file looks from outside: its length, its first line, the name of its folder.

use crate::assert_clean;
use crate::repository::{self, has_extension};

/// More does not fit into one reading.
const MAX_LINES: usize = 400;

/// A folder with such a name says nothing about what is in it.
const EMPTY_NAMES: [&str; 6] = ["common", "helper", "helpers", "misc", "util", "utils"];

fn is_too_long(path: &str, text: &str) -> Option<String> {
    let is_counted = ["rs", "sql", "lua", "sh"].iter().any(|it| has_extension(path, it)) || path == "tests/run";
    let lines = text.lines().count();
    (is_counted && lines > MAX_LINES).then(|| format!("{path}: {lines} lines, {MAX_LINES} are allowed"))
}

fn has_no_first_sentence(path: &str, text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or("");
    let says_what =
        first.strip_prefix("//! ").is_some_and(|sentence| sentence.len() > 10 && !sentence.starts_with('#'));
    (has_extension(path, "rs") && !says_what)
        .then(|| format!("{path}: the first line is no `//! ` sentence that says what the file is"))
}

fn has_an_empty_name(path: &str) -> Option<String> {
    path.trim_end_matches(".rs")
        .split('/')
        .find(|part| EMPTY_NAMES.contains(part))
        .map(|part| format!("{path}: `{part}` says nothing about what is in it"))
}

#[test]
fn files_are_short_enough_to_read() {
    let files = repository::files();
    assert_clean(&files.iter().filter_map(|it| is_too_long(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn the_first_line_of_a_file_says_what_it_is() {
    let files = repository::files();
    assert_clean(&files.iter().filter_map(|it| has_no_first_sentence(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn names_of_folders_and_files_say_something() {
    let files = repository::files();
    assert_clean(&files.iter().filter_map(|it| has_an_empty_name(&it.path)).collect::<Vec<_>>());
}

#[test]
fn one_line_too_many_is_found() {
    for path in ["a.rs", "a.sql"] {
        assert_eq!(is_too_long(path, &"x\n".repeat(MAX_LINES)), None);
        assert!(is_too_long(path, &"x\n".repeat(MAX_LINES + 1)).is_some());
    }
    assert_eq!(is_too_long("a.json", &"x\n".repeat(MAX_LINES + 1)), None);
}

#[test]
fn a_first_line_without_a_sentence_is_found() {
    for text in ["", "use a::b;", "//!", "//! # Title of it", "// A comment of a file.", "#![no_main]"] {
        assert!(has_no_first_sentence("a.rs", text).is_some(), "{text}");
    }
    assert_eq!(has_no_first_sentence("a.rs", "//! Says what it is."), None);
    assert_eq!(has_no_first_sentence("a.md", "# Title"), None);
}

#[test]
fn an_empty_name_is_found() {
    for path in ["a/utils/b.rs", "a/common.rs", "helpers/mod.rs"] {
        assert!(has_an_empty_name(path).is_some(), "{path}");
    }
    assert_eq!(has_an_empty_name("a/commonly/used.rs"), None);
}
