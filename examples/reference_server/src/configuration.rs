//! The resolved configuration: everything is checked before anything is started.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use vip_adapters::REDIS_URL_VARIABLE;
use vip_http::{RateLimit, RateLimits};

use crate::arguments::{Arguments, Provider, Role};
use crate::secrets::{Secret, SecretError, secret};

/// Longest scheme that is shown; those that are registered are shorter.
const SCHEME_BYTES: usize = 32;

/// Says what is wrong with the configuration, and what would be right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("--role {role} needs VIP_DATABASE_URL: a temporary database is of no use to two processes")]
    NoSharedDatabase { role: &'static str },
    #[error("--provider hetzner needs HCLOUD_TOKEN or HCLOUD_TOKEN_FILE")]
    NoToken,
    #[error("--provider hetzner needs VIP_DATABASE_URL: servers that cost money outlive a temporary database")]
    NoLastingDatabase,
    #[error(
        "--role {role} needs --provider hetzner: a simulated cloud is one process's own; HCLOUD_ENDPOINT may name the example hetzner_simulator"
    )]
    NoSharedCloud { role: &'static str },
    #[error("{listen} can be reached from other machines: name a file of keys with --api-keys-file")]
    NoKeys { listen: SocketAddr },
    #[error("VIP_CURSOR_KEY must have 64 hexadecimal digits")]
    CursorKey,
}

/// Where orders are kept.
#[derive(Debug)]
pub(crate) enum Database {
    /// A file in a temporary folder, forgotten at the end as the simulated cloud is.
    Temporary,
    /// What the URL names.
    Url(Secret),
}

/// Who owns the servers.
pub(crate) enum Cloud {
    Simulator,
    Hetzner { token: Secret, endpoint: Option<String> },
}

impl Cloud {
    /// Says whether its servers are real; an address may hold a password.
    pub(crate) const fn as_words(&self) -> &'static str {
        match self {
            Self::Simulator => "a simulated cloud: no server is real",
            Self::Hetzner { endpoint: None, .. } => "Hetzner Cloud: servers cost money",
            Self::Hetzner { endpoint: Some(_), .. } => "the cloud of HCLOUD_ENDPOINT: servers may cost money",
        }
    }
}

/// Says which one; an address may hold a password.
impl fmt::Debug for Cloud {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Simulator => "Simulator",
            Self::Hetzner { .. } => "Hetzner",
        })
    }
}

/// Who may call.
#[derive(Debug)]
pub(crate) enum Callers {
    /// Whoever has a key that is made and shown at the start.
    MadeAtStart,
    /// Whoever has a key of the file.
    File(PathBuf),
    /// Nobody: a worker that answers probes.
    Nobody,
}

/// Is the secret of cursors; nothing shows it.
#[derive(Clone, Copy)]
pub(crate) struct CursorKey(pub(crate) [u8; 32]);

impl fmt::Debug for CursorKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CursorKey")
    }
}

/// Is everything that was said, checked.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) role: Role,
    pub(crate) listen: SocketAddr,
    pub(crate) database: Database,
    /// The Redis server of the queue; without one the queue is in the database.
    pub(crate) queue: Option<Secret>,
    pub(crate) cloud: Cloud,
    /// The variable of a token that the simulated cloud does not use.
    pub(crate) unused_token: Option<&'static str>,
    pub(crate) callers: Callers,
    pub(crate) cursor_key: Option<CursorKey>,
    pub(crate) quota: Option<u32>,
    /// Ids of images that every tenant may order.
    pub(crate) image_ids: Vec<String>,
    pub(crate) connections_per_address: usize,
    pub(crate) rates: RateLimits,
    pub(crate) grace: Duration,
    pub(crate) drain: Duration,
}

impl Configuration {
    /// Resolves flags and environment.
    pub(crate) fn resolve(
        arguments: &Arguments,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigurationError> {
        let database = match secret("VIP_DATABASE_URL", environment)? {
            Some(url) => Database::Url(url),
            None if arguments.role == Role::All => Database::Temporary,
            None => return Err(ConfigurationError::NoSharedDatabase { role: arguments.role.as_str() }),
        };
        let queue = secret(REDIS_URL_VARIABLE, environment)?;
        let cloud = match arguments.provider {
            // A token that lies around spends no money: the provider has to be named.
            Provider::Simulator => Cloud::Simulator,
            Provider::Hetzner => Cloud::Hetzner {
                token: secret("HCLOUD_TOKEN", environment)?.ok_or(ConfigurationError::NoToken)?,
                endpoint: environment("HCLOUD_ENDPOINT"),
            },
        };
        match (&cloud, &database, arguments.role) {
            (Cloud::Hetzner { .. }, Database::Temporary, _) => return Err(ConfigurationError::NoLastingDatabase),
            (Cloud::Simulator, _, role @ (Role::Api | Role::Worker)) => {
                return Err(ConfigurationError::NoSharedCloud { role: role.as_str() });
            }
            (Cloud::Hetzner { .. } | Cloud::Simulator, ..) => {}
        }
        let is_set = |variable: &&'static str| environment(variable).is_some();
        let unused_token = match &cloud {
            Cloud::Simulator => ["HCLOUD_TOKEN", "HCLOUD_TOKEN_FILE"].into_iter().find(is_set),
            Cloud::Hetzner { .. } => None,
        };
        let callers = match (&arguments.api_keys_file, arguments.role) {
            (Some(file), _) => Callers::File(file.clone()),
            (None, Role::Worker) => Callers::Nobody,
            (None, _) if arguments.listen.ip().is_loopback() => Callers::MadeAtStart,
            (None, _) => return Err(ConfigurationError::NoKeys { listen: arguments.listen }),
        };
        let cursor_key = match secret("VIP_CURSOR_KEY", environment)? {
            Some(key) => Some(CursorKey(key_of(&key.value).ok_or(ConfigurationError::CursorKey)?)),
            None => None,
        };
        let mut rates = RateLimits::default();
        rates.tenant = arguments.tenant_requests_per_minute;
        rates.caller = arguments.caller_requests_per_minute;
        Ok(Self {
            role: arguments.role,
            listen: arguments.listen,
            database,
            queue,
            cloud,
            unused_token,
            callers,
            cursor_key,
            quota: arguments.quota,
            image_ids: arguments.image_ids.clone(),
            connections_per_address: arguments.connections_per_address,
            rates,
            grace: arguments.grace,
            drain: arguments.drain,
        })
    }
}

fn key_of(text: &SecretString) -> Option<[u8; 32]> {
    let text = text.expose_secret();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (place, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

/// Finds the scheme of a URL; what another form of address has before its first `://` is none, and may be a password.
fn scheme_of(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let is_scheme = scheme.len() <= SCHEME_BYTES
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '.' | '-'));
    is_scheme.then_some(scheme)
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }
}

/// Shows one setting a line, and of a secret only where it came from.
impl fmt::Display for Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "role                     {}", self.role.as_str())?;
        writeln!(formatter, "listen                   {}", self.listen)?;
        match &self.database {
            Database::Temporary => writeln!(formatter, "database                 sqlite, in a temporary folder")?,
            Database::Url(url) => {
                // Anything else may be a secret as a whole.
                let scheme = scheme_of(url.value.expose_secret()).unwrap_or("not a URL");
                writeln!(formatter, "database                 {scheme}, from {}", url.source)?;
            }
        }
        match &self.queue {
            Some(url) => writeln!(formatter, "queue                    redis, from {}", url.source)?,
            None => writeln!(formatter, "queue                    in the database")?,
        }
        match &self.cloud {
            Cloud::Simulator => {
                writeln!(formatter, "provider                 simulator, in this process, forgotten at its end")?
            }
            Cloud::Hetzner { token, endpoint } => {
                // Without what may stand before an `@`: people put passwords there.
                let endpoint = endpoint.as_deref().unwrap_or("the usual address");
                let endpoint = endpoint.rsplit('@').next().unwrap_or("");
                writeln!(formatter, "provider                 hetzner at {endpoint}, token from {}", token.source)?;
            }
        }
        match &self.callers {
            Callers::MadeAtStart => writeln!(formatter, "API keys                 made and shown at the start")?,
            Callers::File(file) => writeln!(formatter, "API keys                 from {}", file.display())?,
            Callers::Nobody => writeln!(formatter, "API keys                 none: only probes are answered")?,
        }
        let cursor_key = if self.cursor_key.is_some() { "set" } else { "made at the start" };
        writeln!(formatter, "cursor key               {cursor_key}")?;
        match self.quota {
            Some(quota) => writeln!(formatter, "quota                    {quota} servers a tenant")?,
            None => writeln!(formatter, "quota                    none")?,
        }
        let image_ids = if self.image_ids.is_empty() { "none".to_owned() } else { self.image_ids.join(", ") };
        writeln!(formatter, "image ids                {image_ids}")?;
        writeln!(formatter, "connections per address  {}", self.connections_per_address)?;
        let shown = |limit: Option<RateLimit>| limit.map_or("as they come".to_owned(), |limit| limit.to_string());
        writeln!(formatter, "requests of a tenant     {}", shown(self.rates.tenant))?;
        writeln!(formatter, "requests of a caller     {}", shown(self.rates.caller))?;
        writeln!(formatter, "grace                    {:?}", self.grace)?;
        writeln!(formatter, "drain                    {:?}", self.drain)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Flags, variables, and what the refusal says.
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

    fn resolve(flags: &[&str], variables: &[(&str, &str)]) -> Result<Configuration, ConfigurationError> {
        let arguments = Arguments::try_parse_from(["reference-server"].iter().chain(flags)).unwrap();
        Configuration::resolve(&arguments, &|name| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_anything_it_is_a_temporary_database_and_a_simulated_cloud_on_loopback() {
        let configuration = resolve(&[], &[("HCLOUD_TOKEN", "a-token-that-lies-around")]).unwrap();
        assert!(matches!(configuration.database, Database::Temporary));
        assert!(matches!(configuration.cloud, Cloud::Simulator));
        assert!(matches!(configuration.callers, Callers::MadeAtStart) && configuration.listen.ip().is_loopback());
    }

    #[test]
    fn whether_servers_are_real_is_said() {
        let (database, token) = (("VIP_DATABASE_URL", "sqlite://vip.db"), ("HCLOUD_TOKEN", "t"));
        let elsewhere = ("HCLOUD_ENDPOINT", "https://user:c4n4ry@cloud.example/v1");
        let cases: [Case<'_>; 3] = [
            (&[], &[database, token, elsewhere], "a simulated cloud: no server is real"),
            (&["--provider", "hetzner"], &[database, token], "Hetzner Cloud: servers cost money"),
            (
                &["--provider", "hetzner"],
                &[database, token, elsewhere],
                "the cloud of HCLOUD_ENDPOINT: servers may cost money",
            ),
        ];
        for (flags, variables, says) in cases {
            assert_eq!(resolve(flags, variables).unwrap().cloud.as_words(), says, "{variables:?}");
        }
    }

    #[test]
    fn a_token_that_the_simulated_cloud_does_not_use_is_named() {
        let unused = |flags: &[&str], variables: &[(&str, &str)]| resolve(flags, variables).unwrap().unused_token;
        assert_eq!(unused(&[], &[("HCLOUD_TOKEN", "t")]), Some("HCLOUD_TOKEN"));
        assert_eq!(unused(&[], &[("HCLOUD_TOKEN_FILE", "hcloud.token")]), Some("HCLOUD_TOKEN_FILE"));
        assert_eq!(unused(&[], &[("HCLOUD_ENDPOINT", "https://cloud.example/v1")]), None);
        let used = [("VIP_DATABASE_URL", "sqlite://vip.db"), ("HCLOUD_TOKEN", "t")];
        assert_eq!(unused(&["--provider", "hetzner"], &used), None);
    }

    #[test]
    fn no_image_is_ordered_by_an_id_unless_it_is_named() {
        assert!(resolve(&[], &[]).unwrap().image_ids.is_empty());
        let shown = resolve(&["--image-ids", "161547269,161547270"], &[]).unwrap();
        assert_eq!(shown.image_ids, ["161547269", "161547270"]);
        assert!(shown.to_string().contains("161547269, 161547270"), "{shown}");
    }

    #[test]
    fn what_would_not_work_is_refused_with_what_would() {
        let cases: [Case<'_>; 8] = [
            (&["--role", "api"], &[], "VIP_DATABASE_URL"),
            (&["--role", "worker"], &[], "VIP_DATABASE_URL"),
            (&["--provider", "hetzner"], &[], "HCLOUD_TOKEN"),
            (&["--provider", "hetzner"], &[("HCLOUD_TOKEN", "t")], "needs VIP_DATABASE_URL"),
            (&["--role", "worker"], &[("VIP_DATABASE_URL", "sqlite://vip.db")], "needs --provider hetzner"),
            (&["--listen", "0.0.0.0:80"], &[], "--api-keys-file"),
            (&[], &[("VIP_CURSOR_KEY", "abc")], "64 hexadecimal digits"),
            (&[], &[("VIP_DATABASE_URL", "a"), ("VIP_DATABASE_URL_FILE", "b")], "set one"),
        ];
        for (flags, variables, expected) in cases {
            let error = resolve(flags, variables).unwrap_err().to_string();
            assert!(error.contains(expected), "{flags:?}: {error}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let key = "5ec2e7".repeat(10) + "5ec2";
        let variables = [
            ("VIP_DATABASE_URL", "postgres://user:c4n4ry@host/db"),
            ("VIP_REDIS_URL", "redis://:c4n4ry@host"),
            ("HCLOUD_TOKEN", "c4n4ry-token"),
            ("VIP_CURSOR_KEY", key.as_str()),
        ];
        let shown = resolve(&["--provider", "hetzner"], &variables).unwrap();
        let bytes = format!("{:?}", shown.cursor_key.unwrap().0);
        for text in [shown.to_string(), format!("{shown:?}")] {
            assert!(!text.contains("c4n4ry") && !text.contains("5ec2e7") && !text.contains(&bytes), "{text}");
        }
        assert!(shown.to_string().contains("postgres, from VIP_DATABASE_URL"), "{shown}");
        assert!(shown.to_string().contains("redis, from VIP_REDIS_URL"), "{shown}");
    }

    #[test]
    fn of_a_secret_that_is_no_url_and_of_an_address_with_a_password_nothing_is_shown() {
        let long = "c4n4ry".repeat(6) + "://db";
        let files = "host=db password=c4n4ry sslrootcert=file:///ca.pem";
        for database in ["host=db password=c4n4ry", files, "c4n4ry!://db", long.as_str()] {
            let variables = [
                ("VIP_DATABASE_URL", database),
                ("HCLOUD_TOKEN", "t"),
                ("HCLOUD_ENDPOINT", "https://user:c4n4ry@cloud.example/v1"),
            ];
            let shown = resolve(&["--provider", "hetzner"], &variables).unwrap().to_string();
            assert!(!shown.contains("c4n4ry") && shown.contains("cloud.example"), "{shown}");
            assert!(shown.contains("not a URL, from VIP_DATABASE_URL"), "{shown}");
        }
    }
}
