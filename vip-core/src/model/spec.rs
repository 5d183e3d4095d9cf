//! What is ordered: `ServerSpec` as sent, `ValidSpec` as checked.

use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::labels::{Labels, check_labels};
use super::limits;
use super::names::{AccountId, DisplayName, NameError};
use super::server::Candidate;
use super::validation::{Checks, Invalid};

/// Says whether a new server is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Power {
    /// The server runs once it is created.
    #[default]
    On,
    /// The server is created and stays off.
    Off,
}

/// Holds cloud-init user data; it may contain secrets and is never shown.
#[derive(Clone)]
pub struct UserData(SecretString);

impl UserData {
    /// Wraps user data.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text, for the create request and the store alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UserData({} bytes)", self.expose().len())
    }
}

impl PartialEq for UserData {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for UserData {}

/// Writes the text: the store has to keep it until the server runs or has failed.
impl Serialize for UserData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for UserData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Describes a server to order, as the caller sends it; checked by [`ServerSpec::validate`].
///
/// Needs a name and at least one type, one image, one location and one SSH key. With an SSH key the provider makes
/// no root password, so there is none to keep or to lose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct ServerSpec {
    /// Display name: one lower-case host label of 1 to 50 characters; need not be unique.
    pub name: String,
    /// Acceptable server types, the preferred one first. All types are tried in the first location before any in the second: list none
    /// that you would not pay for while the first may be in stock elsewhere.
    pub server_types: Vec<String>,
    /// Image to install, by its name; by an id only if the host allows that one.
    pub image: String,
    /// Acceptable locations, the preferred one first.
    pub locations: Vec<String>,
    /// Names of SSH keys known to the provider; at least one.
    pub ssh_keys: Vec<String>,
    /// Labels to put on the server, beside our own.
    pub labels: Labels,
    /// Cloud-init user data, at most 32 KiB; erased from the store once the server runs or has failed.
    pub user_data: Option<UserData>,
    /// Whether the server is switched on.
    pub power: Power,
}

impl ServerSpec {
    /// Starts a description with the display name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds an acceptable server type; the first is preferred.
    pub fn server_type(mut self, server_type: impl Into<String>) -> Self {
        self.server_types.push(server_type.into());
        self
    }

    /// Sets the image.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// Adds an acceptable location; the first is preferred.
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.locations.push(location.into());
        self
    }

    /// Adds an SSH key by its name at the provider.
    pub fn ssh_key(mut self, ssh_key: impl Into<String>) -> Self {
        self.ssh_keys.push(ssh_key.into());
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets cloud-init user data.
    pub fn user_data(mut self, text: impl Into<String>) -> Self {
        self.user_data = Some(UserData::new(text));
        self
    }

    /// Sets whether the server is switched on.
    pub const fn power(mut self, power: Power) -> Self {
        self.power = power;
        self
    }

    /// Checks every field; an image that may be an id is refused.
    ///
    /// # Errors
    ///
    /// [`Invalid`] lists all fields that are wrong, each with its value and the rule.
    pub fn validate(&self) -> Result<ValidSpec, Invalid> {
        self.validate_allowing(&BTreeSet::new())
    }

    /// Checks every field; an image that may be an id has to be one of `image_ids`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] lists all fields that are wrong, each with its value and the rule.
    pub fn validate_allowing(&self, image_ids: &BTreeSet<String>) -> Result<ValidSpec, Invalid> {
        let mut checks = Checks::default();
        let name = checks.keep("name", &self.name, DisplayName::new(self.name.as_str()));
        check_list("server_types", &self.server_types, limits::CANDIDATES, &mut checks);
        checks.keep("image", &self.image, check_image(&self.image, image_ids));
        check_list("locations", &self.locations, limits::CANDIDATES, &mut checks);
        let candidates = self.server_types.len().saturating_mul(self.locations.len());
        if candidates > limits::CANDIDATES {
            let rule = format!("times locations must be at most {}", limits::CANDIDATES);
            checks.add("server_types", &candidates.to_string(), rule);
        }
        check_list("ssh_keys", &self.ssh_keys, limits::SSH_KEYS, &mut checks);
        check_labels(&self.labels, &mut checks);
        if let Some(user_data) = &self.user_data {
            check_user_data(user_data, &mut checks);
        }
        checks.finish()?;
        let Some(display_name) = name else {
            return Err(Invalid::one("name", &self.name, "must be a display name"));
        };
        Ok(ValidSpec {
            display_name,
            server_types: self.server_types.clone(),
            image: self.image.clone(),
            locations: self.locations.clone(),
            ssh_keys: self.ssh_keys.clone(),
            labels: self.labels.clone(),
            user_data: self.user_data.clone(),
            power: self.power,
        })
    }
}

fn check_list(field: &str, values: &[String], most: usize, checks: &mut Checks) {
    if values.is_empty() {
        checks.add(field, "", "must name at least one");
    }
    if values.len() > most {
        checks.add(field, &values.len().to_string(), format!("must name at most {most}"));
    }
    for (position, value) in values.iter().enumerate().take(most.saturating_add(1)) {
        let place = format!("{field}[{position}]");
        checks.keep(&place, value, check_catalog_name(value));
        if values.iter().take(position).any(|earlier| earlier == value) {
            checks.add(place, value, "must not be named twice");
        }
    }
}

/// Says whether a text may be the name of a type, an image, a location or an SSH key.
pub(crate) fn is_catalog_name(text: &str) -> bool {
    check_catalog_name(text).is_ok()
}

fn check_catalog_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > limits::CATALOG_NAME_BYTES {
        return Err(NameError::new(format!("must have 1 to {} bytes", limits::CATALOG_NAME_BYTES)));
    }
    if text.chars().any(|c| c.is_control() || c == '\u{202e}') || text.trim() != text {
        return Err(NameError::new("must not contain control characters or begin or end with white space"));
    }
    Ok(())
}

/// Checks that an image is a name, or an id that is allowed.
///
/// A snapshot or a backup has no name and is somebody's disk: whoever counts ids up would get another tenant's. Providers
/// read an id in more forms than its digits (`+7`, `007`, `7x`), so a name begins with a letter. The other names may well
/// be ids: types and locations are everybody's, and the id of an SSH key lets in its owner alone.
fn check_image(image: &str, allowed_ids: &BTreeSet<String>) -> Result<(), NameError> {
    check_catalog_name(image)?;
    if image.starts_with(|first: char| first.is_ascii_alphabetic()) || allowed_ids.contains(image) {
        return Ok(());
    }
    Err(NameError::new("must be a name, which begins with a letter, or an id that is allowed here"))
}

fn check_user_data(user_data: &UserData, checks: &mut Checks) {
    let bytes = user_data.expose().len();
    if bytes > limits::USER_DATA_BYTES {
        checks.add("user_data", "", format!("must have at most {} bytes, has {bytes}", limits::USER_DATA_BYTES));
    }
    if user_data.expose().contains('\0') {
        checks.add("user_data", "", "must not contain a NUL character");
    }
}

/// Describes a server to order, checked; made by [`ServerSpec::validate`] or read back from a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValidSpec {
    /// What the orderer calls the server.
    pub display_name: DisplayName,
    /// Acceptable server types, the preferred one first.
    pub server_types: Vec<String>,
    /// Image to install.
    pub image: String,
    /// Acceptable locations, the preferred one first.
    pub locations: Vec<String>,
    /// Names of SSH keys known to the provider.
    pub ssh_keys: Vec<String>,
    /// Labels of the orderer.
    pub labels: Labels,
    /// Cloud-init user data, until it is erased.
    pub user_data: Option<UserData>,
    /// Whether the server is switched on.
    pub power: Power,
}

impl ValidSpec {
    /// Lists what may be ordered, in the order in which it is tried: types change fastest, then locations, then accounts.
    #[must_use]
    pub fn candidates(&self, accounts: &[AccountId]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for account in accounts {
            for location in &self.locations {
                for server_type in &self.server_types {
                    candidates.push(Candidate {
                        server_type: server_type.clone(),
                        location: location.clone(),
                        account: account.clone(),
                    });
                }
            }
        }
        candidates.truncate(limits::CANDIDATES);
        candidates
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
