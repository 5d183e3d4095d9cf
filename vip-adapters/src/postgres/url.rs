//! Reads the URL of a database, so that nothing of it reaches a log.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use vip_core::telemetry;

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

/// Says whether a URL can be read; asks nobody.
pub(crate) fn check_url(url: &str) -> Result<(), OpenError> {
    options_of(url).map(drop)
}

pub(super) fn options_of(url: &str) -> Result<PgConnectOptions, OpenError> {
    let (known, unknown) = without_unknown(url);
    let options = PgConnectOptions::from_str(&known).map_err(|error| {
        telemetry::tell(|| tracing::debug!(%error, "the URL of the database cannot be read"));
        OpenError::Address
    })?;
    // In a URL that can be read the query begins at the first question mark: what is named here is no part of a password.
    for name in unknown {
        telemetry::tell(|| tracing::warn!(name, "a parameter of the database's URL is not known, and has no effect"));
    }
    Ok(options)
}

/// Leaves out parameters that the driver does not know, because it would log their values; returns their names, too.
fn without_unknown(url: &str) -> (String, Vec<&str>) {
    let Some((before, query)) = url.split_once('?') else { return (url.to_owned(), Vec::new()) };
    let name_of = |pair: &&str| pair.split_once('=').map_or("", |(name, _)| name).to_ascii_lowercase();
    let is_known = |pair: &&str| {
        let name = name_of(pair);
        KNOWN.contains(&&*name) || name.starts_with("options[") || name.starts_with("options%5b")
    };
    let (known, unknown): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_known);
    let names = unknown.into_iter().filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    (format!("{before}?{}", known.join("&")), names.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::with_default;
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
        let url = format!("{url}&options%5Bc%5D=d&application_name=shop");
        let options = with_default(lines.clone(), || options_of(&url)).unwrap();
        assert_eq!((options.get_options(), options.get_application_name()), (Some("-c a=b -c c=d"), Some("shop")));
        let lines = lines.0.lock().unwrap().clone();
        assert!(lines.contains("sslpassword") && lines.contains("passwd"), "{lines}");
        assert!(!lines.contains("secret") && !lines.contains("sslmode") && !lines.contains("options"), "{lines}");
    }

    #[test]
    fn what_is_no_url_is_an_error_without_it() {
        let error = options_of("postgres://vip:secret@host:port/db").unwrap_err();
        assert!(matches!(error, OpenError::Address) && !format!("{error} {error:?}").contains("secret"), "{error:?}");
        let lines = Lines::default();
        let odd = "postgres://vip:ab?sec=ret@host/db";
        assert!(with_default(lines.clone(), || options_of(odd)).is_err());
        assert!(!lines.0.lock().unwrap().contains("sec"), "a part of the password");
    }
}
