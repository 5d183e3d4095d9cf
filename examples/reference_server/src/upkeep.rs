//! What a deployment does with a database while nothing else runs: migrate it, or mark that a backup was put back.

use secrecy::ExposeSecret;
use vip_adapters::postgres::PostgresBackend;
use vip_core::Provisioner;
use vip_core::model::Actor;
use vip_core::provisioning::converge::Restored;

use crate::configuration::{Configuration, Database};
use crate::{Fallible, product};

/// Longest end of a product that did nothing but this.
const END: std::time::Duration = std::time::Duration::from_secs(5);

/// Makes the schema, or brings it up to this version.
pub(crate) async fn migrate(configuration: &Configuration) -> Fallible<String> {
    let url = named(configuration)?;
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        PostgresBackend::migrate(url).await?;
        return Ok(
            "the schema is that of this version; grant the role that runs its rights before it starts".to_owned()
        );
    }
    // A database in a file is migrated by whoever opens it.
    vip_adapters::connect(url).await?.store.close().await?;
    Ok("the schema is that of this version".to_owned())
}

/// Parks every order that was open when the backup was made.
pub(crate) async fn mark_restored(configuration: &Configuration, operator: &str) -> Fallible<String> {
    let backend = product::existing(named(configuration)?).await?;
    let provisioner = Provisioner::builder(backend).client_only().await?;
    let restored = provisioner.operator().mark_restored(&Actor::Operator { name: operator.to_owned() }).await?;
    let report = provisioner.shutdown(END).await;
    if !report.within_deadline {
        return Err(format!("all are marked, and the end took too long: {report}").into());
    }
    Ok(said(&restored))
}

fn said(restored: &Restored) -> String {
    let unreadable = match restored.unreadable {
        0 => String::new(),
        count => format!(", {count} cannot be read and are as they were: the log names them"),
    };
    format!("{} servers wait for an operator, {} rest as they are{unreadable}", restored.parked, restored.untouched)
}

fn named(configuration: &Configuration) -> Fallible<&str> {
    match &configuration.database {
        Database::Url(url) => Ok(url.value.expose_secret()),
        Database::Temporary => Err("VIP_DATABASE_URL has to name the database".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_cannot_be_read_are_said_if_there_are_any() {
        let mut restored = Restored::default();
        assert_eq!(said(&restored), "0 servers wait for an operator, 0 rest as they are");
        restored.unreadable = 2;
        assert!(said(&restored).contains("0 rest as they are, 2 cannot be read"), "{}", said(&restored));
    }
}
