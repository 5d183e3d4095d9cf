//! Labels at the provider: the orderer's own, and the three markers by which a server is known to be ours.

use std::collections::BTreeMap;

use super::limits;
use super::validation::Checks;

/// Marks the installation that owns a server.
pub const OWNER_LABEL: &str = "vip-owner";
/// Marks the server record that a server belongs to.
pub const SERVER_LABEL: &str = "vip-server";
/// Marks the order that a server was created from.
pub const SPEC_LABEL: &str = "vip-spec";

/// Maps keys to values, in the order of the keys.
pub type Labels = BTreeMap<String, String>;

/// Checks the labels of an order: the provider's syntax, and no key that is reserved. Of too many only the first are checked: each
/// may have two errors that repeat it, and the answer would be many times as long as what was sent.
pub(crate) fn check_labels(labels: &Labels, checks: &mut Checks) {
    if labels.len() > limits::LABELS {
        checks.add("labels", &labels.len().to_string(), format!("must be at most {}", limits::LABELS));
    }
    for (key, value) in labels.iter().take(limits::LABELS.saturating_add(1)) {
        if let Err(rule) = check_key(key) {
            checks.add(format!("labels[{key:.80}]"), key, rule);
        }
        if let Err(rule) = check_part(value, limits::LABEL_BYTES, true) {
            checks.add(format!("labels[{key:.80}]"), value, format!("value {rule}"));
        }
    }
}

fn check_key(key: &str) -> Result<(), String> {
    if key.starts_with("vip-") || key.starts_with("hetzner.cloud/") {
        return Err("key is reserved".to_owned());
    }
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() || prefix.len() > limits::LABEL_PREFIX_BYTES {
                return Err(format!("key prefix must have 1 to {} bytes", limits::LABEL_PREFIX_BYTES));
            }
            for part in prefix.split('.') {
                check_part(part, limits::LABEL_BYTES, false).map_err(|rule| format!("key prefix {rule}"))?;
            }
            name
        }
        None => key,
    };
    check_part(name, limits::LABEL_BYTES, false).map_err(|rule| format!("key {rule}"))
}

fn check_part(text: &str, most: usize, may_be_empty: bool) -> Result<(), String> {
    if text.is_empty() {
        return if may_be_empty { Ok(()) } else { Err("must not be empty".to_owned()) };
    }
    if text.len() > most {
        return Err(format!("must have at most {most} bytes, has {}", text.len()));
    }
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if text.chars().all(inside) && end(text.chars().next()) && end(text.chars().last()) {
        Ok(())
    } else {
        Err("may only contain letters, digits, '-', '_' and '.', with a letter or digit at both ends".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(key: &str, value: &str) -> usize {
        let mut checks = Checks::default();
        check_labels(&Labels::from([(key.to_owned(), value.to_owned())]), &mut checks);
        checks.finish().map_or_else(|invalid| invalid.errors.len(), |()| 0)
    }

    #[test]
    fn keys_and_values_follow_the_syntax_of_the_provider() {
        for (key, value) in [("a", ""), ("env", "prod"), ("example.com/env", "a.b-c_d"), ("x9", &"v".repeat(63))] {
            assert_eq!(errors(key, value), 0, "{key}={value}");
        }
        let long = "k".repeat(64);
        for (key, value) in
            [("", "a"), ("-a", "a"), ("a b", "a"), ("/a", "a"), ("a/", "a"), (long.as_str(), "a"), ("a", long.as_str())]
        {
            assert_eq!(errors(key, value), 1, "{key}={value}");
        }
    }

    #[test]
    fn a_key_prefix_has_at_most_253_bytes() {
        let prefix = |bytes: usize| format!("{}/k", vec!["p".repeat(63); 5].join(".").get(..bytes).unwrap());
        assert_eq!(errors(&prefix(253), "v"), 0);
        assert_eq!(errors(&prefix(254), "v"), 1);
    }

    #[test]
    fn our_own_and_the_providers_keys_are_reserved() {
        assert_eq!(errors(OWNER_LABEL, "x"), 1);
        assert_eq!(errors("hetzner.cloud/x", "x"), 1);
    }

    #[test]
    fn an_order_has_at_most_thirty_two_labels() {
        let labels = |count: usize| (0..count).map(|n| (format!("k{n}"), String::new())).collect::<Labels>();
        for (count, good) in [(32, true), (33, false)] {
            let mut checks = Checks::default();
            check_labels(&labels(count), &mut checks);
            assert_eq!(checks.finish().is_ok(), good);
        }
    }

    #[test]
    fn of_too_many_labels_the_first_thirty_three_are_checked() {
        let labels: Labels = (0..1000).map(|n| (format!("-{n}"), "-".to_owned())).collect();
        let mut checks = Checks::default();
        check_labels(&labels, &mut checks);
        // Key and value of each, and that there are too many.
        assert_eq!(checks.finish().unwrap_err().errors.len(), 2 * 33 + 1);
    }
}
