//! Labels and the selector language over them.

use std::collections::BTreeMap;

/// Labels of a resource.
pub(super) type Labels = BTreeMap<String, String>;

/// Longest name segment of a key, and longest value.
pub(super) const LABEL_SEGMENT_MAX_CHARS: usize = 63;
/// Longest prefix of a key.
pub(super) const LABEL_PREFIX_MAX_CHARS: usize = 253;
const RESERVED_PREFIX: &str = "hetzner.cloud";

/// Tells what is wrong with a key, if anything.
pub(super) fn check_key(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        Some((prefix, _)) if prefix == RESERVED_PREFIX => {
            return Err(format!("label key '{key}' uses the reserved prefix '{RESERVED_PREFIX}/'"));
        }
        Some((prefix, _)) if !is_dns_subdomain(prefix) => {
            return Err(format!("label key '{key}' has an invalid prefix"));
        }
        Some((_, name)) => name,
        None => key,
    };
    if is_segment(name) { Ok(()) } else { Err(format!("label key '{key}' is invalid")) }
}

/// Tells what is wrong with a value, if anything.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_segment(value) { Ok(()) } else { Err(format!("label value '{value}' is invalid")) }
}

fn is_segment(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= LABEL_SEGMENT_MAX_CHARS
        && is_edge(text.chars().next())
        && is_edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= LABEL_PREFIX_MAX_CHARS && is_host_name(text)
}

/// Tells whether `text` is a host name by RFC 1123.
pub(super) fn is_host_name(text: &str) -> bool {
    text.len() <= LABEL_PREFIX_MAX_CHARS
        && text.split('.').all(|part| {
            (1..=LABEL_SEGMENT_MAX_CHARS).contains(&part.len())
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
}

/// A parsed selector: every term must hold.
#[derive(Debug, Default)]
pub(super) struct Selector {
    terms: Vec<Term>,
}

#[derive(Debug)]
struct Term {
    key: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Parses a selector; an empty one matches everything.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let terms = split_outside_parentheses(text)?;
        let terms = terms.into_iter().map(Term::parse).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Tells whether `labels` satisfy every term.
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.terms.iter().all(|term| term.holds(labels))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (key, test) = if let Some(key) = text.strip_prefix('!') {
            (key, Test::Absent)
        } else if let Some((key, list)) = text.split_once('(') {
            Self::parse_set(key, list)?
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, Test::NotIn(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = text.split_once("==") {
            (key, Test::In(vec![value.trim().to_owned()]))
        } else if let Some((key, value)) = text.split_once('=') {
            (key, Test::In(vec![value.trim().to_owned()]))
        } else {
            (text, Test::Present)
        };
        let key = key.trim();
        check_key(key)?;
        match &test {
            Test::In(values) | Test::NotIn(values) => {
                values.iter().try_for_each(|value| check_value(value))?;
            }
            Test::Present | Test::Absent => {}
        }
        Ok(Self { key: key.to_owned(), test })
    }

    /// Parses `key in (a,b)` and `key notin (a,b)`, already split at the opening parenthesis.
    fn parse_set<'a>(head: &'a str, list: &str) -> Result<(&'a str, Test), String> {
        let list = list.trim_end().strip_suffix(')').ok_or("missing ')' in label selector")?;
        let values: Vec<_> = list.split(',').map(|value| value.trim().to_owned()).collect();
        let (key, operator) =
            head.trim().rsplit_once(char::is_whitespace).ok_or("missing operator before '(' in label selector")?;
        match operator {
            "in" => Ok((key, Test::In(values))),
            "notin" => Ok((key, Test::NotIn(values))),
            other => Err(format!("unknown operator '{other}' in label selector")),
        }
    }

    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
        }
    }
}

fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, String> {
    let mut terms = Vec::new();
    let mut rest = text;
    loop {
        let comma = rest.find(',');
        let open = rest.find('(').filter(|open| comma.is_none_or(|comma| *open < comma));
        let end = match open {
            Some(open) => {
                let (_, after_open) = rest.split_at(open);
                let close = after_open.find(')').ok_or("missing ')' in label selector")?;
                let (_, after_close) = rest.split_at(open + close);
                after_close.find(',').map(|comma| open + close + comma)
            }
            None => comma,
        };
        let Some((term, after)) = end.and_then(|end| rest.split_at_checked(end)) else {
            terms.push(rest);
            return Ok(terms);
        };
        terms.push(term);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn selects(selector: &str, pairs: &[(&str, &str)]) -> bool {
        Selector::parse(selector).unwrap().matches(&labels(pairs))
    }

    #[test]
    fn every_operator_selects_as_documented() {
        let web = [("env", "prod"), ("type", "web")];
        for (selector, expected) in [
            ("env=prod", true),
            ("env==prod", true),
            ("env=test", false),
            ("env!=test", true),
            ("env!=prod", false),
            ("other!=prod", true),
            ("env", true),
            ("other", false),
            ("!other", true),
            ("!env", false),
            ("env in (test,prod)", true),
            ("env in (test, staging)", false),
            ("env notin (test,staging)", true),
            ("env notin (prod)", false),
            ("other notin (prod)", true),
            ("env in (test,prod),type=web", true),
            ("env=prod,type!=web", false),
            ("env=prod,!other,type", true),
            ("", true),
        ] {
            assert_eq!(selects(selector, &web), expected, "{selector}");
        }
    }

    #[test]
    fn broken_selectors_are_refused() {
        for selector in ["env in (a", "env among (a)", "(a)", "=x", "a b", "env=a b", ",env", "env,"] {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn key_and_value_limits_hold_at_63_and_64() {
        let (fits, too_long) = ("a".repeat(63), "a".repeat(64));
        assert!(check_key(&fits).is_ok() && check_value(&fits).is_ok());
        assert!(check_key(&too_long).is_err() && check_value(&too_long).is_err());
    }

    #[test]
    fn prefix_limit_holds_at_253_and_254_and_the_vendors_prefix_is_reserved() {
        let part = "a".repeat(63);
        let fits = format!("{part}.{part}.{part}.{}/name", "a".repeat(61));
        let too_long = format!("{part}.{part}.{part}.{}/name", "a".repeat(62));
        assert!(check_key(&fits).is_ok());
        assert!(check_key(&too_long).is_err());
        assert!(check_key("hetzner.cloud/x").is_err());
    }

    #[test]
    fn host_names_follow_rfc_1123() {
        for name in ["a", "web-1", "WEB.example.com", "1a"] {
            assert!(is_host_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "a_b", "a..b", "ä", "a b", &"a".repeat(64)] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
