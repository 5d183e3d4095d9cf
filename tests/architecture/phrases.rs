//! No file tells where, by whom or with what it was written, and none names a fixed place on a machine.

use crate::{assert_clean, repository};

/// What is looked for, in pieces, so that this file does not find itself. Case does not matter.
const PHRASES: [&[&str]; 13] = [
    &["as an ", "ai"],
    &["language ", "model"],
    &["anth", "ropic"],
    &["chat", "gpt"],
    &["clau", "de"],
    &["co-authored", "-by"],
    &["generated ", "with"],
    &["../", "shared"],
    &["issues ", "show"],
    &["index.", "crates.io"],
    &["static.", "crates.io"],
    &["deb.", "debian.org"],
    &["rsproxy", "."],
];

/// Folders of one machine. A test takes a temporary folder, a document names no place.
const PLACES: [&[&str]; 4] = [&["/wo", "rk/"], &["/t", "mp/"], &["/ho", "me/"], &["/ro", "ot/"]];

/// Numbers of a tracker mean nothing to a reader who does not have it: "issue" and a number.
fn names_an_issue(line: &str) -> bool {
    line.match_indices("issue ").any(|(at, word)| {
        let rest = line[at + word.len()..].trim_start_matches('#');
        rest.starts_with(|first: char| first.is_ascii_digit())
    })
}

fn names_a_place(line: &str, place: &str) -> bool {
    // `a/tmp/b` is a path of a project, not a place of a machine.
    let is_inside = |before: char| before.is_alphanumeric() || "._-}*".contains(before);
    line.match_indices(place).any(|(at, _)| !line[..at].ends_with(is_inside))
}

fn forbidden_phrases(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let has_phrase = PHRASES.iter().any(|pieces| lower.contains(&pieces.concat()));
        let has_place = PLACES.iter().any(|pieces| names_a_place(&lower, &pieces.concat()));
        if has_phrase || has_place || names_an_issue(&lower) {
            findings.push(format!("{path}:{}: {}", index + 1, line.trim()));
        }
    }
    findings
}

#[test]
fn no_file_says_what_only_its_writer_can_know() {
    let files = repository::files();
    assert_clean(&files.iter().flat_map(|it| forbidden_phrases(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn each_phrase_is_found() {
    for pieces in PHRASES.iter().chain(&PLACES) {
        let text = format!("first line\nand {} here", pieces.concat().to_uppercase());
        assert_eq!(forbidden_phrases("a.md", &text).len(), 1, "{text}");
    }
    for number in ["2", "#2"] {
        assert_eq!(forbidden_phrases("a.md", &format!("See {} {number}.", "issue")).len(), 1);
    }
}

#[test]
fn what_only_looks_alike_is_not_found() {
    for text in ["a/tmp/b and net/work/ers", "the issue is old", "an AI", "models of a language"] {
        assert_eq!(forbidden_phrases("a.md", text), Vec::<String>::new());
    }
}
