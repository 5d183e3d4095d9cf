//! `docs/findings.md` has a row for each finding of the review, and every test that it names is there.

use std::collections::BTreeSet;

use crate::{assert_clean, repository};

const TABLE: &str = "docs/findings.md";
/// The review numbers its findings from one up to this.
const FINDINGS: u32 = 23;
/// What stands in the place of a test while there is no answer yet.
const OPEN: &str = "open";
/// Lines that may stand between a test's attribute and its `fn`: further attributes.
const ATTRIBUTE_LINES: usize = 3;

struct Row<'a> {
    number: u32,
    tests: &'a str,
}

/// The rows of the table: those that begin with a number. A row may name several tests, each in backticks.
fn rows(text: &str) -> Vec<Row<'_>> {
    text.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
            Some(Row { number: cells.first()?.parse().ok()?, tests: cells.get(3).copied().unwrap_or("") })
        })
        .collect()
}

/// Test functions: what carries the attribute, and the contract cases that `cases!` makes into tests, one a line.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |at: usize| {
        lines[at.saturating_sub(ATTRIBUTE_LINES)..at]
            .iter()
            .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    };
    lines
        .iter()
        .enumerate()
        .filter(|(at, _)| is_test(*at))
        .filter_map(|(_, line)| line.trim_start_matches("async ").strip_prefix("fn ")?.split('(').next())
        .chain(cases_in(&lines))
        .collect()
}

fn cases_in<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut is_inside = false;
    let mut cases = Vec::new();
    for line in lines {
        if is_inside {
            cases.extend(line.strip_suffix(','));
        }
        is_inside = line.starts_with("cases!(") || (is_inside && *line != ");");
    }
    cases
}

fn wrong_rows(table: &str, tests: &BTreeSet<&str>) -> Vec<String> {
    let mut findings = Vec::new();
    let rows = rows(table);
    for number in 1..=FINDINGS {
        let count = rows.iter().filter(|row| row.number == number).count();
        if count != 1 {
            findings.push(format!("{TABLE}: finding {number} has {count} rows"));
        }
    }
    for Row { number, tests: named } in rows {
        // Every second part stands between backticks.
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if names.is_empty() && named != OPEN {
            findings.push(format!("{TABLE}: finding {number} names no test and is not `{OPEN}`"));
        }
        let missing = names.iter().filter(|name| !tests.contains(*name));
        findings.extend(missing.map(|name| format!("{TABLE}: finding {number}: there is no test `{name}`")));
    }
    findings
}

#[test]
fn every_finding_has_a_row_and_its_tests_exist() {
    let files = repository::files();
    let table = files.iter().find(|file| file.path == TABLE).expect("the table of findings");
    let tests: BTreeSet<&str> = files.iter().filter(|file| file.is_rust()).flat_map(|it| tests_in(&it.text)).collect();
    assert_clean(&wrong_rows(&table.text, &tests));
}

#[test]
fn a_test_that_does_not_exist_and_a_row_that_is_missing_are_found() {
    let tests = BTreeSet::from(["one", "two"]);
    let row = |number: u32, named: &str| format!("| {number} | what was wrong | what stands there | {named} | how |\n");
    let mut table: String = (1..FINDINGS).map(|number| row(number, "`one`, `two`")).collect();
    assert_eq!(wrong_rows(&table, &tests).len(), 1, "the last one has no row");
    table.push_str(&row(FINDINGS, OPEN));
    assert_eq!(wrong_rows(&table, &tests), Vec::<String>::new());
    for wrong in ["`one`, `three`", "", "one", "`three`"] {
        let table = table.replace(&row(FINDINGS, OPEN), &row(FINDINGS, wrong));
        assert_eq!(wrong_rows(&table, &tests).len(), 1, "{wrong}");
    }
    let twice = table.clone() + &row(3, "`one`");
    assert_eq!(wrong_rows(&twice, &tests).len(), 1);
}

#[test]
fn only_what_carries_the_attribute_is_a_test() {
    let text = "#[test]\nfn one() {}\n\n#[tokio::test(start_paused = true)]\nasync fn two() {}\n\n\n\nfn three() {}\n";
    assert_eq!(tests_in(text), BTreeSet::from(["one", "two"]));
    let cases = "cases!(STORE, sqlite, store_cases:\n    one,\n    two,\n);\n\nfn three(\n    four,\n);\n";
    assert_eq!(tests_in(cases), BTreeSet::from(["one", "two"]));
}
