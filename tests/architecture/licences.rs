//! Every dependency may be used under a licence of the list in deny.toml.

use serde_json::Value;

use crate::crates::list_in;
use crate::{assert_clean, repository};

/// Evaluates an SPDX expression (`OR`, `AND`, `WITH`, brackets; `/` is the old way to write `OR`).
struct Expression<'a> {
    tokens: Vec<String>,
    position: usize,
    allowed: &'a [&'a str],
}

impl<'a> Expression<'a> {
    fn is_allowed(text: &str, allowed: &'a [&'a str]) -> bool {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let tokens = spaced.split_whitespace().map(str::to_owned).collect();
        let mut expression = Self { tokens, position: 0, allowed };
        let answer = expression.either();
        // What was not understood is not allowed.
        answer && expression.position == expression.tokens.len()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.tokens.get(self.position).is_some_and(|token| token == word);
        self.position += usize::from(is_next);
        is_next
    }

    fn either(&mut self) -> bool {
        let mut answer = self.both();
        while self.take("OR") {
            // Not `||`: the right side has to be read in any case.
            answer |= self.both();
        }
        answer
    }

    fn both(&mut self) -> bool {
        let mut answer = self.one();
        while self.take("AND") {
            answer &= self.one();
        }
        answer
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let answer = self.either();
            return self.take(")") && answer;
        }
        let Some(mut name) = self.tokens.get(self.position).cloned() else {
            return false;
        };
        self.position += 1;
        if self.take("WITH") {
            let exception = self.tokens.get(self.position).cloned().unwrap_or_default();
            self.position += 1;
            name = format!("{name} WITH {exception}");
        }
        self.allowed.contains(&name.as_str())
    }
}

fn refused_licences(metadata: &Value, allowed: &[&str]) -> Vec<String> {
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| !Expression::is_allowed(package["license"].as_str().unwrap_or(""), allowed))
        .map(|package| format!("{}: licence {}", package["id"], package["license"]))
        .collect()
}

#[test]
fn every_dependency_has_a_licence_of_the_list() {
    let deny = std::fs::read_to_string(repository::root().join("deny.toml")).unwrap();
    let allowed = list_in(&deny, "[licenses]", "allow = [");
    assert!(allowed.contains(&"MIT"), "{allowed:?}");
    assert_clean(&refused_licences(&repository::metadata(), &allowed));
}

#[test]
fn expressions_are_evaluated_as_spdx_says() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "MIT AND Apache-2.0",
        "(GPL-3.0 OR MIT) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-3.0 AND BSD OR MIT",
    ] {
        assert!(Expression::is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Apache-2.0) AND GPL-3.0",
        "GPL-3.0 WITH LLVM-exception",
        "MIT WITH Something",
        "MIT GPL-3.0",
        "(MIT",
    ] {
        assert!(!Expression::is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn a_crate_without_a_licence_is_found() {
    let metadata = serde_json::json!({ "packages": [
        { "id": "silent", "license": null },
        { "id": "closed", "license": "Proprietary" },
        { "id": "open", "license": "MIT" },
    ] });
    assert_eq!(refused_licences(&metadata, &["MIT"]).len(), 2);
}
