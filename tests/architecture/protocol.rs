//! `docs/protocol.md` defines what code and pages name: each label of a rule once, each section, each seeded bug.

use std::collections::BTreeSet;

use crate::assert_clean;
use crate::repository::{self, has_extension};

const PAGE: &str = "docs/protocol.md";
const BUGS: &str = "vip-core/src/seeded_bugs.rs";
/// Letters that the label of a rule begins with; one or two digits follow.
const LETTERS: &str = "CDFNOPST";
/// Where strings name rules, too: the list of seeded bugs, and what the simulation says is broken.
const IN_STRINGS: [&str; 2] = [BUGS, "tests/simulation/"];
/// More does not fit into one reading.
const MAX_LINES: usize = 300;

/// What a file says to its reader: a page outside of its blocks of code, the comments of code.
fn prose(path: &str, text: &str) -> String {
    if has_extension(path, "md") {
        // Every second part stands between the fences of a block.
        return text.split("```").step_by(2).collect();
    }
    if IN_STRINGS.iter().any(|place| path.starts_with(place)) {
        return text.to_owned();
    }
    let mark = match path.rsplit_once('.') {
        Some((_, "rs")) => "//",
        Some((_, "sql" | "lua")) => "--",
        _ => return String::new(),
    };
    text.lines().filter_map(|line| line.split_once(mark)).fold(String::new(), |all, (_, comment)| all + comment + "\n")
}

fn is_label(word: &str) -> bool {
    let digits = word.strip_prefix(|first| LETTERS.contains(first)).unwrap_or("");
    (1..=2).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn labels(text: &str) -> BTreeSet<&str> {
    text.split(|sign: char| !sign.is_alphanumeric() && sign != '_').filter(|word| is_label(word)).collect()
}

/// The numbers behind `§`, such as `4` and `3.2`.
fn sections(text: &str) -> BTreeSet<&str> {
    let number = |rest: &'_ str| rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(rest.len());
    text.split('§').skip(1).map(|rest| rest[..number(rest)].trim_end_matches('.')).filter(|it| !it.is_empty()).collect()
}

/// The labels that the page defines, as often as it does: those in bold.
fn defined(page: &str) -> Vec<&str> {
    page.split("**").skip(1).step_by(2).filter(|bold| is_label(bold)).collect()
}

/// The numbers of the page's headings.
fn headings(page: &str) -> BTreeSet<&str> {
    let titles = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.filter_map(|title| title.split(' ').next()).map(|number| number.trim_end_matches('.')).collect()
}

fn undefined(page: &str, path: &str, text: &str) -> Vec<String> {
    let (rules, titles, text) = (defined(page), headings(page), prose(path, text));
    let unknown_rules = labels(&text).into_iter().filter(|label| !rules.contains(label)).map(str::to_owned);
    let unknown_sections = sections(&text).into_iter().filter(|it| !titles.contains(it)).map(|it| format!("§{it}"));
    unknown_rules.chain(unknown_sections).map(|name| format!("{path}: {PAGE} does not define {name}")).collect()
}

fn defined_twice(page: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = defined(page).into_iter().filter(|label| !seen.insert(*label));
    twice.map(|label| format!("{PAGE}: {label} is defined twice")).collect()
}

/// The rows of the list of seeded bugs: a variant, then its name in quotes, its rule, and what sees it.
fn bugs(list: &str) -> Vec<[&str; 3]> {
    let rows = list.lines().filter(|line| line.ends_with(" true;") || line.ends_with(" false;"));
    rows.filter_map(|line| {
        let mut quoted = line.split('"').skip(1).step_by(2);
        Some([quoted.next()?, quoted.next()?, quoted.next()?])
    })
    .collect()
}

fn unlisted_bugs(page: &str, list: &str) -> Vec<String> {
    let is_listed = |[name, rule, seen_by]: &[&str; 3]| page.contains(&format!("| `{name}` | {rule} | {seen_by} |"));
    bugs(list).iter().filter(|row| !is_listed(row)).map(|row| format!("{PAGE}: no row says {row:?}")).collect()
}

#[test]
fn every_rule_and_section_that_is_named_is_defined_once() {
    let files = repository::files();
    let page = &files.iter().find(|it| it.path == PAGE).expect("the page of the protocol").text;
    let mut findings = defined_twice(page);
    findings.extend(files.iter().flat_map(|it| undefined(page, &it.path, &it.text)));
    assert_clean(&findings);
    assert!(defined(page).len() > 50, "{} rules", defined(page).len());
    assert!(page.lines().count() <= MAX_LINES, "{PAGE} has more than {MAX_LINES} lines");
}

#[test]
fn the_page_lists_every_seeded_bug_with_its_rule() {
    let files = repository::files();
    let text = |path: &str| files.iter().find(|it| it.path == path).map_or("", |it| it.text.as_str());
    assert!(bugs(text(BUGS)).len() >= 30, "the list was not understood");
    assert_clean(&unlisted_bugs(text(PAGE), text(BUGS)));
}

#[test]
fn a_label_a_section_and_a_bug_that_are_not_defined_are_found() {
    let page = "## 3. Next\n| **N1** | x |\n### 3.1 Creating\n**S8** is another, **F1** takeover a third.\n";
    let found = |path: &str, text: &str| undefined(page, path, text).len();
    for fine in
        ["// N1 and S8, `docs/protocol.md` §3, §3.1.", "let n2 = N2; // F1", "/// X9, N123, ChaN2, N_1, AN2: no labels"]
    {
        assert_eq!(found("a.rs", fine), 0, "{fine}");
    }
    for wrong in ["// N2: wait", "//! rows S1 to S8", "/// (§4)", "// see §3.2 of it"] {
        assert_eq!(found("a.rs", wrong), 1, "{wrong}");
    }
    assert_eq!(found("a.sql", "SELECT 1 -- the takeover (F2)"), 1);
    assert_eq!(found("docs/a.md", "as N1 says\n```\nN7\n```\nand N8"), 1);
    assert_eq!(found("tests/simulation/a.rs", "format!(\"P3: {it}\")"), 1);
    assert_eq!(defined_twice(&format!("{page}**N1** again")).len(), 1);
    let list = "    NoFence \"no_fence\" \"F1\" \"P3\" true;\n";
    assert_eq!(unlisted_bugs("| `no_fence` | F1 | P3 |", list), Vec::<String>::new());
    assert_eq!(unlisted_bugs("| `no_fence` | F2 | P3 |", list).len(), 1);
}
