//! Inside vip-core, imports go `model ← ports ← everything else`; the worker knows no job kind.

use crate::{assert_clean, repository};

/// Which top-level module of vip-core may name which others. A module that stands here with `ANYTHING` ties the rest
/// together. Tests may name what they like: a decision is tested on the memory backend.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("lib", ANYTHING),
    // The facade that an embedder holds.
    ("provisioner", ANYTHING),
    ("model", &[]),
    ("telemetry", &[]),
    // Switches of mistakes, constant in every normal build: they stand where the rule stands.
    ("seeded_bugs", &[]),
    ("ports", &["model"]),
    ("runtime", &["model", "ports", "telemetry"]),
    // Never `provisioning`: an app's own job kinds run on the same worker.
    ("worker", &["model", "ports", "runtime", "seeded_bugs", "telemetry"]),
    ("memory", &["model", "ports", "seeded_bugs", "telemetry"]),
    ("mocks", &["ports"]),
    ("resilience", &["model", "ports", "runtime", "telemetry"]),
    ("relay", &["model", "ports", "runtime", "telemetry"]),
    ("provisioning", &["model", "ports", "runtime", "seeded_bugs", "telemetry", "worker"]),
    // What an adapter of somebody else runs: it sees the doors and nothing behind them.
    ("conformance", &["model", "ports"]),
];

const ANYTHING: &[&str] = &["*"];

fn allowed_for(module: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed)
}

/// The modules that a file of vip-core stands in: `worker/pool.rs` gives `worker`, `pool`.
fn module_path(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

/// Whether the whole file is compiled for tests only.
fn is_test_file(path: &str) -> bool {
    module_path(path).iter().any(|part| *part == "tests" || part.ends_with("_tests"))
}

/// The words and signs of a file without comments, strings and what stands behind `#[cfg(test)] mod … {`.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for line in code_of(text).lines() {
        let mut word = String::new();
        for character in line.chars().chain([' ']) {
            if character.is_alphanumeric() || character == '_' {
                word.push(character);
                continue;
            }
            if !word.is_empty() {
                tokens.push(std::mem::take(&mut word));
            }
            if !character.is_whitespace() {
                tokens.push(character.to_string());
            }
        }
    }
    tokens
}

fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let opens_tests = |next: &&str| next.trim().starts_with("mod ") && next.trim().ends_with('{');
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(opens_tests) {
            break;
        }
        let without_comment = line.split("//").next().unwrap_or("");
        // Every second part stands between quotes.
        for part in without_comment.split('"').step_by(2) {
            code.push_str(part);
            code.push(' ');
        }
        code.push('\n');
    }
    code
}

/// The top-level modules that the code of a file names, by `crate::`, by `super::` up to the root, or in braces.
fn named_modules(path: &str, text: &str) -> Vec<String> {
    let depth = if path == "lib.rs" { 0 } else { module_path(path).len() };
    let tokens = tokens(text);
    let is_path = |at: usize| tokens.get(at).is_some_and(|t| t == ":") && tokens.get(at + 1).is_some_and(|t| t == ":");
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut levels = 0;
        // Not after `::`, but after the `:` of a type.
        let begins = at < 2 || tokens[at - 1] != ":" || tokens[at - 2] != ":";
        if tokens[at] == "crate" && begins && is_path(at + 1) {
            levels = depth;
            at += 3;
        } else if begins {
            while tokens.get(at).is_some_and(|t| t == "super") && is_path(at + 1) {
                levels += 1;
                at += 3;
            }
        }
        if levels > 0 && levels >= depth {
            named.extend(first_names(&tokens[at..]));
        } else if levels == 0 {
            at += 1;
        }
    }
    named
}

/// `model::Server` gives `model`; `{model::{Server, Spec}, ports}` gives `model` and `ports`.
fn first_names(tokens: &[String]) -> Vec<String> {
    let Some(first) = tokens.first() else {
        return Vec::new();
    };
    if first != "{" {
        return vec![first.clone()];
    }
    let (mut depth, mut names, mut is_first) = (0_u32, Vec::new(), false);
    for token in tokens {
        match token.as_str() {
            "{" => {
                depth += 1;
                is_first = depth == 1;
            }
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," => is_first = depth == 1,
            _ if is_first => {
                names.push(token.clone());
                is_first = false;
            }
            _ => {}
        }
    }
    names
}

/// `path` starts beneath `vip-core/src/`.
fn forbidden_imports(path: &str, text: &str) -> Vec<String> {
    if is_test_file(path) {
        return Vec::new();
    }
    let parts = module_path(path);
    let module = parts[0];
    let Some(allowed) = allowed_for(module) else {
        return vec![format!("{path}: `{module}` has no line in the table of tests/architecture/layering.rs")];
    };
    if allowed == ANYTHING {
        return Vec::new();
    }
    let mut named = named_modules(path, text);
    named.sort();
    named.dedup();
    named.retain(|name| name != module && !allowed.contains(&name.as_str()));
    named.iter().map(|name| format!("{path}: `{module}` must not name `crate::{name}`")).collect()
}

#[test]
fn modules_of_core_import_only_what_the_table_allows() {
    let mut findings = Vec::new();
    for file in repository::files() {
        if let Some(path) = file.path.strip_prefix("vip-core/src/")
            && file.is_rust()
        {
            findings.extend(forbidden_imports(path, &file.text));
        }
    }
    assert_clean(&findings);
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    for (path, text) in [
        ("model/server.rs", "use crate::ports::Store;"),
        ("model/server.rs", "fn now() -> crate::ports::Clock {}"),
        ("model/server.rs", "fn at(clock: crate::ports::Clock) {}"),
        ("model/server.rs", "use super::super::ports::Store;"),
        ("model/mod.rs", "use super::ports::Store;"),
        ("model.rs", "pub(crate) use super::ports::Store;"),
        ("model/server.rs", "use crate::{model::{Id, Spec}, ports::Store};"),
        ("model/server.rs", "use crate::{\n    model::Id,\n    ports,\n};"),
        ("model/server.rs", "#[cfg(test)]\nmod tests;\nuse crate::ports::Store;"),
        ("ports/store.rs", "use crate::worker::Lease;"),
        ("worker/pool.rs", "use crate::provisioning::converge;"),
        ("memory/store.rs", "use crate::conformance::store;"),
        ("conformance/store.rs", "use crate::memory::MemoryStore;"),
        ("model/server.rs", "use crate::*;"),
        ("model/server.rs", "use crate::Server;"),
        ("cellar/wine.rs", ""),
    ] {
        assert_eq!(forbidden_imports(path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (path, text) in [
        ("model/server.rs", "use crate::model::Id;\nuse super::Spec;\nuse super::super::model::Id;"),
        ("model/server.rs", "//! See [`crate::ports`].\n/// Like `crate::worker`.\nlet text = \"crate::worker::\";"),
        ("model/server.rs", "#[cfg(test)]\nmod tests {\n    use crate::memory::MemoryStore;\n}"),
        ("model/server/tests.rs", "use crate::memory::MemoryStore;"),
        ("ports/store.rs", "use crate::model::{Id, Spec};\npub(crate) struct Page;\nmod inner;"),
        ("worker/pool.rs", "use crate::{model::{job::Job}, ports::{JobQueue}, runtime};"),
        ("provisioning/accept/create.rs", "use super::super::converge::Step;\nuse crate::worker::Handler;"),
        ("lib.rs", "pub use crate::worker::Worker;"),
    ] {
        assert_eq!(forbidden_imports(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}
