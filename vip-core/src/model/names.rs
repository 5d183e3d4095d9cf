//! Validated strings: each has a private field and one constructor that says what is wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ServerId;
use super::limits;

/// Says which rule a string broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
#[non_exhaustive]
pub struct NameError {
    /// The rule, in words that a caller can act on.
    pub rule: String,
}

impl NameError {
    pub(crate) fn new(rule: impl Into<String>) -> Self {
        Self { rule: rule.into() }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps a string.
            ///
            /// # Errors
            ///
            /// [`NameError`] with the rule that the string breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// Returns the string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

name! {
    /// Names who orders: 1 to 63 of `a-z A-Z 0-9 . _ -`, beginning and ending with a letter or digit.
    TenantId, check_word
}
name! {
    /// Names one account (project) at a provider: 1 to 63 of `a-z A-Z 0-9 . _ -`.
    AccountId, check_word
}
name! {
    /// Is what the orderer calls the server: one lower-case host label of 1 to 50 characters; need not be unique.
    DisplayName, check_display_name
}
name! {
    /// Is the server's unique name at the provider: display name, hyphen, 12 base32 characters of its id.
    ProviderName, check_host_label
}
name! {
    /// Names a request of the caller that may be repeated: 1 to 255 visible ASCII characters.
    IdempotencyKey, check_visible
}
name! {
    /// Follows a request through operation, job, provider call and audit record: 1 to 255 visible ASCII characters.
    RequestId, check_visible
}
name! {
    /// Is the trace context of a request (W3C `traceparent`, version 00): the trace that it belongs to, and who asked.
    TraceParent, check_trace_parent
}
name! {
    /// Names a server in the provider's terms: 1 to 255 visible ASCII characters.
    ProviderServerId, check_visible
}
name! {
    /// Names an action (asynchronous work) in the provider's terms: 1 to 255 visible ASCII characters.
    ProviderActionId, check_visible
}

name! {
    /// Names the type of a job, such as `vip.converge`: 1 to 200 visible ASCII characters. An open set, of which a worker
    /// claims only what it knows.
    JobKind, check_job_name
}
name! {
    /// Names a job: 1 to 200 visible ASCII characters. A queue holds at most one per key, and kind and payload are
    /// functions of the key.
    JobKey, check_job_name
}

impl ProviderName {
    /// Derives the provider's name from the display name and the id; it is fixed at accept and never reused.
    #[must_use]
    pub fn derive(display: &DisplayName, server: &ServerId) -> Self {
        Self(format!("{display}-{}", server.suffix()))
    }
}

impl AccountId {
    /// Returns the account that is meant when a host names none: `default`.
    #[must_use]
    pub fn default_account() -> Self {
        Self("default".to_owned())
    }
}

/// Names a request by a UUID, which is always a valid name.
impl From<uuid::Uuid> for RequestId {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.to_string())
    }
}

impl TraceParent {
    /// Reads the header of a request: of version 00, or what a later version has in common with it. Nothing if it is not
    /// well formed: a trace is a hint, and no reason to refuse a request.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        let (known, more) = value.split_at_checked(limits::TRACE_PARENT_BYTES)?;
        let (version, rest) = known.split_at_checked(2)?;
        match version {
            "00" if more.is_empty() => Self::new(known).ok(),
            "00" | "ff" => None,
            _ if is_lower_hex(version) && (more.is_empty() || more.starts_with('-')) => {
                // Of a later version's flags, one alone means what it means here: sampled.
                let (ids, flags) = rest.split_at_checked(rest.len().checked_sub(2)?)?;
                let flags = u8::from_str_radix(flags, 16).ok().filter(|_| is_lower_hex(flags))? & 1;
                Self::new(format!("00{ids}{flags:02x}")).ok()
            }
            _ => None,
        }
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn check_trace_parent(text: &str) -> Result<(), NameError> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_well_formed = text.len() == limits::TRACE_PARENT_BYTES
        && matches!(parts.as_slice(), ["00", trace, parent, flags]
            if trace.len() == 32 && parent.len() == 16 && flags.len() == 2
                && [*trace, *parent, *flags].into_iter().all(is_lower_hex)
                && [*trace, *parent].into_iter().all(|id| id.bytes().any(|byte| byte != b'0')));
    if is_well_formed { Ok(()) } else { Err(NameError::new("must be a `traceparent` of version 00")) }
}

fn check_length(text: &str, most: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::new("must not be empty"));
    }
    if text.len() > most {
        return Err(NameError::new(format!("must have at most {most} bytes, has {}", text.len())));
    }
    Ok(())
}

fn check_ends(text: &str) -> Result<(), NameError> {
    let ends = [text.chars().next(), text.chars().last()];
    if ends.iter().flatten().all(char::is_ascii_alphanumeric) {
        Ok(())
    } else {
        Err(NameError::new("must begin and end with a letter or digit"))
    }
}

fn check_word(text: &str) -> Result<(), NameError> {
    check_length(text, limits::WORD_BYTES)?;
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) {
        return Err(NameError::new("may only contain letters, digits, '.', '_' and '-'"));
    }
    check_ends(text)
}

fn check_label_of(text: &str, most: usize) -> Result<(), NameError> {
    check_length(text, most)?;
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(NameError::new("may only contain lower-case letters, digits and '-'"));
    }
    check_ends(text)
}

fn check_display_name(text: &str) -> Result<(), NameError> {
    check_label_of(text, limits::DISPLAY_NAME_BYTES)
}

fn check_host_label(text: &str) -> Result<(), NameError> {
    check_label_of(text, limits::HOST_LABEL_BYTES)
}

fn check_visible(text: &str) -> Result<(), NameError> {
    check_visible_of(text, limits::VISIBLE_BYTES)
}

fn check_job_name(text: &str) -> Result<(), NameError> {
    check_visible_of(text, limits::JOB_NAME_BYTES)
}

fn check_visible_of(text: &str, most: usize) -> Result<(), NameError> {
    check_length(text, most)?;
    if text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(NameError::new("may only contain visible ASCII characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_accepted_at_its_longest_and_refused_one_longer() {
        let of = |length: usize| "a".repeat(length);
        assert!(TenantId::new(of(63)).is_ok() && TenantId::new(of(64)).is_err());
        assert!(AccountId::new(of(63)).is_ok() && AccountId::new(of(64)).is_err());
        assert!(DisplayName::new(of(50)).is_ok() && DisplayName::new(of(51)).is_err());
        assert!(ProviderName::new(of(63)).is_ok() && ProviderName::new(of(64)).is_err());
        assert!(JobKind::new(of(200)).is_ok() && JobKind::new(of(201)).is_err());
        assert!(JobKey::new(of(200)).is_ok() && JobKey::new(of(201)).is_err());
        assert!(IdempotencyKey::new(of(255)).is_ok() && IdempotencyKey::new(of(256)).is_err());
        assert!(TenantId::new("").is_err() && IdempotencyKey::new("").is_err());
    }

    #[test]
    fn odd_characters_are_refused() {
        for bad in ["-a", "a-", "a b", "ä", "a\n", "a/b", "a\0"] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
            assert!(DisplayName::new(bad).is_err(), "{bad:?}");
        }
        assert!(DisplayName::new("Web").is_err());
        assert!(IdempotencyKey::new("order 1").is_err() && IdempotencyKey::new("order-1/ä").is_err());
    }

    #[test]
    fn a_trace_context_is_taken_if_it_is_well_formed_and_else_it_is_none() {
        let (ids, good) = ("-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-", "4bf92f3577b34da6a3ce929d0e0e4736");
        let of = |value: String| TraceParent::from_header(&value).map(|it| it.as_str().to_owned());
        let usual = format!("00{ids}01");
        assert_eq!(of(usual.clone()), Some(usual.clone()));
        // A later version: what it has in common.
        for later in [format!("01{ids}01"), format!("cc{ids}03-what-comes-then"), format!("fe{ids}ff")] {
            assert_eq!(of(later.clone()), Some(usual.clone()), "{later}");
        }
        let wrong = [
            String::new(),
            format!("00{ids}0"),
            format!("00{ids}01-"),
            format!("00{ids}011"),
            format!("01{ids}011"),
            format!("ff{ids}01"),
            format!("0x{ids}01"),
            format!("00{ids}0G"),
            format!("01{ids}+1"),
            usual.to_uppercase(),
            usual.replace(good, &"0".repeat(32)),
            usual.replace("00f067aa0ba902b7", &"0".repeat(16)),
            usual.replace('-', "_"),
            usual.replace("4bf9", "4bf\u{e9}"),
        ];
        for value in wrong {
            assert_eq!(of(value.clone()), None, "{value}");
        }
    }

    #[test]
    fn a_stored_name_is_checked_when_it_is_read_back() {
        assert!(serde_json::from_str::<TenantId>("\"acme\"").is_ok());
        assert!(serde_json::from_str::<TenantId>("\"a b\"").is_err());
        assert!(serde_json::from_str::<TraceParent>("\"01-a-b-00\"").is_err());
    }

    #[test]
    fn the_longest_display_name_gives_a_valid_provider_name() {
        let display = DisplayName::new("d".repeat(50)).unwrap();
        let name = ProviderName::derive(&display, &ServerId::from_uuid(uuid::Uuid::from_u128(7)));
        assert_eq!(name.as_str().len(), 63);
        assert!(ProviderName::new(name.as_str()).is_ok());
    }
}
