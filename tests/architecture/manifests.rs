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

/// The files of all targets of this workspace, from its root.
fn target_files(metadata: &Value) -> BTreeSet<String> {
    let root = format!("{}/", metadata["workspace_root"].as_str().unwrap());
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|package| package["targets"].as_array().unwrap())
        .filter_map(|target| target["src_path"].as_str().unwrap().strip_prefix(&root).map(str::to_owned))
        .collect()
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

fn member_manifests(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| {
        let parts: Vec<&str> = file.path.split('/').collect();
        matches!(parts[..], [folder, "Cargo.toml"] if folder != "fuzz")
    })
}

#[test]
fn every_program_is_listed_in_a_manifest() {
    let files = repository::files();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let targets = target_files(&repository::metadata());
    assert!(targets.contains("tests/architecture/main.rs"), "{targets:?}");
    assert_clean(&unlisted_programs(&paths, &targets));
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let files = repository::files();
    assert!(member_manifests(&files).count() >= 5);
    assert_clean(&member_manifests(&files).filter_map(|it| takes_no_lints(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn versions_stand_in_the_workspace_manifest_only() {
    let files = repository::files();
    assert_clean(&member_manifests(&files).flat_map(|it| own_versions(&it.path, &it.text)).collect::<Vec<_>>());
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
