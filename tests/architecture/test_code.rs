//! Tests do not wait for time to pass, and none is left out.

use crate::assert_clean;
use crate::repository;

/// Test files that may sleep, each with its reason. A file that no longer sleeps has to leave the list.
const MAY_SLEEP: [(&str, &str); 4] = [
    ("tests/contract/hcloud_client.rs", "polls over HTTP as users of that crate do; the answer ends it, not the pause"),
    (
        "tests/kill/main.rs",
        "the random moment of a kill is what it tests; its orders end in other processes, so it polls",
    ),
    (
        "tests/simulation/incarnation.rs",
        "virtual time: a seed's delays around port calls are what makes schedules differ",
    ),
    ("tests/simulation/world.rs", "virtual time: a run goes on until a virtual moment"),
];

/// A file of tests, by its place.
fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs" || part == "benches" || part.ends_with("_tests.rs"))
}

/// The part of a file that is compiled for tests: all of it, or what stands behind `#[cfg(test)]`.
fn test_part<'a>(path: &str, text: &'a str) -> &'a str {
    if is_test_file(path) {
        return text;
    }
    text.find("#[cfg(test)]").map_or("", |at| &text[at..])
}

/// Calls of `sleep` and `sleep_until`, of threads and of tokio alike: under the paused clock they hide an order that
/// nothing guarantees, and on real time they make a test slow or flaky.
fn sleeps(path: &str, text: &str) -> usize {
    let calls = [concat!("sleep", "("), concat!("sleep_until", "(")];
    test_part(path, text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| {
            calls.iter().any(|call| {
                line.match_indices(call)
                    .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
            })
        })
        .count()
}

fn sleeping_tests(path: &str, text: &str, may_sleep: &[(&str, &str)]) -> Option<String> {
    let is_listed = may_sleep.iter().any(|(listed, _)| *listed == path);
    match (sleeps(path, text), is_listed) {
        (0, true) => Some(format!("{path}: it sleeps no more; take it off the list")),
        (count, false) if count > 0 => {
            Some(format!("{path}: {count} sleeps in a test; wait for a clock, a barrier or a channel"))
        }
        _ => None,
    }
}

fn ignored_tests(path: &str, text: &str) -> Option<String> {
    let attribute = concat!("#[", "ignore");
    let fence = ["```ign", "ore"].concat();
    let is_there = text.lines().any(|line| line.trim().starts_with(attribute) || line.contains(&fence));
    is_there.then(|| format!("{path}: an ignored test proves nothing"))
}

#[test]
fn no_test_sleeps() {
    let files = repository::files();
    let rust = files.iter().filter(|file| file.is_rust());
    assert_clean(&rust.filter_map(|it| sleeping_tests(&it.path, &it.text, &MAY_SLEEP)).collect::<Vec<_>>());
    for (path, _) in MAY_SLEEP {
        assert!(files.iter().any(|file| file.path == path), "{path} is listed but not there");
    }
}

#[test]
fn no_test_is_ignored() {
    let files = repository::files();
    let rust = files.iter().filter(|file| file.is_rust());
    assert_clean(&rust.filter_map(|it| ignored_tests(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn a_sleeping_test_is_found() {
    let thread = format!("std::thread::{}1);", concat!("sleep", "("));
    let task = format!("{}until).await;", concat!("sleep_until", "("));
    for text in [&thread, &task] {
        assert_eq!(sleeps("tests/a.rs", text), 1, "{text}");
        assert_eq!(sleeps("a/src/b/tests.rs", text), 1, "{text}");
        assert_eq!(sleeps("a/src/b.rs", text), 0, "{text}");
        assert_eq!(sleeps("a/src/b.rs", &format!("#[cfg(test)]\nmod tests {{\n{text}\n}}")), 1, "{text}");
        assert_eq!(sleeps("tests/a.rs", &format!("// {text}")), 0, "{text}");
        assert_eq!(sleeps("tests/a.rs", &text.replace("sleep", "may_sleep")), 0, "{text}");
    }
    assert!(sleeping_tests("tests/a.rs", &thread, &[]).is_some());
    assert_eq!(sleeping_tests("tests/a.rs", &thread, &[("tests/a.rs", "why")]), None);
    assert!(sleeping_tests("tests/a.rs", "", &[("tests/a.rs", "why")]).is_some());
}

#[test]
fn an_ignored_test_is_found() {
    assert!(ignored_tests("a.rs", concat!("    #[", "ignore = \"slow\"]")).is_some());
    assert!(ignored_tests("a.rs", &["/// ```ign", "ore"].concat()).is_some());
    assert_eq!(ignored_tests("a.rs", "#[test]\nfn a() {}"), None);
}
