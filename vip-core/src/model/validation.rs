//! What was wrong with a command: every field at once, each with its value and the rule it broke.

use std::fmt;

use super::limits;

/// Says what is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The field, such as `ssh_keys[2]`.
    pub field: String,
    /// What was sent, shortened; empty for a secret field.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
}

/// Lists every field that was wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid: {}", Joined(.errors))]
#[non_exhaustive]
pub struct Invalid {
    /// One entry for each field and rule, in the order of the fields; of a list that is too long, entries are checked up to one
    /// beyond its bound.
    pub errors: Vec<FieldError>,
}

struct Joined<'a>(&'a [FieldError]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str("; ")?;
            }
            if error.value.is_empty() {
                write!(formatter, "{} {}", error.field, error.rule)?;
            } else {
                write!(formatter, "{} {:?} {}", error.field, error.value, error.rule)?;
            }
        }
        Ok(())
    }
}

/// Collects field errors until all fields were looked at.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Records that `field` breaks `rule`; `value` is shortened.
    pub(crate) fn add(&mut self, field: impl Into<String>, value: &str, rule: impl Into<String>) {
        let mut value_shown: String = value.chars().take(limits::SHOWN_VALUE_CHARS).collect();
        if value_shown.len() < value.len() {
            value_shown.push('…');
        }
        self.errors.push(FieldError { field: field.into(), value: value_shown, rule: rule.into() });
    }

    /// Keeps a good value, records a bad one.
    pub(crate) fn keep<T>(&mut self, field: &str, value: &str, parsed: Result<T, super::NameError>) -> Option<T> {
        match parsed {
            Ok(good) => Some(good),
            Err(error) => {
                self.add(field, value, error.rule);
                None
            }
        }
    }

    /// Ends the checks.
    pub(crate) fn finish(self) -> Result<(), Invalid> {
        if self.errors.is_empty() { Ok(()) } else { Err(Invalid { errors: self.errors }) }
    }
}

impl Invalid {
    /// Makes the answer for one bad field.
    pub(crate) fn one(field: &str, value: &str, rule: impl Into<String>) -> Self {
        let mut checks = Checks::default();
        checks.add(field, value, rule);
        Self { errors: checks.errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_64_characters_is_shown_whole_and_a_longer_one_cut() {
        let shown = |value: &str| Invalid::one("name", value, "is wrong").errors.remove(0).value;
        for letter in ["x", "é"] {
            let longest = letter.repeat(64);
            assert_eq!(shown(&longest), longest);
            assert_eq!(shown(&letter.repeat(65)), format!("{longest}…"));
        }
    }
}
