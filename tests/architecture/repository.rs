//! Reads the repository: its text files, its manifests, and what cargo knows about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Folders that hold nothing of ours: build results and what a fuzzer found.
const NOT_OURS: [&str; 4] = [".git", "target", "fuzz/corpus", "fuzz/artifacts"];

/// A text file of the repository.
pub(crate) struct File {
    /// The path from the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }
}

pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == extension)
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text file of the repository, in the order of their paths. Files that are no UTF-8 are left out.
pub(crate) fn files() -> Vec<File> {
    let mut files = Vec::new();
    collect(&root(), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 20, "the walk found {} files only", files.len());
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if NOT_OURS.contains(&path.as_str()) || name == "target" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), files);
        } else if name != ".git"
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            files.push(File { path, text });
        }
    }
}

/// What cargo knows about all packages, with every feature on, for the machine that the tests run on.
///
/// Nothing is downloaded in a clone that has been built: `--filter-platform` leaves out what other systems need.
pub(crate) fn metadata() -> Value {
    let text = cargo(&["metadata", "--locked", "--format-version=1", "--all-features", "--filter-platform=host-tuple"]);
    serde_json::from_str(&text).unwrap()
}

/// What the packages of one workspace say of themselves, by its manifest from the root.
pub(crate) fn packages(manifest: &str) -> Value {
    let manifest = format!("--manifest-path={manifest}");
    serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version=1", &manifest])).unwrap()
}

/// What is compiled for these packages, one `name version` a line: the resolver's answer, unlike that of `metadata`,
/// which also lists optional crates that nothing turns on.
pub(crate) fn tree(arguments: &[&str]) -> String {
    let mut words = vec!["tree", "--locked", "--all-features", "--prefix=none", "--format={p}"];
    words.extend(arguments);
    cargo(&words)
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
