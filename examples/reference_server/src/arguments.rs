//! What can be said on the command line and in the environment; secrets in the environment or in files alone.

use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vip_core::model::TenantId;
use vip_http::{RateLimit, Scope};

const MINUTE: Duration = Duration::from_secs(60);

const SECRETS: &str = "Secrets stand in the environment, or in a file that NAME_FILE names:
  VIP_DATABASE_URL   where orders are kept, such as sqlite://vip.db; a temporary database if nothing is said;
                     with --provider hetzner it has to be there (see migrate)
  VIP_REDIS_URL      a Redis server for the queue; the same in every process on one database
  VIP_CURSOR_KEY     64 hexadecimal digits that all processes behind one address share
  HCLOUD_TOKEN       token of the provider, with --provider hetzner
No secrets, and in the environment alone:
  HCLOUD_ENDPOINT    another address of the provider's API
  VIP_LOG            what is logged, such as info or vip_core=debug";

/// Hosts VIP over HTTP. A flag counts more than the environment, and that more than the default.
#[derive(Debug, Parser)]
#[command(version, after_help = SECRETS)]
pub(crate) struct Arguments {
    /// What this process does.
    #[arg(long, env = "VIP_ROLE", value_enum, default_value_t = Role::All)]
    pub(crate) role: Role,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "VIP_LISTEN", default_value = "127.0.0.1:8700", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Who owns the real servers.
    #[arg(long, env = "VIP_PROVIDER", value_enum, default_value_t = Provider::Simulator)]
    pub(crate) provider: Provider,
    /// File with the API keys that are known (see `new-key`); needed unless it listens on loopback.
    #[arg(long, env = "VIP_API_KEYS_FILE")]
    pub(crate) api_keys_file: Option<PathBuf>,
    /// Most servers of each tenant; as many as the account lets through if nothing is said.
    #[arg(long, env = "VIP_QUOTA")]
    pub(crate) quota: Option<u32>,
    /// Ids of images that every tenant may order, with commas between them; else images are ordered by their names alone.
    #[arg(long, env = "VIP_IMAGE_IDS", value_delimiter = ',')]
    pub(crate) image_ids: Vec<String>,
    /// Most connections of one address; raise it behind a proxy.
    #[arg(long, env = "VIP_CONNECTIONS_PER_ADDRESS", default_value_t = 256, value_parser = at_least_one)]
    pub(crate) connections_per_address: usize,
    /// Most requests a minute of each tenant, at this process; as many as come if nothing is said.
    #[arg(long, env = "VIP_TENANT_REQUESTS_PER_MINUTE", value_parser = per_minute)]
    pub(crate) tenant_requests_per_minute: Option<RateLimit>,
    /// Most requests a minute of each caller, at this process; as many as come if nothing is said.
    #[arg(long, env = "VIP_CALLER_REQUESTS_PER_MINUTE", value_parser = per_minute)]
    pub(crate) caller_requests_per_minute: Option<RateLimit>,
    /// Seconds between being told to end, when `/readyz` says no, and taking no connection any more.
    #[arg(long = "grace-seconds", env = "VIP_GRACE_SECONDS", default_value = "0", value_parser = seconds)]
    pub(crate) grace: Duration,
    /// Seconds in which requests and attempts may finish afterwards.
    #[arg(long = "drain-seconds", env = "VIP_DRAIN_SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) drain: Duration,
    /// Something else than to serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Serves the API and works.
    All,
    /// Serves the API alone.
    Api,
    /// Works alone; serves probes, and with a file of keys health and metrics.
    Worker,
}

/// Who owns the real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// A simulated cloud in this process: no account, no cost, forgotten at the end.
    Simulator,
    /// Hetzner Cloud: servers cost money.
    Hetzner,
}

/// Something else than to serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints the resolved configuration without its secrets; asks nobody, and fails if something in it cannot be read.
    Check,
    /// Prints the description of the API (OpenAPI 3.1).
    Describe,
    /// Makes the schema of the database, or brings it up to this version, as a role that owns it.
    Migrate,
    /// After a backup was put back and before anything else runs: parks every order that was open.
    MarkRestored {
        /// Who does it, for the audit.
        #[arg(long)]
        operator: String,
    },
    /// Makes an API key, and the entry for the file of keys.
    NewKey(NewKey),
}

/// Describes a key to make.
#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// Names the key: 1 to 32 of a-z and 0-9.
    #[arg(long)]
    pub(crate) id: String,
    /// The tenant that it speaks for; none for an operator.
    #[arg(long, value_parser = tenant)]
    pub(crate) tenant: Option<TenantId>,
    /// What it may do: tenant:read, tenant:write, operator; may be repeated.
    #[arg(long = "scope", required = true, value_parser = scope)]
    pub(crate) scopes: Vec<Scope>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    // Names are not looked up: one name may have several addresses, and which one is meant decides who can come.
    let about = |error: AddrParseError| {
        format!("{error}: it has to be an IP address and a port, such as 127.0.0.1:8700 or [::1]:8700")
    };
    text.parse().map_err(about)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse().map_err(|error| format!("{error}"))? {
        0 => Err("must be at least 1".to_owned()),
        most => Ok(most),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn per_minute(text: &str) -> Result<RateLimit, String> {
    let requests = text.parse().map_err(|error| format!("{error}"))?;
    RateLimit::new(requests, MINUTE).map_err(|error| error.to_string())
}

fn tenant(text: &str) -> Result<TenantId, String> {
    TenantId::new(text).map_err(|error| error.to_string())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text).ok_or_else(|| "must be tenant:read, tenant:write or operator".to_owned())
}
