//! Every dotted field of a log line stands in the one list of `vip_core::telemetry`, and no line can end the loop that writes it.

use crate::{assert_clean, repository};

const LIST: &str = "vip-core/src/telemetry/mod.rs";
const MACROS: [&str; 7] = ["trace!(", "debug!(", "info!(", "warn!(", "error!(", "info_span!(", "debug_span!("];

/// The names in the list: what stands between quotes after `pub const … : &str =`.
fn listed(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains(": &str = \"")).filter_map(|line| line.split('"').nth(1)).collect()
}

/// The constants that stand in none of the lists which the file gives a dashboard.
fn in_no_list(text: &str) -> Vec<String> {
    let lists = text.split("&[&str] = &[").skip(1).filter_map(|rest| rest.split("];").next());
    let named: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
    let constants = text.lines().filter(|line| line.contains(": &str = \""));
    let names = constants.filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    names.filter(|name| !named.contains(name)).map(|name| format!("{LIST}: {name} is in no list")).collect()
}

/// The arguments of each log line: from the macro to the bracket that closes it, without what stands in quotes.
fn log_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in MACROS {
        for (at, _) in text.match_indices(&format!("tracing::{name}")) {
            let mut depth = 1;
            let mut quoted = false;
            let arguments = text[at + "tracing::".len() + name.len()..].chars().take_while(|character| {
                quoted ^= *character == '"';
                depth += i32::from(!quoted && *character == '(') - i32::from(!quoted && *character == ')');
                depth > 0
            });
            let mut inside = false;
            found.push(
                arguments
                    .filter(|c| {
                        inside ^= *c == '"';
                        !inside && *c != '"'
                    })
                    .collect(),
            );
        }
    }
    found
}

/// Fields with a dot: the words before ` =`, and those that stand alone between commas as the name of a variable.
fn dotted_fields(arguments: &str) -> Vec<String> {
    arguments
        .split(',')
        .map(|part| part.split(" = ").next().unwrap_or("").trim().trim_start_matches(['%', '?']).to_owned())
        .filter(|name| name.contains('.') && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.'))
        .collect()
}

fn unlisted(path: &str, text: &str, list: &[&str]) -> Vec<String> {
    let fields = log_lines(text).into_iter().flat_map(|arguments| dotted_fields(&arguments));
    fields
        .filter(|name| !list.contains(&name.as_str()))
        .map(|name| format!("{path}: {name} is not in {LIST}"))
        .collect()
}

/// What runs in a background loop, in a server, or after a request was done: a line there is written by `telemetry::tell`.
const IN_LOOPS: [&str; 7] = [
    "vip-adapters/src/",
    "vip-core/src/memory/",
    "vip-core/src/provisioner/",
    "vip-core/src/relay/",
    "vip-core/src/resilience/",
    "vip-core/src/runtime/",
    "vip-http/src/",
];

/// What stands before the bracket that closes the one before the text.
fn enclosed(text: &str) -> &str {
    let (mut depth, mut quoted) = (1, false);
    let end = text.find(|character: char| {
        quoted ^= character == '"';
        depth += i32::from(!quoted && character == '(') - i32::from(!quoted && character == ')');
        depth == 0
    });
    text.split_at(end.unwrap_or(text.len())).0
}

/// Log lines that stand outside of `telemetry::tell`.
fn bare(path: &str, text: &str) -> Vec<String> {
    let mut parts = text.split("telemetry::tell(");
    let mut outside = parts.next().unwrap_or("").to_owned();
    outside.extend(parts.filter_map(|part| part.strip_prefix(enclosed(part))));
    let lines = MACROS.iter().filter(|name| !name.ends_with("span!("));
    let found = lines.filter(|name| outside.contains(&format!("tracing::{name}")));
    found.map(|name| format!("{path}: tracing::{name} outside of telemetry::tell may end a loop")).collect()
}

#[test]
fn no_log_line_can_end_the_loop_that_it_is_written_in() {
    let files = repository::files();
    let is_in_loops = |path: &str| IN_LOOPS.iter().any(|at| path.starts_with(at));
    let sources = files.iter().filter(|file| file.is_rust() && is_in_loops(&file.path));
    assert_clean(&sources.flat_map(|file| bare(&file.path, &file.text)).collect::<Vec<_>>());
}

#[test]
fn a_log_line_that_can_end_a_loop_is_found() {
    let told = "telemetry::tell(|| tracing::warn!(count = count(), \"a bracket )\"));";
    assert_eq!(bare("a.rs", told).len(), 0);
    assert_eq!(bare("a.rs", &format!("{told} tracing::warn!(\"lost\");")).len(), 1);
    assert_eq!(bare("a.rs", &format!("tracing::debug!(\"lost\"); {told}")).len(), 1);
}

#[test]
fn every_dotted_field_of_a_log_line_is_listed() {
    let files = repository::files();
    let list = listed(&files.iter().find(|file| file.path == LIST).unwrap().text);
    assert!(list.len() > 20, "the list could not be read");
    let library =
        |path: &str| ["vip-core/src", "vip-adapters/src", "vip-http/src"].iter().any(|at| path.starts_with(at));
    let sources = files.iter().filter(|file| file.is_rust() && library(&file.path));
    let findings: Vec<String> = sources.flat_map(|file| unlisted(&file.path, &file.text, &list)).collect();
    assert_clean(&findings);
}

#[test]
fn every_constant_is_in_a_list() {
    let files = repository::files();
    assert_clean(&in_no_list(&files.iter().find(|file| file.path == LIST).unwrap().text));
}

#[test]
fn a_constant_that_is_in_no_list_is_found() {
    let text = "pub const A: &str = \"a\";\npub const B: &str = \"b\";\npub const ALL: &[&str] = &[A];\n";
    assert_eq!(in_no_list(text).len(), 1);
    assert_eq!(in_no_list(&text.replace("[A]", "[A, B]")), Vec::<String>::new());
}

#[test]
fn a_field_that_is_not_listed_is_found() {
    let text = "tracing::warn!(server.name = %name, code = 1, server.id = %id, \"server.other = 3\");";
    assert_eq!(unlisted("a.rs", text, &["server.id"]).len(), 1);
}
