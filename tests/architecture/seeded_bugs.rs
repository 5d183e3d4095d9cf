//! A normal build holds no switch of a seeded bug but the constant `false`.

use crate::{assert_clean, repository};

/// The files of the libraries that may know the build in which bugs can be switched on; that build also counts which
/// steps and answers were reached.
const MAY_KNOW: [&str; 5] = [
    "vip-core/src/lib.rs",
    "vip-core/src/memory/backend.rs",
    "vip-core/src/provisioning/converge/mod.rs",
    "vip-core/src/provisioning/converge/reached.rs",
    "vip-core/src/seeded_bugs.rs",
];
/// What every other build has instead of a switch.
const CONSTANT: &str = "#[cfg(not(vip_seeded_bugs))]\n#[inline]\n#[must_use]\npub const fn is_on(_bug: SeededBug) -> bool {\n    false\n}\n";
/// How the module is declared: public in the build that seeds bugs alone.
const DECLARED: &str =
    "#[cfg(not(vip_seeded_bugs))]\nmod seeded_bugs;\n#[cfg(vip_seeded_bugs)]\npub mod seeded_bugs;\n";

/// `path` starts at the root.
fn knows_too_much(path: &str, text: &str) -> Option<String> {
    let is_library =
        ["vip-core/src/", "vip-adapters/src/", "vip-http/src/"].iter().any(|crate_| path.starts_with(crate_));
    let is_manifest = path.ends_with("Cargo.toml") && path != "Cargo.toml";
    let of_tests = path.contains("/tests/") && path.starts_with("vip-core/src/");
    let named = text.contains("vip_seeded_bugs") || (is_manifest && text.contains("seeded"));
    let forbidden = (is_library || is_manifest) && !of_tests && !MAY_KNOW.contains(&path);
    (named && forbidden).then(|| format!("{path}: only {MAY_KNOW:?} may ask for `vip_seeded_bugs`"))
}

#[test]
fn only_the_switch_itself_asks_for_the_build_that_seeds_bugs() {
    let files = repository::files();
    assert_clean(&files.iter().filter_map(|it| knows_too_much(&it.path, &it.text)).collect::<Vec<_>>());
}

#[test]
fn in_every_other_build_each_switch_is_the_constant_false_and_not_public() {
    let files = repository::files();
    let text = |path: &str| files.iter().find(|it| it.path == path).map_or("", |it| it.text.as_str());
    assert_eq!(text("vip-core/src/seeded_bugs.rs").matches(CONSTANT).count(), 1);
    assert_eq!(text("vip-core/src/lib.rs").matches(DECLARED).count(), 1);
}

#[test]
fn a_switch_elsewhere_or_as_a_feature_is_found() {
    assert!(knows_too_much("vip-core/src/worker/run.rs", "#[cfg(vip_seeded_bugs)]").is_some());
    assert!(knows_too_much("vip-core/Cargo.toml", "[features]\nseeded-bugs = []").is_some());
    assert!(knows_too_much("vip-core/src/worker/tests/attempts.rs", "#[cfg(vip_seeded_bugs)]").is_none());
}
