//! The product of this process: its database, its provider, and whether it works.

use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, Simulator};
use vip_adapters::hetzner::{HetznerClient, HetznerConfig};
use vip_adapters::{ConnectError, postgres, sqlite};
use vip_core::Provisioner;
use vip_core::ports::Backend;
use vip_core::telemetry;

use crate::Fallible;
use crate::arguments::Role;
use crate::configuration::{Cloud, Configuration, Database};

/// How long the simulated cloud takes for a server.
const CREATE_TIME: Duration = Duration::from_secs(2);

/// Is a product, and the folder of its database if that is temporary.
pub(crate) struct Product {
    pub(crate) provisioner: Provisioner,
    folder: Option<TempDir>,
}

impl Product {
    /// Opens the database and starts what the role says.
    pub(crate) async fn start(configuration: &Configuration) -> Fallible<Self> {
        let (mut backend, folder) = open(configuration).await?;
        if let Some(url) = &configuration.queue {
            backend = vip_adapters::connect_queue_at(backend, url.value.expose_secret()).await?;
        }
        let mut builder = Provisioner::builder(backend).provider(client(&configuration.cloud)?);
        if let Some(quota) = configuration.quota {
            builder = builder.quota(quota);
        }
        let provisioner = match configuration.role {
            Role::All | Role::Worker => builder.start().await?,
            Role::Api => builder.client_only().await?,
        };
        Ok(Self { provisioner, folder })
    }

    /// Removes a temporary database, after everything has ended.
    pub(crate) fn forget(self) -> Fallible {
        if let Some(folder) = self.folder {
            folder.close()?;
        }
        Ok(())
    }
}

async fn open(configuration: &Configuration) -> Fallible<(Backend, Option<TempDir>)> {
    match (&configuration.database, &configuration.cloud) {
        (Database::Temporary, _) => {
            let folder = tempfile::Builder::new().prefix("vip-reference-server-").tempdir()?;
            let url = format!("sqlite://{}", folder.path().join("vip.db").display());
            Ok((vip_adapters::connect(&url).await?, Some(folder)))
        }
        (Database::Url(url), Cloud::Simulator) => Ok((vip_adapters::connect(url.value.expose_secret()).await?, None)),
        (Database::Url(url), Cloud::Hetzner { .. }) => Ok((existing(url.value.expose_secret()).await?, None)),
    }
}

/// Opens a database that has to be there: an empty one knows none of the servers, and a repeat of an order would buy a second one.
pub(crate) async fn existing(url: &str) -> Fallible<Backend> {
    match vip_adapters::connect_existing(url).await {
        Ok(backend) => Ok(backend),
        Err(error) if is_missing(&error) => {
            let causes = telemetry::causes(&error);
            Err(format!("{causes}: run `reference-server migrate` once to make one").into())
        }
        Err(error) => Err(error.into()),
    }
}

fn is_missing(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Sqlite(sqlite::OpenError::Missing { .. }) | ConnectError::Postgres(postgres::OpenError::Missing)
    )
}

fn client(cloud: &Cloud) -> Fallible<HetznerClient> {
    match cloud {
        Cloud::Simulator => {
            let simulator = Simulator::builder().create_time(CREATE_TIME).build();
            Ok(HetznerClient::in_process(&simulator, DEFAULT_TOKEN)?)
        }
        Cloud::Hetzner { token, endpoint } => {
            let mut config = HetznerConfig::new(token.value.expose_secret());
            if let Some(endpoint) = endpoint {
                config.base_url.clone_from(endpoint);
            }
            // The setting's own name says nothing to who has set a variable.
            let name = if endpoint.is_some() { "HCLOUD_ENDPOINT" } else { "the provider's client" };
            let client = HetznerClient::new(config);
            Ok(client.map_err(|error| format!("{name}: {}", telemetry::causes(&error)))?)
        }
    }
}
