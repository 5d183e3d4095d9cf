//! No file of Rust lies beside the program: each is a target of a manifest, or a module that another file names.

use std::collections::BTreeSet;

use crate::assert_clean;
use crate::manifests::target_files;
use crate::repository::{self, File};

/// The folders of all workspaces; those beside the first one are `exclude`d in its manifest.
const WORKSPACES: [&str; 3] = ["", "fuzz/", "tests/host/"];

/// Is what a file says of a module whose text is in another file.
struct Module<'t> {
    name: &'t str,
    /// From `#[path]`, as seen from the folder of the file.
    place: Option<&'t str>,
}

fn modules(text: &str) -> Vec<Module<'_>> {
    let mut modules = Vec::new();
    let mut place = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            place = rest.split('"').next();
        } else if let Some(name) = module_name(line) {
            modules.push(Module { name, place: place.take() });
        }
    }
    modules
}

fn module_name(line: &str) -> Option<&str> {
    let (declaration, _) = line.split_once(';')?;
    let words: Vec<&str> = declaration.split_whitespace().collect();
    match words[..] {
        ["mod", name] => Some(name),
        [visibility, "mod", name] if visibility.starts_with("pub") => Some(name),
        _ => None,
    }
}

/// Follows a path from a folder.
fn joined(folder: &str, place: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in place.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Files that a `#[path]` names.
fn placed(file: &File) -> Vec<String> {
    let places = modules(&file.text).into_iter().filter_map(|module| module.place);
    places.map(|place| joined(folder_of(&file.path), place)).collect()
}

/// Says where the compiler looks for modules of a file: for those of `a/b.rs` in `a/b`, and beside a root of modules.
fn home<'f>(file: &'f File, roots: &[&BTreeSet<String>]) -> &'f str {
    let is_root = file.path.ends_with("/mod.rs") || roots.iter().any(|known| known.contains(&file.path));
    if is_root { folder_of(&file.path) } else { file.path.trim_end_matches(".rs") }
}

/// Files in which a module without a `#[path]` may be.
fn beneath(file: &File, home: &str) -> Vec<String> {
    let named = modules(&file.text).into_iter().filter(|module| module.place.is_none());
    named.flat_map(|module| ["", "/mod"].map(|end| format!("{home}/{}{end}.rs", module.name))).collect()
}

fn uncompiled(files: &[File], targets: &BTreeSet<String>) -> Vec<String> {
    let rust: Vec<&File> = files.iter().filter(|file| file.is_rust()).collect();
    let placed: BTreeSet<String> = rust.iter().flat_map(|file| placed(file)).collect();
    let roots = [targets, &placed];
    let beneath: BTreeSet<String> = rust.iter().flat_map(|file| beneath(file, home(file, &roots))).collect();
    let is_known = |path: &String| [targets, &placed, &beneath].iter().any(|known| known.contains(path));
    let unknown = rust.iter().filter(|file| !is_known(&file.path));
    unknown.map(|file| format!("{}: no manifest and no `mod` names it, so nobody compiles it", file.path)).collect()
}

#[test]
fn every_file_is_a_target_or_a_module() {
    let targets: BTreeSet<String> = WORKSPACES.iter().flat_map(|folder| target_files(folder)).collect();
    assert!(targets.contains("fuzz/src/lib.rs"), "{targets:?}");
    assert_clean(&uncompiled(&repository::files(), &targets));
}

#[test]
fn a_file_that_nothing_names_is_found() {
    let file = |(path, text): (&str, &str)| File { path: path.to_owned(), text: text.to_owned() };
    let named = [
        ("a/main.rs", "mod one;\n#[path = \"../b/far.rs\"]\nmod far;\n#[cfg(test)]\npub(crate) mod folder;"),
        ("a/one.rs", "pub mod inner;"),
        ("a/one/inner.rs", ""),
        ("a/folder/mod.rs", "mod beside;"),
        ("a/folder/beside.rs", ""),
        ("b/far.rs", "mod beside;"),
        ("b/beside.rs", ""),
        ("a/notes.md", ""),
    ];
    // The last two have the name of a module of another folder.
    let forgotten = [("a/forgotten.rs", "// mod beside;"), ("a/inner.rs", ""), ("a/beside.rs", "")];
    let targets = BTreeSet::from(["a/main.rs".to_owned()]);
    let files: Vec<File> = named.into_iter().chain(forgotten).map(file).collect();
    let found = uncompiled(&files, &targets);
    assert_eq!(found.len(), forgotten.len(), "{found:?}");
    assert!(forgotten.iter().all(|(path, _)| found.iter().any(|it| it.starts_with(path))), "{found:?}");
}
