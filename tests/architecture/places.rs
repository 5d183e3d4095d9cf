//! No file names a fixed place on a machine, or a number of a tracker that its reader does not have.

use crate::{assert_clean, repository};

/// Folders of one machine, in pieces, so that this file does not find itself. A test takes a temporary folder, a document names no
/// place.
const PLACES: [&[&str]; 3] = [&["/t", "mp/"], &["/ho", "me/"], &["/ro", "ot/"]];

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

fn places_and_numbers(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let has_place = PLACES.iter().any(|pieces| names_a_place(&lower, &pieces.concat()));
        if has_place || names_an_issue(&lower) {
            findings.push(format!("{path}:{}: {}", index + 1, line.trim()));
        }
    }
    findings
}

#[test]
fn no_file_names_what_only_its_writer_has() {
    let files = repository::files();
    assert_clean(&files.iter().flat_map(|it| places_and_numbers(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn each_place_and_number_is_found() {
    for pieces in &PLACES {
        let text = format!("first line\nand {} here", pieces.concat().to_uppercase());
        assert_eq!(places_and_numbers("a.md", &text).len(), 1, "{text}");
    }
    for number in ["2", "#2"] {
        assert_eq!(places_and_numbers("a.md", &format!("See {} {number}.", "issue")).len(), 1);
    }
}

#[test]
fn what_only_looks_alike_is_not_found() {
    for text in ["a/tmp/b and net/home/s", "the issue is old"] {
        assert_eq!(places_and_numbers("a.md", text), Vec::<String>::new());
    }
}
