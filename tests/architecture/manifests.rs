//! Manifests leave nothing out: every program is a target, every package takes the lints of the workspace.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::assert_clean;
use crate::repository::{self, File};

/// Packages name their targets by hand (`autoexamples = false`, `autotests = false`), so a new program that nobody
/// lists would be compiled by nobody: `examples/x.rs`, `examples/x/main.rs`, `tests/x.rs`, `tests/x/main.rs`.
fn looks_like_a_target(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["examples" | "tests", file] if file.ends_with(".rs"))
        || matches!(parts[..], ["examples" | "tests", folder, "main.rs"] if folder != "host")
}

fn unlisted_programs(files: &[&str], targets: &BTreeSet<String>) -> Vec<String> {
    files
        .iter()
        .filter(|path| looks_like_a_target(path) && !targets.contains(**path))
        .map(|path| format!("{path}: no manifest lists it, so nobody compiles it"))
        .collect()
}

/// The files of all targets of the workspace in a folder, from the root of the repository.
pub(crate) fn target_files(folder: &str) -> BTreeSet<String> {
    let metadata = repository::packages(&format!("{folder}Cargo.toml"));
    let packages = metadata["packages"].as_array().unwrap().iter();
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    targets.map(|target| format!("{folder}{}", from_workspace(&metadata, &target["src_path"]))).collect()
}

/// A path that cargo says, from the root of its workspace.
fn from_workspace<'m>(metadata: &'m Value, path: &'m Value) -> &'m str {
    let root = metadata["workspace_root"].as_str().unwrap();
    path.as_str().unwrap().strip_prefix(root).unwrap().trim_start_matches('/')
}

fn takes_no_lints(path: &str, text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    (lines.next() != Some("workspace = true")).then(|| format!("{path}: `[lints] workspace = true` is missing"))
}

/// A second version of a crate in the manifests is a decision of the workspace, not of one package.
fn own_versions(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut is_inside = false;
    for line in text.lines() {
        if line.starts_with('[') {
            is_inside = line.contains("dependencies");
        } else if is_inside && line.contains('=') && !line.contains("workspace = true") {
            let is_own = line.split_once('=').is_some_and(|(key, value)| {
                !key.trim().ends_with(".workspace") && (value.contains("version") || value.trim().starts_with('"'))
            });
            if is_own {
                findings.push(format!("{path}: `{}` has a version of its own", line.trim()));
            }
        }
    }
    findings
}

/// The manifests of all packages of this workspace, however deep their folders are.
fn member_manifests(files: &[File]) -> Vec<&File> {
    let metadata = repository::packages("Cargo.toml");
    let packages = metadata["packages"].as_array().unwrap().iter();
    let members: BTreeSet<&str> = packages.map(|it| from_workspace(&metadata, &it["manifest_path"])).collect();
    files.iter().filter(|file| members.contains(file.path.as_str())).collect()
}

#[test]
fn every_program_is_listed_in_a_manifest() {
    let files = repository::files();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let targets = target_files("");
    assert!(targets.contains("tests/architecture/main.rs"), "{targets:?}");
    assert_clean(&unlisted_programs(&paths, &targets));
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let files = repository::files();
    let members = member_manifests(&files);
    assert!(members.iter().any(|it| it.path == "tests/simulation/Cargo.toml"), "a package in a folder of another one");
    assert_clean(&members.iter().filter_map(|it| takes_no_lints(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn versions_stand_in_the_workspace_manifest_only() {
    let files = repository::files();
    let members = member_manifests(&files);
    assert_clean(&members.iter().flat_map(|it| own_versions(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn an_unlisted_program_is_found() {
    let targets = BTreeSet::from(["examples/a.rs".to_owned(), "tests/b/main.rs".to_owned()]);
    let files =
        ["examples/a.rs", "examples/c.rs", "tests/b/main.rs", "tests/b/more.rs", "tests/d/main.rs", "tests/e.rs"];
    assert_eq!(unlisted_programs(&files, &targets).len(), 3);
}

#[test]
fn a_package_without_the_lints_is_found() {
    assert_eq!(takes_no_lints("a", "[package]\n\n[lints]\nworkspace = true\n"), None);
    for text in ["[package]", "[lints]\nworkspace = false", "[dependencies.lints]\nworkspace = true"] {
        assert!(takes_no_lints("a", text).is_some(), "{text}");
    }
}

#[test]
fn a_version_of_its_own_is_found() {
    for line in ["serde = \"1\"", "serde = { version = \"1\" }"] {
        assert_eq!(own_versions("a", &format!("[dev-dependencies]\n{line}")).len(), 1, "{line}");
    }
    let fine = "[package]\nversion = \"1\"\n[dependencies]\nserde.workspace = true\nx = { workspace = true, features = [\"a\"] }";
    assert_eq!(own_versions("a", fine), Vec::<String>::new());
}
