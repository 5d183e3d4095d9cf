//! Dependencies point one way, nothing banned is compiled, everything comes from the registry.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{assert_clean, repository};

/// What vip-core must not have beneath it: a crate that speaks to a database, a socket or a browser.
const NOT_BENEATH_CORE: [&str; 22] = [
    "axum",
    "diesel",
    "h2",
    "http",
    "hyper",
    "hyper-util",
    "libsqlite3-sys",
    "mio",
    "native-tls",
    "quinn",
    "redis",
    "reqwest",
    "rusqlite",
    "rustls",
    "socket2",
    "sqlx",
    "sqlx-core",
    "tokio-postgres",
    "tokio-rustls",
    "tower",
    "tower-http",
    "url",
];

/// Crates that must not know each other, not even in their tests.
const STRANGERS: [(&str, &str); 4] = [
    ("vip-core", "vip-adapters"),
    ("vip-core", "vip-http"),
    ("vip-http", "vip-adapters"),
    ("vip-adapters", "vip-http"),
];

const LIBRARIES: [&str; 3] = ["vip-core", "vip-adapters", "vip-http"];

/// The names in the output of `cargo tree --prefix=none --format={p}`.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

fn banned_in(package: &str, tree: &str, banned: &[impl AsRef<str>]) -> Vec<String> {
    let names = names(tree);
    banned
        .iter()
        .map(AsRef::as_ref)
        .filter(|name| names.contains(name))
        .map(|name| format!("{package} has {name} beneath it: `cargo tree -p {package} --all-features -i {name}`"))
        .collect()
}

fn meetings_of_strangers(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let pair = (package["name"].as_str().unwrap(), dependency["name"].as_str().unwrap());
            if STRANGERS.contains(&pair) {
                findings.push(format!("{} must not depend on {}", pair.0, pair.1));
            }
        }
    }
    findings
}

fn foreign_sources(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    for package in metadata["packages"].as_array().unwrap() {
        let id = package["id"].as_str().unwrap();
        let from_registry = package["source"]
            .as_str()
            .is_some_and(|source| source.starts_with("registry+") && source.ends_with("/crates.io-index"));
        if !from_registry && !members.contains(id) {
            findings.push(format!("{id} comes neither from the registry nor from this workspace"));
        }
    }
    findings
}

/// The first quoted string of each line between `start` and the closing bracket: the lists of deny.toml.
pub(crate) fn list_in<'a>(toml: &'a str, section: &str, start: &str) -> Vec<&'a str> {
    toml.lines()
        .skip_while(|line| *line != section)
        .skip_while(|line| *line != start)
        .skip(1)
        .take_while(|line| *line != "]")
        .filter_map(|line| line.split('"').nth(1))
        .collect()
}

#[test]
fn core_has_no_database_network_or_web_crate_beneath_it() {
    let tree = repository::tree(&["-p=vip-core", "--edges=normal,build"]);
    assert!(names(&tree).contains("serde"));
    assert_clean(&banned_in("vip-core", &tree, &NOT_BENEATH_CORE));
}

#[test]
fn the_crates_that_must_not_know_each_other_do_not() {
    assert_clean(&meetings_of_strangers(&repository::metadata()));
}

#[test]
fn nothing_banned_is_compiled() {
    let deny = std::fs::read_to_string(repository::root().join("deny.toml")).unwrap();
    let banned = list_in(&deny, "[bans]", "deny = [");
    assert!(banned.len() > 5, "{banned:?}");
    for package in LIBRARIES {
        let tree = repository::tree(&["-p", package, "--edges=normal,build"]);
        assert_clean(&banned_in(package, &tree, &banned));
    }
    let tree = repository::tree(&["--workspace"]);
    assert_clean(&banned_in("the workspace", &tree, &banned));
}

#[test]
fn every_crate_comes_from_the_registry() {
    assert_clean(&foreign_sources(&repository::metadata()));
}

#[test]
fn a_banned_crate_is_found() {
    let tree = "vip-core v0.1.0 (/somewhere)\nserde v1.0.0\nring v0.17.0\nspring v1.0.0";
    let findings = banned_in("vip-core", tree, &["ring", "openssl-sys"]);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].contains("ring"));
}

#[test]
fn two_strangers_that_meet_are_found() {
    let metadata = serde_json::json!({ "packages": [
        { "name": "vip-http", "dependencies": [{ "name": "vip-core" }, { "name": "vip-adapters" }] },
    ] });
    assert_eq!(meetings_of_strangers(&metadata), ["vip-http must not depend on vip-adapters"]);
}

#[test]
fn a_crate_from_git_or_from_another_folder_is_found() {
    let metadata = serde_json::json!({ "workspace_members": ["ours"], "packages": [
        { "id": "ours", "source": null },
        { "id": "beside", "source": null },
        { "id": "forked", "source": "git+https://example.org/forked" },
        { "id": "fine", "source": "registry+https://example.org/crates.io-index" },
    ] });
    let findings = foreign_sources(&metadata);
    assert_eq!(findings.len(), 2, "{findings:?}");
}

#[test]
fn a_list_of_deny_toml_ends_with_its_bracket() {
    let toml = "[a]\nallow = [\n  \"wrong\",\n]\n[b]\nallow = [\n  \"one\",\n  { crate = \"two\", reason = \"x\" },\n]\nmore = \"no\"";
    assert_eq!(list_in(toml, "[b]", "allow = ["), ["one", "two"]);
}
