//! Settings of the Hetzner client: a token, where the API is, and how it is reached.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::error::HetznerConfigError;

/// Where the API is, unless told otherwise.
pub const DEFAULT_BASE_URL: &str = "https://api.hetzner.cloud/v1";
/// Environment variable with the token.
pub const TOKEN_VARIABLE: &str = "HCLOUD_TOKEN";
/// Environment variable with another base URL.
pub const ENDPOINT_VARIABLE: &str = "HCLOUD_ENDPOINT";

/// Longest token, in bytes; one of today has 64.
pub const TOKEN_BYTES: usize = 512;
/// Longest base URL, in bytes.
pub const BASE_URL_BYTES: usize = 2048;
/// Longest user agent, in bytes.
pub const USER_AGENT_BYTES: usize = 200;
/// Longest time to connect.
pub const CONNECT_TIMEOUT_MOST: Duration = Duration::from_secs(60);

/// Holds the settings of a [`HetznerClient`](super::HetznerClient), which checks them when it is made.
///
/// Neither the token nor the proxy is ever shown.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HetznerConfig {
    /// API token of one project, read-write. 1 to 512 visible ASCII characters; no default.
    #[serde(deserialize_with = "secret")]
    pub token: SecretString,
    /// Base URL of the API, version included. Default [`DEFAULT_BASE_URL`]; at most 2048 bytes; `https`, or `http` to
    /// a loopback host; without user, query and fragment. Anything else is refused.
    #[serde(default = "default_base_url")]
    pub base_url: String,
    /// `User-Agent` of each request. Default `vip/` and our version; 1 to 200 printable ASCII characters.
    #[serde(default = "default_user_agent")]
    pub user_agent: String,
    /// Most time for name look-up, connection and TLS. Default 5 s; above 0, at most 60 s. When it has passed, the
    /// request was not sent. The deadline of a request ends a call all the same.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Duration,
    /// URL of a proxy (`http` or `https`), with its password if it needs one. Default none: proxies of the
    /// environment are not used.
    #[serde(default, deserialize_with = "optional_secret")]
    pub proxy: Option<SecretString>,
}

impl HetznerConfig {
    /// Takes a token, and the defaults for everything else.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: SecretString::from(token.into()),
            base_url: default_base_url(),
            user_agent: default_user_agent(),
            connect_timeout: default_connect_timeout(),
            proxy: None,
        }
    }

    /// Reads `HCLOUD_TOKEN` and, if it is set, `HCLOUD_ENDPOINT`.
    ///
    /// # Errors
    ///
    /// [`HetznerConfigError::MissingVariable`] if there is no token.
    pub fn from_env() -> Result<Self, HetznerConfigError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(read: impl Fn(&str) -> Option<String>) -> Result<Self, HetznerConfigError> {
        let read = |name| read(name).filter(|value| !value.trim().is_empty());
        let token = read(TOKEN_VARIABLE).ok_or(HetznerConfigError::MissingVariable { name: TOKEN_VARIABLE })?;
        // A trailing line break is what `$(cat file)` in a unit file leaves.
        let mut config = Self::new(token.trim());
        if let Some(endpoint) = read(ENDPOINT_VARIABLE) {
            endpoint.trim().clone_into(&mut config.base_url);
        }
        Ok(config)
    }

    /// Checks every field and says how the API is reached.
    pub(super) fn check(&self) -> Result<Reach, HetznerConfigError> {
        let token = self.token.expose_secret();
        if token.is_empty() || token.len() > TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("token", format!("must have 1 to {TOKEN_BYTES} visible ASCII characters")));
        }
        let agent = &self.user_agent;
        let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if agent.trim().is_empty() || agent.len() > USER_AGENT_BYTES || !agent.bytes().all(is_printable) {
            return Err(invalid("user_agent", format!("must have 1 to {USER_AGENT_BYTES} printable ASCII characters")));
        }
        if self.connect_timeout.is_zero() || self.connect_timeout > CONNECT_TIMEOUT_MOST {
            let most = CONNECT_TIMEOUT_MOST.as_secs();
            return Err(invalid("connect_timeout", format!("must be above 0 and at most {most} s")));
        }
        self.check_proxy()?;
        self.check_base_url()
    }

    fn check_proxy(&self) -> Result<(), HetznerConfigError> {
        let Some(proxy) = &self.proxy else { return Ok(()) };
        let url = Url::parse(proxy.expose_secret());
        match url.map_err(|error| invalid("proxy", format!("must be a URL: {error}")))?.scheme() {
            "http" | "https" => Ok(()),
            _ => Err(invalid("proxy", "must begin with http:// or https://")),
        }
    }

    fn check_base_url(&self) -> Result<Reach, HetznerConfigError> {
        if self.base_url.len() > BASE_URL_BYTES {
            return Err(invalid("base_url", format!("must have at most {BASE_URL_BYTES} bytes")));
        }
        let url = Url::parse(&self.base_url).map_err(|error| invalid("base_url", format!("must be a URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("base_url", "must have no user, no query and no fragment"));
        }
        match url.scheme() {
            "https" => Ok(Reach::Internet),
            "http" if is_loopback(&url) => Ok(Reach::Loopback),
            _ => Err(invalid("base_url", "must begin with https://, or with http:// and a loopback host")),
        }
    }

    /// Returns host and path of an API that is not at the usual address; of this machine without the port, which is another one
    /// each time that a simulator starts.
    pub(super) fn elsewhere(&self) -> Option<String> {
        if self.base() == DEFAULT_BASE_URL {
            return None;
        }
        let url = Url::parse(self.base()).ok()?;
        let port = if is_loopback(&url) { None } else { url.port_or_known_default() };
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Some(format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path()))
    }

    /// Returns the base URL without the slashes at its end.
    pub(super) fn base(&self) -> &str {
        self.base_url.trim_end_matches('/')
    }
}

fn invalid(field: &'static str, rule: impl Into<String>) -> HetznerConfigError {
    HetznerConfigError::Invalid { field, rule: rule.into() }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Says how the API is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Over plain HTTP on this machine: a simulator.
    Loopback,
    /// Over TLS.
    Internet,
}

impl fmt::Debug for HetznerConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HetznerConfig")
            .field("base_url", &Url::parse(&self.base_url).ok().and_then(|url| url.host_str().map(str::to_owned)))
            .field("user_agent", &self.user_agent)
            .field("connect_timeout", &self.connect_timeout)
            .field("has_proxy", &self.proxy.is_some())
            .finish_non_exhaustive()
    }
}

fn default_base_url() -> String {
    DEFAULT_BASE_URL.to_owned()
}

fn default_user_agent() -> String {
    concat!("vip/", env!("CARGO_PKG_VERSION")).to_owned()
}

const fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut HetznerConfig)) -> Result<Reach, HetznerConfigError> {
        let mut config = HetznerConfig::new("t");
        change(&mut config);
        config.check()
    }

    #[test]
    fn each_field_is_accepted_at_its_bound_and_refused_beyond() {
        let token = |bytes| with(|it| it.token = SecretString::from("t".repeat(bytes)));
        assert!(token(1).is_ok() && token(TOKEN_BYTES).is_ok());
        assert!(token(0).is_err() && token(TOKEN_BYTES + 1).is_err());
        let agent = |bytes| with(|it| it.user_agent = "a".repeat(bytes));
        assert!(agent(1).is_ok() && agent(USER_AGENT_BYTES).is_ok());
        assert!(agent(0).is_err() && agent(USER_AGENT_BYTES + 1).is_err());
        let base = |bytes| with(|it| it.base_url = format!("https://a/{}", "b".repeat(bytes - 10)));
        assert!(base(BASE_URL_BYTES).is_ok() && base(BASE_URL_BYTES + 1).is_err());
        let time = |time| with(|it| it.connect_timeout = time);
        assert!(time(Duration::from_millis(1)).is_ok() && time(CONNECT_TIMEOUT_MOST).is_ok());
        assert!(time(Duration::ZERO).is_err() && time(CONNECT_TIMEOUT_MOST + Duration::from_millis(1)).is_err());
    }

    #[test]
    fn a_proxy_is_reached_over_http() {
        let proxy = |url: &str| with(|it| it.proxy = Some(SecretString::from(url)));
        assert!(proxy("http://user:password@10.0.0.1:3128").is_ok() && proxy("https://proxy.example").is_ok());
        assert!(proxy("socks5://10.0.0.1").is_err() && proxy("10.0.0.1:3128").is_err() && proxy("").is_err());
    }

    #[test]
    fn characters_that_would_break_a_header_are_refused() {
        for text in ["a\nb", "a\0", "ä"] {
            assert!(with(|it| it.token = SecretString::from(text)).is_err(), "{text:?}");
            assert!(with(|it| it.user_agent = text.to_owned()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn plain_http_goes_to_loopback_only() {
        for url in ["http://127.0.0.1:1", "http://127.9.9.9/v1", "http://[::1]:1/v1", "http://localhost:8080/"] {
            assert_eq!(with(|it| it.base_url = url.to_owned()).unwrap(), Reach::Loopback, "{url}");
        }
        assert_eq!(with(|it| it.base_url = "https://127.0.0.1".to_owned()).unwrap(), Reach::Internet);
        for url in [
            "http://api.hetzner.cloud/v1",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "https://user@a",
            "https://:secret@a",
            "https://a/?b",
            "https://a/#b",
            "not a url",
        ] {
            assert!(with(|it| it.base_url = url.to_owned()).is_err(), "{url}");
        }
    }

    #[test]
    fn an_api_elsewhere_or_under_another_path_is_told_apart_and_a_simulators_port_is_not() {
        let at = |url: &str| {
            let mut config = HetznerConfig::new("t");
            config.base_url = url.to_owned();
            config.elsewhere()
        };
        assert_eq!((at(DEFAULT_BASE_URL), at("https://api.hetzner.cloud/v1/")), (None, None));
        assert_eq!(at("https://api.hetzner.cloud").as_deref(), Some("api.hetzner.cloud:443/"));
        assert_eq!(at("https://api.hetzner.cloud/v2").as_deref(), Some("api.hetzner.cloud:443/v2"));
        assert_eq!(at("http://127.0.0.1:4711/v1"), at("http://127.0.0.1:4712/v1"));
        assert_ne!(at("https://mirror.example:8443/v1"), at("https://mirror.example/v1"));
    }

    #[test]
    fn the_environment_gives_token_and_endpoint() {
        let config = HetznerConfig::from_variables(|name| Some(format!(" {name} \n"))).unwrap();
        assert_eq!(config.token.expose_secret(), TOKEN_VARIABLE);
        assert_eq!(config.base_url, ENDPOINT_VARIABLE);
        let config = HetznerConfig::from_variables(|name| (name == TOKEN_VARIABLE).then(|| "t".to_owned())).unwrap();
        assert_eq!(config.base_url, DEFAULT_BASE_URL);
        for empty in [None, Some(" ".to_owned())] {
            let error = HetznerConfig::from_variables(|_| empty.clone()).unwrap_err();
            assert_eq!(error.to_string(), "HCLOUD_TOKEN is not set");
        }
    }

    #[test]
    fn a_file_needs_the_token_alone_and_knows_its_fields() {
        let config: HetznerConfig = serde_json::from_str(r#"{"token":"t"}"#).unwrap();
        assert_eq!((config.base(), config.connect_timeout), (DEFAULT_BASE_URL, Duration::from_secs(5)));
        assert!(serde_json::from_str::<HetznerConfig>("{}").is_err());
        assert!(serde_json::from_str::<HetznerConfig>(r#"{"token":"t","tokn":1}"#).is_err());
    }
}
