//! Reads the URL of a database, so that nothing of it reaches a log.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use tracing::subscriber::{NoSubscriber, with_default};

use super::error::OpenError;

/// Parameters that the driver knows; it leaves out others.
const KNOWN: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

pub(super) fn options_of(url: &str) -> Result<PgConnectOptions, OpenError> {
    // The driver logs the values of parameters that it does not know, and whole lines of a file of passwords.
    let options = with_default(NoSubscriber::default(), || PgConnectOptions::from_str(url));
    for name in unknown(url) {
        tracing::warn!(name, "a parameter of the database's URL is not known, and has no effect");
    }
    options.map_err(|error| {
        tracing::debug!(%error, "the URL of the database cannot be read");
        OpenError::Address
    })
}

/// Lists the parameters of a URL that have no effect, by their names alone.
fn unknown(url: &str) -> Vec<&str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    names.filter(|name| !KNOWN.contains(name) && !name.starts_with("options[")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Writes down all fields of all events.
    #[derive(Default, Clone)]
    struct Lines(Arc<Mutex<String>>);

    impl Visit for Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().push_str(&format!("{field}={value:?} "));
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_parameter_that_is_not_known_is_named_and_its_value_is_not_logged() {
        let lines = Lines::default();
        let url = "postgres://vip:secret@host/db?sslmode=require&sslpassword=secret&passwd=secret&options[a]=b";
        assert!(with_default(lines.clone(), || options_of(url)).is_ok());
        let lines = lines.0.lock().unwrap().clone();
        assert!(lines.contains("sslpassword") && lines.contains("passwd"), "{lines}");
        assert!(!lines.contains("secret") && !lines.contains("sslmode") && !lines.contains("options"), "{lines}");
    }

    #[test]
    fn what_is_no_url_is_an_error_without_it() {
        let error = options_of("postgres://vip:secret@host:port/db").unwrap_err();
        assert!(matches!(error, OpenError::Address) && !format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
