//! The product of this process: its database, its provider, and whether it works.

use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use vip_adapters::hetzner::simulator::{DEFAULT_TOKEN, Simulator};
use vip_adapters::hetzner::{HetznerClient, HetznerConfig};
use vip_adapters::{ConnectError, postgres, redis, sqlite};
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
            backend = with_queue(backend, url.value.expose_secret(), configuration.role).await?;
        }
        let builder = Provisioner::builder(backend).provider(client(&configuration.cloud)?);
        let mut builder = builder.image_ids(&configuration.image_ids);
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

/// Says whether what names database, queue and provider can be read; asks none of them.
pub(crate) fn check(configuration: &Configuration) -> Fallible {
    if let Database::Url(url) = &configuration.database {
        vip_adapters::check_url(url.value.expose_secret())?;
    }
    if let Some(url) = &configuration.queue {
        vip_adapters::check_queue_url(url.value.expose_secret())?;
    }
    client(&configuration.cloud).map(drop)
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

/// Puts the queue on a Redis server. While that is away, who only accepts goes on without it: a commit writes the job into the
/// store in any case, from where whoever works relays it.
async fn with_queue(backend: Backend, url: &str, role: Role) -> Fallible<Backend> {
    let alone = backend.clone();
    match (vip_adapters::connect_queue_at(backend, url).await, role) {
        (Ok(backend), _) => Ok(backend),
        (Err(error), Role::Api) if is_away(&error) => {
            tracing::warn!(
                error = %telemetry::causes(&error),
                "the queue on Redis is away: orders are accepted and wait in the store for whoever works; until a restart \
                 this process shows the jobs there alone"
            );
            Ok(alone)
        }
        (Err(error), _) => Err(error.into()),
    }
}

fn is_away(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Redis(redis::OpenError::Unavailable { .. }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_redis_is_away_only_who_accepts_alone_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("vip.db").display());
        let backend = vip_adapters::connect(&url).await.unwrap();
        for (role, url, goes_on) in [
            (Role::Api, "redis://127.0.0.1:1", true),
            (Role::Worker, "redis://127.0.0.1:1", false),
            (Role::All, "redis://127.0.0.1:1", false),
            (Role::Api, "no URL at all", false),
        ] {
            let queued = with_queue(backend.clone(), url, role).await;
            assert_eq!(queued.is_ok(), goes_on, "{role:?} {url}");
            // What it enqueues stands where the relay of a worker looks.
            assert!(queued.is_err() || queued.is_ok_and(|it| it.outbox.is_none()));
        }
        backend.store.close().await.unwrap();
    }
}
